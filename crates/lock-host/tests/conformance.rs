//! The whole conformance suite on a map in memory that conflicts on purpose, with and without notices.

#![expect(dead_code, reason = "other tests use the rest of what they share")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Manners, Map, START};
use lock_core::{Capabilities, LockStore, ManualClock};
use lock_host::HostConfig;
use lock_testkit::Fixture;

/// The map as the conformance suite meets it: each connection is a host of its own.
struct Maps<const PUSHES: bool> {
    clock: Arc<ManualClock>,
    map: Map,
}

#[async_trait::async_trait]
impl<const PUSHES: bool> Fixture for Maps<PUSHES> {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let manners = Manners { pushes: PUSHES, ..Manners::rough() };
        let map = Map::new(manners, Arc::<ManualClock>::clone(&clock));
        Self { clock, map }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        Arc::new(self.map.host(&HostConfig::new()))
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
        let expected = Capabilities::none().with_events();
        if PUSHES { expected.with_notices() } else { expected }
    }

    // The host's thread works in real time.
    fn paused() -> bool {
        false
    }
}

mod map {
    lock_testkit::conformance!(crate::Maps<true>);
}

mod map_without_notices {
    lock_testkit::conformance!(crate::Maps<false>);
}
