//! The fixture of the broken store.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Capabilities, LockStore, ManualClock, Timestamp};
use lock_testkit::Fixture;

use crate::broken::Broken;
use crate::cached::Cached;
use crate::fault::Fault;

thread_local! {
    /// The fault of the stores that this thread starts, since a fixture is started without
    /// arguments.
    static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
}

/// Sets the fault of the stores that this thread starts.
pub(crate) fn plant(fault: Fault) {
    FAULT.set(fault);
}

/// A broken store whose clock is set by hand, together with tokio's.
pub(crate) struct BrokenStore {
    clock: Arc<ManualClock>,
    store: Store,
}

enum Store {
    Broken(Broken),
    Cached(Cached),
}

#[async_trait::async_trait]
impl Fixture for BrokenStore {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let fault = FAULT.get();
        let store = match fault.caches() {
            true => Store::Cached(Cached::new(fault, Arc::clone(&clock))),
            false => Store::Broken(Broken::new(fault, Arc::clone(&clock)).await),
        };
        Self { clock, store }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        match &self.store {
            Store::Broken(store) => Arc::new(store.connect()),
            Store::Cached(store) => Arc::new(store.connect()),
        }
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

/// A sound store that can do as little as a store may, on a clock that cannot be set.
pub(crate) struct Poor(BrokenStore);

#[async_trait::async_trait]
impl Fixture for Poor {
    async fn start() -> Self {
        plant(Fault::CachesNothing);
        Self(BrokenStore::start().await)
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        self.0.connect().await
    }

    async fn elapse(&self, span: Duration) {
        self.0.elapse(span).await;
    }

    async fn set_back(&self, _span: Duration) -> bool {
        false
    }

    fn longest_elapse(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn expected(&self) -> Capabilities {
        Capabilities::none()
    }

    fn paused() -> bool {
        true
    }
}
