//! The whole conformance suite on the example: a directory of files under `flock`.

#[expect(dead_code, reason = "the example is a program, too")]
#[path = "../examples/directory.rs"]
mod directory;

use std::sync::Arc;
use std::time::Duration;

use directory::Directory;
use lock_core::{Capabilities, LockStore, ManualClock, Timestamp};
use lock_host::{HostBackend, HostConfig};
use lock_testkit::Fixture;
use tempfile::TempDir;

/// A folder of its own, whose clock is set by hand; each connection opens it again.
struct Folder {
    clock: Arc<ManualClock>,
    folder: TempDir,
}

#[async_trait::async_trait]
impl Fixture for Folder {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        // In memory where there is such a folder: what a disk costs is not the question here.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self { clock, folder: folder.expect("a folder") }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        let store = Directory::open(self.folder.path().to_owned(), Arc::clone(&self.clock));
        let store = store.expect("the folder opens");
        Arc::new(HostBackend::new(store, &HostConfig::new()).expect("a thread starts"))
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
        Capabilities::none().with_durability().with_key_bytes(120)
    }

    // The host's thread works in real time.
    fn paused() -> bool {
        false
    }
}

lock_testkit::conformance!(Folder);
