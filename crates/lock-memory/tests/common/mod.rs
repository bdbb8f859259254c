//! The store in memory as the conformance suite meets it.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Capabilities, LockStore, ManualClock, Timestamp};
use lock_memory::MemoryBackend;
use lock_testkit::Fixture;

/// A store whose clock is set by hand, together with tokio's.
pub(crate) struct Memory {
    clock: Arc<ManualClock>,
    store: MemoryBackend,
}

#[async_trait::async_trait]
impl Fixture for Memory {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let store = MemoryBackend::with_clock(Arc::clone(&clock));
        Self { clock, store }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        Arc::new(self.store.clone())
    }

    async fn elapse(&self, span: Duration) {
        self.clock.advance(span);
        tokio::time::advance(span).await;
    }

    async fn set_back(&self, span: Duration) -> bool {
        self.clock.set_back(span);
        true
    }

    fn longest_elapse(&self) -> Duration {
        Duration::MAX
    }

    fn expected(&self) -> Capabilities {
        Capabilities::none().with_notices().with_events()
    }

    fn paused() -> bool {
        true
    }
}
