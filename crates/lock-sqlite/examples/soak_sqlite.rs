//! Processes that take turns on a real SQLite file while faults strike: `cargo xtask soak`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{InspectQuery, ListQuery, LockInspector as _, LockKey, LockStore, Result};
use lock_sqlite::{SqliteBackend, SqliteConfig, Synchronous};
use lock_testkit::soak::{self, Target, Trouble};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::time::sleep;

fn main() -> ExitCode {
    soak::main::<Sqlite>()
}

/// A file, which all processes open.
struct Sqlite {
    folder: TempDir,
    is_durable: bool,
}

impl Sqlite {
    fn path(&self) -> PathBuf {
        self.folder.path().join("locks.db")
    }

    fn open(url: &str) -> SqliteBackend {
        let (synchronous, path) = match url.strip_prefix("normal:") {
            Some(path) => (Synchronous::Normal, path),
            None => (Synchronous::Full, url),
        };
        let config = SqliteConfig::new(path).with_synchronous(synchronous);
        config.open().expect("the file opens")
    }
}

#[async_trait]
impl Target for Sqlite {
    const TROUBLES: &'static [Trouble] = &Trouble::OF_FILES;
    const SIZE: Option<(usize, usize)> = None;

    async fn start(_lines: usize, is_durable: bool) -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), is_durable }
    }

    fn url(&self, _line: usize) -> String {
        self.direct_url()
    }

    fn direct_url(&self) -> String {
        let synchronous = if self.is_durable { "" } else { "normal:" };
        format!("{synchronous}{}", self.path().display())
    }

    async fn connect(url: &str) -> Result<Arc<dyn LockStore>> {
        Ok(Arc::new(Self::open(url)))
    }

    async fn inflict(&self, trouble: Trouble, _line: usize, span: Duration) {
        assert_eq!(trouble, Trouble::Locked, "no other is offered");
        let other = Connection::open(self.path()).expect("the file opens");
        other.busy_timeout(Duration::from_secs(60)).expect("a pragma");
        other.execute_batch("BEGIN IMMEDIATE").expect("its turn comes");
        sleep(span).await;
        other.execute_batch("ROLLBACK").expect("it began");
    }

    async fn leftovers(&self, keys: &[LockKey]) -> Vec<String> {
        // Opening it removes the mailboxes of the dead, and this store opens none.
        let store = Self::open(&self.direct_url());
        let mut left = Vec::new();
        let held = store.list(&ListQuery::all()).await.expect("the file is read").value.items;
        left.extend(held.iter().map(|lease| format!("a lease of {}", lease.key)));
        for key in keys {
            let seen = store.inspect(&InspectQuery::new(key.clone())).await;
            let waiting = seen.expect("the file is read").value.waiting;
            left.extend((waiting > 0).then(|| format!("{waiting} waiters for {key}")));
        }
        let mail = fs::read_dir(self.path().with_extension("db.mail")).expect("the folder is read");
        let names = mail.map(|entry| entry.expect("the folder is read").file_name());
        left.extend(names.map(|name| format!("a mailbox: {}", name.display())));
        let other = Connection::open(self.path()).expect("the file opens");
        let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        let check = other.query_row("PRAGMA integrity_check", [], check).expect("a pragma");
        left.extend((check != "ok").then_some(check));
        left
    }
}
