//! Atlantis' own tests, on the adapter whose locks and documents are in one SQLite file.

use std::sync::Arc;

use async_trait::async_trait;
use lock_compat::conformance::LegacyFixture;
use lock_compat::conformance::behind::{put_document, put_lease};
use lock_compat::legacy::ProjectLock;
use lock_compat::{LegacyBackend, LockAdapter};
use lock_core::{LockManager, OwnerId};
use lock_sqlite::{SqliteConfig, SqliteDocuments};
use tempfile::TempDir;

struct OverSqlite(LockAdapter, #[expect(dead_code, reason = "it has the file")] TempDir);

#[async_trait]
impl LegacyFixture for OverSqlite {
    async fn start() -> Self {
        // In memory where there is such a folder: what a disk costs is not the question here.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let store = SqliteConfig::new(folder.path().join("locks.db")).open();
        let store = store.expect("the file opens");
        let documents = SqliteDocuments::new(store.clone());
        let manager = LockManager::new(store, OwnerId::parse("atlantis").expect("an owner"));
        Self(LockAdapter::new(manager, documents), folder)
    }

    fn backend(&self) -> Arc<dyn LegacyBackend> {
        Arc::new(self.0.clone())
    }

    async fn put_status(&self, key: &str, bytes: &[u8]) {
        put_document(self.0.documents(), key, bytes).await;
    }

    async fn put_lock(&self, lock: &ProjectLock, bytes: &[u8]) {
        put_lease(&self.0, lock, bytes).await;
    }
}

lock_compat::legacy_conformance!(OverSqlite);

mod queues {
    use std::sync::Arc;

    use async_trait::async_trait;
    use lock_compat::conformance::queues::QueueFixture;
    use lock_core::LockStore;
    use lock_sqlite::{SqliteBackend, SqliteConfig, SqliteDocuments};
    use tempfile::TempDir;

    struct OverSqlite(SqliteBackend, #[expect(dead_code, reason = "it has the file")] TempDir);

    #[async_trait]
    impl QueueFixture for OverSqlite {
        type Documents = SqliteDocuments;

        async fn start() -> Self {
            let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
            let folder = folder.expect("a folder");
            let store = SqliteConfig::new(folder.path().join("locks.db")).open();
            Self(store.expect("the file opens"), folder)
        }

        fn store(&self) -> Arc<dyn LockStore> {
            Arc::new(self.0.clone())
        }

        fn documents(&self) -> SqliteDocuments {
            SqliteDocuments::new(self.0.clone())
        }
    }

    lock_compat::queue_conformance!(OverSqlite);
}
