//! The whole conformance suite on the decorators: a store around a store is a store.

mod common;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use common::Memory;
use lock_core::layer::{BreakerConfig, CircuitBreaker, OwnerLimit, Prefixed, Traced};
use lock_core::{Capabilities, LockStore};
use lock_testkit::{Faulty, Fixture};

/// Declares a fixture of the store in memory inside a decorator.
macro_rules! decorated {
    ($name:ident, $module:ident, |$store:ident| $decorate:expr, $key_bytes:expr) => {
        struct $name(Memory);

        #[async_trait::async_trait]
        impl Fixture for $name {
            async fn start() -> Self {
                Self(Memory::start().await)
            }

            async fn connect(&self) -> Arc<dyn LockStore> {
                let $store = self.0.connect().await;
                Arc::new($decorate)
            }

            async fn elapse(&self, span: Duration) {
                self.0.elapse(span).await;
            }

            async fn set_back(&self, span: Duration) -> bool {
                self.0.set_back(span).await
            }

            fn longest_elapse(&self) -> Duration {
                self.0.longest_elapse()
            }

            fn expected(&self) -> Capabilities {
                self.0.expected().with_key_bytes($key_bytes)
            }

            fn paused() -> bool {
                true
            }
        }

        mod $module {
            use super::$name;
            lock_testkit::conformance!($name);
        }
    };
}

decorated!(InTraced, traced, |store| Traced::new(store), 1024);
decorated!(
    InBreaker,
    circuit_breaker,
    |store| CircuitBreaker::new(store, BreakerConfig::default()),
    1024
);
decorated!(InLimit, owner_limit, |store| OwnerLimit::new(store, NonZeroU32::MAX), 1024);
decorated!(InFaulty, faulty, |store| Faulty::new(store), 1024);
decorated!(
    InPrefixed,
    prefixed,
    |store| Prefixed::new(store, "team-a/").expect("a valid prefix"),
    1017
);
