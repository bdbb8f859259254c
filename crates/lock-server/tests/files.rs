//! States in files: fenced, checked, and never half written.

use std::fs;
use std::path::PathBuf;

use lock_core::FencingToken;
use lock_server::{FileStates, StateName, StateStore, Write};
use tempfile::TempDir;

fn store() -> (FileStates, StateName, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let name = StateName::parse("prod").expect("a name");
    (FileStates::new(folder.path()), name, folder)
}

fn token(number: u64) -> FencingToken {
    FencingToken::new(number).expect("not zero")
}

fn of(folder: &TempDir, file: &str) -> PathBuf {
    folder.path().join("prod.state~").join(file)
}

#[tokio::test]
async fn write_below_the_highest_token_is_refused() {
    let (states, name, _folder) = store();
    assert_eq!(states.replace(&name, token(5), Some("old".into())).await.unwrap(), Write::Done);
    // The next holder has only been granted the lock.
    assert_eq!(states.fence(&name, token(7)).await.unwrap(), Write::Done);
    let late = states.replace(&name, token(5), Some("late".into())).await.unwrap();
    assert_eq!(late, Write::Outdated { highest: token(7) });
    assert_eq!(states.replace(&name, token(5), None).await.unwrap(), late);
    assert_eq!(states.load(&name).await.unwrap().unwrap(), "old");
    assert_eq!(states.replace(&name, token(7), Some("new".into())).await.unwrap(), Write::Done);
    assert_eq!(states.load(&name).await.unwrap().unwrap(), "new");
}

#[tokio::test]
async fn damaged_state_is_reported_with_its_file() {
    let (states, name, folder) = store();
    let _ = states.replace(&name, token(5), Some("state".into())).await.unwrap();
    let current = of(&folder, "current");
    let mut bytes = fs::read(&current).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&current, bytes).unwrap();
    let error = states.load(&name).await.unwrap_err().to_string();
    assert!(error.contains("current is damaged"), "{error}");
    fs::write(&current, "").unwrap();
    states.load(&name).await.unwrap_err();
    fs::write(of(&folder, "token"), "x").unwrap();
    states.fence(&name, token(9)).await.unwrap_err();
}

#[tokio::test]
async fn last_versions_are_kept() {
    let (states, name, folder) = store();
    for number in 1..=30 {
        let body = number.to_string();
        let _ = states.replace(&name, token(5), Some(body.into())).await.unwrap();
    }
    let mut versions: Vec<u64> = fs::read_dir(of(&folder, "versions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (10..30).collect::<Vec<_>>());
    let oldest = fs::read_to_string(of(&folder, "versions/10")).unwrap();
    assert!(oldest.ends_with("\n10"), "{oldest}");
}

/// Two servers that share the folder lose no write of each other, and no reader sees a half of one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_folder_take_turns() {
    let (states, name, folder) = store();
    let others = FileStates::new(folder.path());
    let writers = [(states.clone(), 'a'), (others, 'b')].map(|(states, letter)| {
        let name = name.clone();
        tokio::spawn(async move {
            let body = letter.to_string().repeat(100_000);
            for _ in 0..20 {
                let _ = states.replace(&name, token(5), Some(body.clone().into())).await.unwrap();
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
