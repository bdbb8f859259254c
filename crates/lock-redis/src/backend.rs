//! The store: the protocol of `lock-core` by one script a call.

use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Error, EvictRequest, Eviction,
    HearRequest, Heard, InvalidInput, LockBackend, MailboxId, NoticeStream, Operation, Release,
    ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest, Renewal, Result, Timed,
    Transfer, TransferRequest, Violation,
};

use crate::command;
use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::connection::dialer::Dialer;
use crate::connection::supervised::Supervised;
use crate::health;
use crate::keyspace::Keyspace;
use crate::notify::Mailboxes;
use crate::script::Time;
use crate::store::Store;
use crate::subscription::Subscription;

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
    pub(crate) store: Arc<Store>,
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

    /// Connects as `client` does, by the rest of `config`.
    ///
    /// # Errors
    /// Like [`connect`](Self::connect).
    pub async fn from_client(client: &redis::Client, config: RedisConfig) -> Result<Self> {
        let server = RedisConfig::at(client.get_connection_info().clone()).server;
        Self::start(RedisConfig { server, ..config }, Time::default()).await
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
        let client = redis::Client::open(config.server.clone()).map_err(|_| {
            let violation = Violation::Malformed { expected: "a server that this build can reach" };
            Error::invalid(Operation::Connect, InvalidInput::new("url", violation))
        })?;
        let keyspace = Arc::new(Keyspace::new(&config.prefix));
        let mailboxes = Arc::<Mailboxes>::default();
        let connected = async {
            let (keyspace, mailboxes) = (Arc::clone(&keyspace), Arc::clone(&mailboxes));
            let scripts = command::scripts(time);
            let connection =
                Connection::open(client.clone(), &config, keyspace, mailboxes, scripts).await?;
            let capabilities = health::capabilities(&connection, &config).await?;
            Ok((connection, capabilities))
        };
        let at_server = |error: Error| error.with_server(config.address());
        let (connection, capabilities) = connected.await.map_err(at_server)?;
        let store = Store::new(connection, client, config, keyspace, capabilities, mailboxes);
        let store = Arc::new(store);
        let (weak, interval) = (Arc::downgrade(&store), store.config.sweep_interval);
        let sweeper = Supervised::spawn("sweeper", move || command::sweep(weak.clone(), interval));
        Ok(Self { store, _sweeper: Arc::new(sweeper) })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for RedisBackend {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let store = &*self.store;
        let subscription = store.subscription.get_or_init(|| {
            let dialer = Dialer::new(store.client.clone(), store.config.clone());
            Subscription::start(dialer, Arc::clone(&store.keyspace), Arc::clone(&store.mailboxes))
        });
        let opened = subscription.open(mailbox, store.config.timeout).await;
        opened.map_err(|error| error.with_server(store.config.address()))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        self.store.acquire(request).await
    }

    /// Sends a command for every 128 requests, all at once.
    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.store.hear(requests).await
    }

    /// Sends a command for every 128 leases, all at once.
    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.store.renew(requests).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        self.store.release(request).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.store.cancel(request).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.store.transfer(request).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.store.evict(request).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.store.request_release(appeal).await
    }
}
