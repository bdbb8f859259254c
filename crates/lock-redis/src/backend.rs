//! The store: the protocol of `lock-core` by one script a call.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, EvictRequest,
    Eviction, InvalidInput, LockBackend, LockKey, OnHeld, Operation, Problem, Release,
    ReleaseRequest, RenewRequest, Renewal, RequestId, Result, Transfer, TransferRequest,
    TransferTo, WaitRequest, Wake,
};
use redis::Value;

use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::error::{again, corrupt};
use crate::layout::Layout;
use crate::notify::{Entered, Sleepers};
use crate::reply::{self, Answer};
use crate::script::{Arg, Script, Time};
use crate::terms::{self, Terms, millis, ttl_millis};

/// How many leases one command renews.
const BATCH: usize = 128;
/// How many keys are remembered as sought after.
const SOUGHT: usize = 4096;

/// A lock store in Redis or Valkey.
///
/// Clones share one connection. Every operation is one script on the server, which does exactly
/// what the state machine of `lock-core` does, on the server's clock; nothing is ever sent twice.
/// A waiter hears of its grant by a message on the same connection, and sends nothing meanwhile but
/// what its user asks.
#[derive(Clone, Debug)]
pub struct RedisBackend {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub(crate) client: redis::Client,
    pub(crate) config: RedisConfig,
    pub(crate) layout: Arc<Layout>,
    pub(crate) capabilities: Capabilities,
    sleepers: Arc<Sleepers>,
    process: [u8; 8],
    /// Keys that somebody waited for when they were last used: the short scripts would only say
    /// that they cannot decide.
    sought: Mutex<HashSet<LockKey>>,
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
        let client = redis::Client::open(config.server.clone()).map_err(|_| {
            let problem = Problem::Malformed { expected: "a server that this build can reach" };
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

impl Shared {
    pub(crate) fn journal(&self) -> u64 {
        self.config.journal.map_or(0, |entries| u64::from(entries.get()))
    }

    /// Runs a script on one lock: all that it needs to know besides, after the journal and the key.
    pub(crate) async fn run(
        &self,
        operation: Operation,
        script: Script,
        key: &LockKey,
        args: &[Arg<'_>],
    ) -> Result<Value> {
        let keys = [&self.layout.shared()[..], &self.layout.lock(key)].concat();
        let mut all = vec![Arg::Number(self.journal()), Arg::Text(key.as_str())];
        all.extend(args.iter().copied());
        let answer = self.connection.run(operation, script, &keys, &all).await;
        answer.map_err(|error| error.with_key(key.clone()))
    }

    /// Whether a short script may be able to decide.
    fn may_be_simple(&self, key: &LockKey) -> bool {
        // The short scripts write no journal.
        let sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        self.config.journal.is_none() && (sought.is_empty() || !sought.contains(key))
    }

    fn note_sought(&self, key: &LockKey, is_sought: bool) {
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_sought {
            sought.remove(key);
        } else if sought.len() < SOUGHT {
            sought.insert(key.clone());
        }
    }

    async fn acquire_free(
        &self,
        asked: &AcquireRequest,
        terms: &[u8],
    ) -> Result<Option<Acquisition>> {
        let keys = [self.layout.state(asked.key.as_str()), self.layout.token()];
        let lease = alone(asked.request);
        let terms = [b"0", terms].concat();
        let ttl = ttl_millis(asked.ttl) * 1000;
        let args = [Arg::Bytes(&lease), Arg::Number(ttl), Arg::Bytes(&terms)];
        let answer = self.connection.run(Operation::Acquire, Script::AcquireFree, &keys, &args);
        let answer = answer.await.map_err(|error| error.with_key(asked.key.clone()))?;
        let granted = match answer {
            Value::Nil => return Ok(None),
            Value::Int(_) => reply::number(&answer).map(|now| (now, now)),
            pair => Answer::new(pair).and_then(|mut pair| Some((pair.number()?, pair.number()?))),
        };
        let lease = granted.and_then(|(now, token)| {
            let token = lock_core::FencingToken::new(token)?;
            Some(lock_core::Lease::granted(asked, token, lock_core::Timestamp::from_micros(now)))
        });
        let lease = lease.ok_or_else(|| corrupt(Operation::Acquire).with_key(asked.key.clone()))?;
        Ok(Some(Acquisition::Granted(lease)))
    }

    async fn acquire(&self, asked: &AcquireRequest, terms: &[u8]) -> Result<(Acquisition, bool)> {
        let (keep_alive, limit) = match asked.on_held {
            OnHeld::Queue { keep_alive, queue_limit } => {
                (millis(keep_alive.span()), queue_limit.map_or(0, |limit| u64::from(limit.get())))
            }
            _ => (0, 0),
        };
        let request = asked.request.to_bits().to_be_bytes();
        let mode = terms::mode_word(asked.mode);
        let args = [
            Arg::Bytes(&request),
            Arg::Bytes(terms),
            Arg::Text(&mode),
            Arg::Text(asked.owner.as_str()),
            Arg::Number(ttl_millis(asked.ttl) * 1000),
            Arg::Number(millis(asked.head_start.span())),
            Arg::Number(keep_alive),
            Arg::Number(limit),
            Arg::Bytes(&self.process),
        ];
        let answer = self.run(Operation::Acquire, Script::Acquire, &asked.key, &args).await?;
        let read = |mut answer: Answer| {
            let key = &asked.key;
            Some(match answer.bytes()?.as_slice() {
                b"granted" => {
                    answer.time()?;
                    (Acquisition::Granted(answer.lease(key)?), false)
                }
                b"joined" => (Acquisition::Queued(answer.place(key)?), true),
                b"queued" => (Acquisition::Queued(answer.place(key)?), false),
                b"held" => (Acquisition::Held(answer.place(key)?), false),
                b"full" => (Acquisition::QueueFull(answer.place(key)?), false),
                _ => return None,
            })
        };
        let answer = Answer::new(answer).and_then(read);
        answer.ok_or_else(|| corrupt(Operation::Acquire).with_key(asked.key.clone()))
    }

    async fn listen(&self, awaited: &WaitRequest) -> Result<Option<Wake>> {
        let name = (awaited.request, awaited.key.clone());
        let keep_alive = lock_core::KeepAlive::parse(lock_core::KeepAlive::MAX).unwrap_or_default();
        self.sleepers.expect(name.clone(), keep_alive);
        let request = awaited.request.to_bits().to_be_bytes();
        let args = [Arg::Bytes(&request), Arg::Bytes(&self.process)];
        let answer = self.run(Operation::Wait, Script::Listen, &awaited.key, &args).await;
        let read = |mut answer: Answer| {
            Some(match answer.bytes()?.as_slice() {
                b"granted" => Some(Wake::Granted(answer.lease(&awaited.key)?)),
                b"waiting" => {
                    self.sleepers.joined(&name, Terms::parse(&answer.bytes()?)?);
                    None
                }
                b"absent" => Some(Wake::AskAgain),
                _ => return None,
            })
        };
        let wake = answer.and_then(|answer| {
            let wake = Answer::new(answer).and_then(read);
            wake.ok_or_else(|| corrupt(Operation::Wait).with_key(awaited.key.clone()))
        });
        if !matches!(wake, Ok(None)) {
            self.sleepers.forget(&name);
        }
        wake
    }

    /// Renews leases by one command.
    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let mut keys = self.layout.shared().to_vec();
        let requests: Vec<_> =
            renewals.iter().map(|renewal| renewal.request.to_bits().to_be_bytes()).collect();
        let mut args = vec![Arg::Number(self.journal()), Arg::Text("")];
        for (renewal, request) in renewals.iter().zip(&requests) {
            keys.extend(self.layout.lock(&renewal.key));
            args.push(Arg::Text(renewal.key.as_str()));
            args.push(Arg::Bytes(request));
            args.push(Arg::Number(ttl_millis(renewal.ttl)));
        }
        let answer = self.connection.run(Operation::Renew, Script::Renew, &keys, &args).await;
        let answers = match answer {
            Ok(Value::Array(answers)) if answers.len() == renewals.len() => answers,
            Ok(_) => {
                let failed =
                    |it: &RenewRequest| Err(corrupt(Operation::Renew).with_key(it.key.clone()));
                return renewals.iter().map(failed).collect();
            }
            Err(error) => {
                let failed = |it: &RenewRequest| Err(again(&error).with_key(it.key.clone()));
                return renewals.iter().map(failed).collect();
            }
        };
        let read = |(renewal, answer): (&RenewRequest, Value)| match answer {
            Value::Nil => Ok(Renewal::NotHeld),
            text => reply::bytes(text)
                .and_then(|text| reply::lease(&text, &renewal.key))
                .map(Renewal::Renewed)
                .ok_or_else(|| corrupt(Operation::Renew).with_key(renewal.key.clone())),
        };
        renewals.iter().zip(answers).map(read).collect()
    }
}

/// How the state of a key begins whose only lease is of this request.
fn alone(request: RequestId) -> [u8; 17] {
    let mut state = [b'1'; 17];
    state[1..].copy_from_slice(&request.to_bits().to_be_bytes());
    state
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
            batches.spawn(async move { (number, shared.renew(&batch).await) });
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
        let failed = |error: Error| error.with_key(held.key.clone());
        let mut answer = Value::Nil;
        if shared.may_be_simple(&held.key) {
            let keys = [shared.layout.state(held.key.as_str())];
            let (lease, release) = (alone(held.request), Script::ReleaseAlone);
            let args = [Arg::Bytes(&lease)];
            let run = shared.connection.run(Operation::Release, release, &keys, &args);
            answer = run.await.map_err(failed)?;
        }
        if answer == Value::Nil {
            let request = held.request.to_bits().to_be_bytes();
            let args = [Arg::Bytes(&request)];
            answer = shared.run(Operation::Release, Script::Release, &held.key, &args).await?;
        }
        match answer {
            Value::Int(1) => Ok(Release::Released),
            Value::Int(0) => Ok(Release::NotHeld),
            _ => Err(failed(corrupt(Operation::Release))),
        }
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
