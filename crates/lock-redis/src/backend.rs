//! The store: the protocol of `lock-core` by one script a call.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Error, ErrorKind, EvictRequest,
    Eviction, InvalidInput, LockBackend, OnHeld, Operation, Violation, Release, ReleaseRequest,
    RenewRequest, Renewal, RequestId, Result, Transfer, TransferRequest, TransferTo, WaitRequest,
    Wake,
};

use crate::commands::Shared;
use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::error::corrupt;
use crate::layout::Layout;
use crate::notify::{Entered, Sleepers};
use crate::reply::{self, Answer};
use crate::script::{Arg, Script, Time};
use crate::terms::{self, Terms};

/// How many leases one command renews.
const BATCH: usize = 128;

/// A lock store in Redis or Valkey.
///
/// Clones share one connection. Every operation is one script on the server, which does exactly
/// what the state machine of `lock-core` does, on the server's clock; nothing is ever sent twice.
/// A waiter hears of its grant by a message on the same connection, and sends nothing meanwhile but
/// what its user asks.
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
            let problem = Violation::Malformed { expected: "a server that this build can reach" };
            Error::invalid(Operation::Connect, InvalidInput::new("url", problem))
        })?;
        let layout = Arc::new(Layout::new(&config.prefix));
        let sleepers = Arc::<Sleepers>::default();
        let process: [u8; 8] = rand::random();
        let connection = Connection::open(
            client.clone(),
            &config,
            Arc::clone(&layout),
            Arc::clone(&sleepers),
            process,
            time,
        )
        .await?;
        let capabilities = crate::inspector::capabilities(&connection, &config).await?;
        let sought = Mutex::default();
        let shared =
            Shared { connection, client, config, layout, capabilities, sleepers, process, sought };
        Ok(Self { shared: Arc::new(shared) })
    }
}

/// Renews leases by one command, or by several when one of the keys is corrupt, as the others must
/// not be lost over it.
async fn renew(shared: &Shared, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
    let answers = shared.renew(renewals).await;
    let is_corrupt = |answer: &Result<Renewal>| {
        answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt)
    };
    if renewals.len() == 1 || !answers.iter().all(is_corrupt) {
        return answers;
    }
    let (first, second) = renewals.split_at(renewals.len() / 2);
    let mut answers = Box::pin(renew(shared, first)).await;
    answers.extend(Box::pin(renew(shared, second)).await);
    answers
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for RedisBackend {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        let shared = &*self.shared;
        let terms = terms::write(asked);
        let is_simple = shared.may_be_simple(&asked.key);
        if is_simple && let Some(granted) = shared.acquire_free(asked, &terms).await? {
            return Ok(granted);
        }
        let name = (asked.request, asked.key.clone());
        if let OnHeld::Queue { keep_alive, .. } = asked.on_held {
            shared.sleepers.expect(name.clone(), keep_alive);
        }
        let (answer, joined) = shared.acquire(asked, &terms).await?;
        shared.note_sought(&asked.key, !matches!(answer, Acquisition::Granted(_)));
        if joined {
            shared.sleepers.joined(&name, Terms::of(asked));
        } else if !matches!(answer, Acquisition::Queued(_)) {
            shared.sleepers.forget(&name);
        }
        Ok(answer)
    }

    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        let name = (awaited.request, awaited.key.clone());
        let waited = tokio::time::timeout(awaited.timeout, async {
            loop {
                match self.shared.sleepers.enter(&name) {
                    Entered::Granted(lease) => return Ok(Wake::Granted(lease)),
                    Entered::Asleep(news) => {
                        let lease = news.await.ok().flatten();
                        return Ok(lease.map_or(Wake::AskAgain, Wake::Granted));
                    }
                    Entered::Unknown => {
                        if let Some(wake) = self.shared.listen(awaited).await? {
                            return Ok(wake);
                        }
                    }
                }
            }
        });
        waited.await.unwrap_or(Ok(Wake::AskAgain))
    }

    /// Sends a command for every 128 leases, all at once.
    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let mut answers = Vec::with_capacity(renewals.len());
        let mut batches = tokio::task::JoinSet::new();
        for (number, batch) in renewals.chunks(BATCH).enumerate() {
            let (shared, batch) = (Arc::clone(&self.shared), batch.to_vec());
            batches.spawn(async move { (number, renew(&shared, &batch).await) });
        }
        let mut renewed = batches.join_all().await;
        renewed.sort_by_key(|(number, _)| *number);
        for (_, batch) in renewed {
            answers.extend(batch);
        }
        answers
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        let shared = &*self.shared;
        shared.sleepers.forget(&(held.request, held.key.clone()));
        if shared.may_be_simple(&held.key)
            && let Some(answer) = shared.release_alone(held).await?
        {
            return Ok(answer);
        }
        shared.release(held).await
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        let request = asked.request.to_bits().to_be_bytes();
        self.shared.sleepers.forget(&(asked.request, asked.key.clone()));
        let args = [Arg::Bytes(&request)];
        let answer = self.shared.run(Operation::Cancel, Script::Cancel, &asked.key, &args).await?;
        match reply::bytes(answer).as_deref() {
            Some(b"dequeued") => Ok(Cancellation::Dequeued),
            Some(b"released") => Ok(Cancellation::Released),
            Some(b"absent") => Ok(Cancellation::Absent),
            _ => Err(corrupt(Operation::Cancel).with_key(asked.key.clone())),
        }
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        let from = given.request.to_bits().to_be_bytes();
        let to = given.to.request().to_bits().to_be_bytes();
        let (kind, owner, metadata) = match &given.to {
            TransferTo::Owner { owner, metadata, .. } => {
                ("owner", owner.as_str(), terms::write_metadata(metadata))
            }
            _ => ("waiter", "", Vec::new()),
        };
        let args = [
            Arg::Bytes(&from),
            Arg::Bytes(&to),
            Arg::Text(kind),
            Arg::Text(owner),
            Arg::Bytes(&metadata),
        ];
        let run = self.shared.run(Operation::Transfer, Script::Transfer, &given.key, &args);
        let answer = run.await?;
        let read = |mut answer: Answer| {
            Some(match answer.bytes()?.as_slice() {
                b"transferred" => Transfer::Transferred(answer.lease(&given.key)?),
                b"not held" => Transfer::NotHeld,
                b"not waiting" => Transfer::NotWaiting,
                b"already holds" => Transfer::AlreadyHolds,
                _ => return None,
            })
        };
        let answer = Answer::new(answer).and_then(read);
        answer.ok_or_else(|| corrupt(Operation::Transfer).with_key(given.key.clone()))
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        let request = eviction.request.map(RequestId::to_bits).map(u128::to_be_bytes);
        let args = [
            Arg::Bytes(request.as_ref().map_or(&[], |request| &request[..])),
            Arg::Text(eviction.by.as_str()),
            Arg::Text(eviction.reason.as_str()),
        ];
        let run = self.shared.run(Operation::Evict, Script::Evict, &eviction.key, &args);
        let texts = reply::list(run.await?);
        let read = |text: &Vec<u8>| reply::lease(text, &eviction.key);
        let leases = texts.and_then(|texts| texts.iter().map(read).collect());
        let corrupt = || corrupt(Operation::Evict).with_key(eviction.key.clone());
        Ok(Eviction::new(leases.ok_or_else(corrupt)?))
    }
}
