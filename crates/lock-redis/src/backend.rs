//! The store: the protocol of `lock-core` by one script a call.

use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Error, EvictRequest, EvictTarget,
    Eviction, HearRequest, Heard, InvalidInput, LeaseName, LockBackend, MailboxId, NoticeStream,
    Operation, Release, ReleaseRequest, RenewRequest, Renewal, Result, Timed, Transfer,
    TransferRequest, TransferTo, Violation,
};

use crate::commands::{Shared, id};
use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::dialer::Dialer;
use crate::end;
use crate::health;
use crate::layout::Layout;
use crate::notify::Mailboxes;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script, Time};
use crate::subscription::Subscription;
use crate::supervised::Supervised;
use crate::sweeper;
use crate::terms;

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
    pub(crate) shared: Arc<Shared>,
    _sweeper: Arc<Supervised>,
}

impl RedisBackend {
    /// Connects to the server that `config` names.
    ///
    /// # Errors
    /// When the server is not reached in time, refuses the user or lacks a permission, or is too
    /// old. No error tells a password.
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
        // The driver brings none, and panics without; one that is there already is as good.
        #[cfg(feature = "tls-rustls")]
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = redis::Client::open(config.server.clone()).map_err(|_| {
            let violation = Violation::Malformed { expected: "a server that this build can reach" };
            Error::invalid(Operation::Connect, InvalidInput::new("url", violation))
        })?;
        let layout = Arc::new(Layout::new(&config.prefix));
        let mailboxes = Arc::<Mailboxes>::default();
        let connected = async {
            let (layout, mailboxes) = (Arc::clone(&layout), Arc::clone(&mailboxes));
            let connection =
                Connection::open(client.clone(), &config, layout, mailboxes, time).await?;
            let capabilities = health::capabilities(&connection, &config).await?;
            Ok((connection, capabilities))
        };
        let at_server = |error: Error| error.with_server(config.address());
        let (connection, capabilities) = connected.await.map_err(at_server)?;
        let shared = Shared::new(connection, client, config, layout, capabilities, mailboxes);
        let shared = Arc::new(shared);
        let weak = Arc::downgrade(&shared);
        let sweeper = Supervised::spawn("sweeper", move || sweeper::sweep(weak.clone()));
        Ok(Self { shared, _sweeper: Arc::new(sweeper) })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for RedisBackend {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let shared = &*self.shared;
        let subscription = shared.subscription.get_or_init(|| {
            let dialer = Dialer::new(shared.client.clone(), shared.config.clone());
            Subscription::start(dialer, Arc::clone(&shared.layout), Arc::clone(&shared.mailboxes))
        });
        let opened = subscription.open(mailbox, shared.config.timeout).await;
        opened.map_err(|error| error.with_server(shared.config.address()))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let shared = &*self.shared;
        let terms = terms::write(request);
        if shared.may_be_simple(&request.key) {
            if let Some(granted) = shared.acquire_free(request, &terms).await? {
                return Ok(granted);
            }
            shared.contended.insert(&request.key);
        }
        shared.acquire(request, &terms).await
    }

    /// Sends a command for every 128 requests, all at once.
    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.shared.hear(requests).await
    }

    /// Sends a command for every 128 leases, all at once.
    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.shared.renew(requests).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let (shared, lease) = (&*self.shared, &request.lease);
        if shared.may_be_simple(&lease.key) {
            if let Some(answer) = shared.release_alone(lease).await? {
                return Ok(answer);
            }
            shared.contended.insert(&lease.key);
        }
        shared.release(lease).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let id = id(request.request);
        let args = [Arg::Bytes(&id), Arg::Number(u64::from(request.answer_outstanding))];
        let read = |mut answer: Answer| match answer.bytes()?.as_slice() {
            b"dequeued" => Some(Cancellation::Dequeued),
            b"released" => Some(Cancellation::Released),
            b"absent" => Some(Cancellation::Absent),
            _ => None,
        };
        self.shared.run(Operation::Cancel, Script::Cancel, &request.key, &args, read).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let LeaseName { key, request: from, token, .. } = &request.lease;
        let (from, to) = (id(*from), id(request.to.request()));
        let (kind, owner, metadata) = match &request.to {
            TransferTo::Owner { owner, metadata, .. } => {
                ("owner", owner.as_str(), terms::write_metadata(metadata))
            }
            _ => ("waiter", "", Vec::new()),
        };
        let ending = end::write_transferred(&request.by);
        let args = [
            Arg::Bytes(&from),
            Arg::Number(token.get()),
            Arg::Bytes(&to),
            Arg::Text(kind),
            Arg::Text(owner),
            Arg::Bytes(&metadata),
            Arg::Bytes(&ending),
        ];
        let read = |mut answer: Answer| {
            Some(match answer.bytes()?.as_slice() {
                b"transferred" => Transfer::Transferred(answer.lease(key)?),
                b"ended" => Transfer::Ended(answer.end()?),
                b"not held" => Transfer::NotHeld,
                b"not waiting" => Transfer::NotWaiting,
                b"already holds" => Transfer::AlreadyHolds,
                _ => return None,
            })
        };
        self.shared.run(Operation::Transfer, Script::Transfer, key, &args, read).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let key = &request.key;
        let (target, only, token) = match request.target {
            EvictTarget::Lease { request, token } => ("lease", Some(request), token.get()),
            EvictTarget::Waiter(request) => ("waiter", Some(request), 0),
            _ => ("all", None, 0),
        };
        let only = only.map(id).unwrap_or_default();
        let ending = end::write_evicted(request);
        let args = [Arg::Text(target), Arg::Bytes(&only), Arg::Number(token), Arg::Bytes(&ending)];
        let read = |mut answer: Answer| {
            let leases = answer.list()?;
            let leases =
                leases.iter().map(|text| reply::lease(text, key)).collect::<Option<_>>()?;
            let waiter = answer.bytes()?;
            let more = answer.number()? == 1;
            Some(match waiter.as_slice() {
                [] => Eviction::of_leases(leases, more),
                text => Eviction::of_waiter(reply::waiter(text, key)?),
            })
        };
        self.shared.run(Operation::Evict, Script::Evict, key, &args, read).await
    }
}
