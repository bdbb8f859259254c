//! The store in Redis as the conformance suite meets it.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Capabilities, Clock, LockStore, ManualClock, Timestamp};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::Fixture;

/// A server whose own clock the scripts read.
pub(crate) struct OnServerTime {
    config: RedisConfig,
}

#[async_trait::async_trait]
impl Fixture for OnServerTime {
    async fn start() -> Self {
        Self { config: config() }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        Arc::new(RedisBackend::connect(self.config.clone()).await.expect("the server is up"))
    }

    async fn elapse(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn set_back(&self, _span: Duration) -> bool {
        false
    }

    fn expected(&self) -> Capabilities {
        Capabilities::none().with_pushed_grants().with_sharing().with_events()
    }

    fn paused() -> bool {
        false
    }
}

fn config() -> RedisConfig {
    let prefix = format!("{}", lock_core::RequestId::random());
    RedisConfig::parse("redis://127.0.0.1:7777")
        .expect("a URL")
        .with_prefix(&prefix)
        .expect("ok")
        .with_journal(std::num::NonZeroU32::new(10000).expect("ok"))
}

/// A server whose scripts read a clock that is set by hand.
pub(crate) struct OnSteeredTime {
    config: RedisConfig,
    clock: Arc<ManualClock>,
}

#[async_trait::async_trait]
impl Fixture for OnSteeredTime {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        Self { config: config(), clock }
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        let clock = Arc::clone(&self.clock);
        let connected = RedisBackend::connect_on(self.config.clone(), clock).await;
        Arc::new(connected.expect("the server is up"))
    }

    async fn elapse(&self, span: Duration) {
        self.clock.advance(span);
        tokio::time::sleep(span.min(Duration::from_millis(100))).await;
    }

    async fn set_back(&self, span: Duration) -> bool {
        let back = u64::try_from(span.as_micros()).expect("a short span");
        self.clock.set(Timestamp::from_micros(self.clock.now().as_micros() - back));
        true
    }

    fn expected(&self) -> Capabilities {
        Capabilities::none().with_pushed_grants().with_sharing().with_events()
    }

    fn paused() -> bool {
        false
    }
}
