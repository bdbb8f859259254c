//! The store: the protocol of `lock-core` by one script a call.

use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, EvictRequest, Eviction, HearRequest,
    Heard, LockBackend, MailboxId, NoticeStream, Release, ReleaseAppeal, ReleaseRequest,
    ReleaseRequested, RenewRequest, Renewal, Result, Timed, Transfer, TransferRequest,
};

use crate::command;
use crate::config::RedisConfig;
use crate::connection::supervised::Supervised;
use crate::script::Time;
use crate::shards::Shards;

/// A lock store in Redis or Valkey.
///
/// Clones share one connection for commands and, from the first mailbox on, one for notices. Every
/// operation is one script on the server, which does exactly what the state machine of `lock-core`
/// does, on the server's clock; what is unknown is never sent again.
///
/// # Examples
/// ```no_run
/// # async fn deploy() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use lock_core::{LockManager, OwnerId};
/// use lock_redis::{RedisBackend, RedisConfig};
///
/// let config = RedisConfig::parse("redis://127.0.0.1/")?.with_prefix("deploys")?;
/// let store = RedisBackend::connect(config).await?;
/// let manager = LockManager::new(store, OwnerId::parse("deploy-7")?);
/// let guard = manager.acquire("shop/prod").wait(Duration::from_secs(600)).await?;
/// guard.run(async { println!("deploying under token {}", guard.token()) }).await?;
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RedisBackend {
    pub(crate) shards: Arc<Shards>,
    _sweeper: Arc<Supervised>,
}

impl RedisBackend {
    /// Connects to the server that `config` names.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](lock_core::ErrorKind::Unavailable) when the server is not reached
    /// in time or rejects the user; [`ErrorKind::Unsupported`](lock_core::ErrorKind::Unsupported)
    /// when it is too old. No error contains a password.
    ///
    /// # Cancel safety
    /// Nothing is left behind but a connection that closes.
    pub async fn connect(config: RedisConfig) -> Result<Self> {
        Self::start(config, Time::default()).await
    }

    /// Connects as `client` does, by the rest of `config`. Of several servers, only the login and
    /// the certificates are those of the client.
    ///
    /// # Errors
    /// Like [`connect`](Self::connect).
    pub async fn from_client(client: &redis::Client, config: RedisConfig) -> Result<Self> {
        let topology = config.topology.like_client(client.get_connection_info());
        Self::start(RedisConfig { topology, ..config }, Time::default()).await
    }

    /// Connects like [`connect`](Self::connect), to take the time from `clock` and not from the
    /// server: all users of the store must.
    ///
    /// # Errors
    /// Like [`connect`](Self::connect).
    #[cfg(feature = "test-util")]
    pub async fn connect_on(
        config: RedisConfig,
        clock: Arc<lock_core::ManualClock>,
    ) -> Result<Self> {
        Self::start(config, Time::Steered(clock)).await
    }

    async fn start(config: RedisConfig, time: Time) -> Result<Self> {
        lock_redis_client::install_tls();
        let address = config.address();
        let shards = Box::pin(Shards::open(config, command::scripts(time))).await;
        let shards = Arc::new(shards.map_err(|error| error.with_server(address))?);
        let (weak, interval) = (Arc::downgrade(&shards), shards.config.sweep_interval);
        let sweeper = Supervised::spawn("sweeper", move || command::sweep(weak.clone(), interval));
        Ok(Self { shards, _sweeper: Arc::new(sweeper) })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for RedisBackend {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        self.shards.listen(mailbox).await
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let store = self.shards.of(&request.key);
        match self.shards.config.min_replicas {
            0 => store.acquire(request).await,
            wanted => Box::pin(store.acquire_counted(request, wanted)).await,
        }
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.shards.hear(requests).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.shards.renew(requests).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        self.shards.of(&request.lease.key).release(request).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.shards.of(&request.key).cancel(request).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.shards.of(&request.lease.key).transfer(request).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.shards.of(&request.key).evict(request).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.shards.of(&appeal.key).request_release(appeal).await
    }
}
