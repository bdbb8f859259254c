//! The store in SQLite as the conformance suite meets it.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Capabilities, LockStore, ManualClock, Timestamp};
use lock_sqlite::SqliteConfig;
use lock_testkit::Fixture;
use tempfile::TempDir;

/// A file of its own, whose clock is set by hand; each connection opens it again.
pub(crate) struct Sqlite {
    clock: Arc<ManualClock>,
    folder: TempDir,
}

#[async_trait::async_trait]
impl Fixture for Sqlite {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        // In memory where there is such a folder: what a disk costs is not the question here.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { clock, folder: folder.expect("a folder") }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        let config = SqliteConfig::new(self.folder.path().join("locks.db"));
        let config = config.with_clock(Arc::clone(&self.clock));
        Arc::new(config.open().expect("the file opens"))
    }

    async fn elapse(&self, span: Duration) {
        self.clock.advance(span);
    }

    async fn set_back(&self, span: Duration) -> bool {
        self.clock.set_back(span);
        true
    }

    fn longest_elapse(&self) -> Duration {
        Duration::MAX
    }

    fn expected(&self) -> Capabilities {
        Capabilities::none().with_notices().with_events().with_durability()
    }

    // The host's thread works in real time.
    fn paused() -> bool {
        false
    }
}
