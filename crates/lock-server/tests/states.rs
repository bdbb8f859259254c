//! Stores of states: fenced, and never half written.

use std::path::Path;
use std::sync::Arc;

use lock_core::FencingToken;
use lock_documents::MemoryDocuments;
use lock_server::{DocumentStates, FileStates, StateName, StateStore, Write};
use lock_sqlite::{SqliteConfig, SqliteDocuments};

fn files(folder: &Path) -> Arc<dyn StateStore> {
    Arc::new(FileStates::new(folder.join("states")))
}

fn sqlite(folder: &Path) -> Arc<dyn StateStore> {
    let store = SqliteConfig::new(folder.join("locks.db")).open().expect("a store");
    Arc::new(DocumentStates::new(Arc::new(SqliteDocuments::new(store))))
}

fn memory(_: &Path) -> Arc<dyn StateStore> {
    Arc::new(DocumentStates::new(Arc::new(MemoryDocuments::default())))
}

fn name() -> StateName {
    StateName::parse("team/prod").expect("a name")
}

fn token(number: u64) -> FencingToken {
    FencingToken::new(number).expect("not zero")
}

#[tokio::test]
async fn write_below_the_highest_token_is_refused() {
    for open in [files, sqlite, memory] {
        let folder = tempfile::tempdir().unwrap();
        let (states, name) = (open(folder.path()), name());
        assert_eq!(states.load(&name).await.unwrap(), None);
        assert_eq!(states.replace(&name, token(5), Some("old".into())).await.unwrap(), Write::Done);
        // The next holder has only been granted the lock.
        assert_eq!(states.fence(&name, token(7)).await.unwrap(), Write::Done);
        let late = states.replace(&name, token(5), Some("late".into())).await.unwrap();
        assert_eq!(late, Write::Outdated { highest: token(7) });
        assert_eq!(states.replace(&name, token(5), None).await.unwrap(), late);
        assert_eq!(states.load(&name).await.unwrap().unwrap(), "old");
        assert_eq!(states.replace(&name, token(7), Some("new".into())).await.unwrap(), Write::Done);
        assert_eq!(states.load(&name).await.unwrap().unwrap(), "new");
        assert_eq!(states.replace(&name, token(7), None).await.unwrap(), Write::Done);
        assert_eq!(states.load(&name).await.unwrap(), None);
    }
}

/// Two servers that share a store lose no write of each other, and no reader sees a half of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_state_take_turns() {
    for open in [files, sqlite] {
        let folder = tempfile::tempdir().unwrap();
        let (states, name) = (open(folder.path()), name());
        let writers = ['a', 'b'].map(|letter| {
            let (states, name) = (open(folder.path()), name.clone());
            tokio::spawn(async move {
                let body = letter.to_string().repeat(100_000);
                for _ in 0..20 {
                    let body = Some(body.clone().into());
                    assert_eq!(states.replace(&name, token(5), body).await.unwrap(), Write::Done);
                }
            })
        });
        while writers.iter().any(|writer| !writer.is_finished()) {
            if let Some(body) = states.load(&name).await.unwrap() {
                assert!(body.len() == 100_000 && body.iter().all(|byte| *byte == body[0]));
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
    }
}
