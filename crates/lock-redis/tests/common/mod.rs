//! The store in Redis as the conformance suite meets it: a server of its own for each case.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Capabilities, LockStore, ManualClock, Timestamp};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::Fixture;
use lock_testkit_redis::server::RedisServer;

/// Where the server that was just started is.
pub(crate) fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig::parse(&server.url()).expect("a URL")
}

fn with_journal(config: RedisConfig) -> RedisConfig {
    config.with_journal(NonZeroU32::new(10_000).expect("not zero"))
}

fn offered() -> Capabilities {
    Capabilities::none().with_notices().with_sharing()
}

/// As it is used: on the server's own clock, without a journal.
pub(crate) struct Plain(RedisServer);

#[async_trait::async_trait]
impl Fixture for Plain {
    async fn start() -> Self {
        Self(RedisServer::start().await)
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        Arc::new(RedisBackend::connect(config(&self.0)).await.expect("the server is up"))
    }

    async fn elapse(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }

    async fn set_back(&self, _span: Duration) -> bool {
        false
    }

    fn longest_elapse(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn expected(&self) -> Capabilities {
        offered()
    }

    fn paused() -> bool {
        false
    }
}

/// On a clock that is set by hand.
struct Steered {
    server: RedisServer,
    clock: Arc<ManualClock>,
}

impl Steered {
    async fn start() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        Self { server: RedisServer::start().await, clock }
    }

    async fn connect(&self, config: RedisConfig) -> Arc<dyn LockStore> {
        let connected = RedisBackend::connect_on(config, Arc::clone(&self.clock)).await;
        Arc::new(connected.expect("the server is up"))
    }

    fn elapse(&self, span: Duration) {
        self.clock.advance(span);
    }

    fn set_back(&self, span: Duration) {
        self.clock.set_back(span);
    }
}

/// On a clock that is set by hand, without a journal, for a user who may load no library: the
/// commands are scripts, as on a server before version 7. All short ones go in batches.
pub(crate) struct Scripted(Steered);

#[async_trait::async_trait]
impl Fixture for Scripted {
    async fn start() -> Self {
        let steered = Steered::start().await;
        let mut rule = vec!["ACL", "SETUSER", "scripts", "on", ">secret", "~*", "&*", "+@all"];
        rule.extend(RedisServer::has_functions().then_some("-function"));
        assert_eq!(steered.server.command(&rule).await, "OK");
        Self(steered)
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        let url = self.0.server.url().replace("redis://", "redis://scripts:secret@");
        self.0.connect(RedisConfig::parse(&url).expect("a URL").always_batched()).await
    }

    async fn elapse(&self, span: Duration) {
        self.0.elapse(span);
    }

    async fn set_back(&self, span: Duration) -> bool {
        self.0.set_back(span);
        true
    }

    fn longest_elapse(&self) -> Duration {
        Duration::MAX
    }

    fn expected(&self) -> Capabilities {
        offered()
    }

    fn paused() -> bool {
        false
    }
}

/// On a clock that is set by hand, with a journal.
pub(crate) struct Journaled(Steered);

#[async_trait::async_trait]
impl Fixture for Journaled {
    async fn start() -> Self {
        Self(Steered::start().await)
    }

    async fn connect(&self) -> Arc<dyn LockStore> {
        self.0.connect(with_journal(config(&self.0.server))).await
    }

    async fn elapse(&self, span: Duration) {
        self.0.elapse(span);
    }

    async fn set_back(&self, span: Duration) -> bool {
        self.0.set_back(span);
        true
    }

    fn longest_elapse(&self) -> Duration {
        Duration::MAX
    }

    fn expected(&self) -> Capabilities {
        offered().with_events()
    }

    fn paused() -> bool {
        false
    }
}
