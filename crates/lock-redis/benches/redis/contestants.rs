//! What is compared, each with one connection for the whole process.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, FencingToken, KeepAlive, LeaseName, LockBackend, LockKey,
    LockManager, MailboxId, Notice, NoticeStream, OwnerId, Release, ReleaseRequest, RequestId,
};
use lock_redis::{RedisBackend, RedisConfig};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Cmd};
use tokio::sync::oneshot;

use crate::meter;

/// So long that no waiter is ever dropped for its silence.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60 * 60);
/// What the others keep a lock for when nobody releases it.
const TTL: Duration = Duration::from_secs(30);

const TAKE: &str = "if redis.call('SET',KEYS[1],ARGV[1],'NX','PX',ARGV[2]) then return 1 \
                    else return 0 end";
const GIVE: &str = "if redis.call('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) \
                    else return 0 end";

/// Those who measure themselves with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// One command and its answer: less is not possible.
    Ping,
    /// `SET NX PX`, and a script that compares and deletes.
    SetAndScript,
    /// The same with both of them scripts, as whoever hands out tokens or queues needs scripts.
    TwoScripts,
    /// The store through its trait.
    Trait,
    /// The manager and its guard, over such a store.
    Guard,
    /// `rslock` as it comes.
    Rslock,
    /// `rslock` without a pause before it tries again.
    RslockSpin,
}

impl Name {
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::SetAndScript => "set+script",
            Self::TwoScripts => "two-scripts",
            Self::Trait => "trait",
            Self::Guard => "guard",
            Self::Rslock => "rslock",
            Self::RslockSpin => "rslock-spin",
        }
    }
}

/// All of them, connected.
#[derive(Clone)]
pub(crate) struct Field(Arc<Members>);

struct Members {
    ping: MultiplexedConnection,
    raw: Raw,
    store: Store,
    manager: LockManager,
    rslock: rslock::LockManager,
    rslock_spin: rslock::LockManager,
}

/// A lock's name, prepared as a program would that uses it more than once.
#[derive(Clone)]
pub(crate) struct Key {
    text: String,
    key: LockKey,
}

impl Key {
    pub(crate) fn new(text: String) -> Self {
        Self { key: LockKey::parse(text.clone()).expect("a valid key"), text }
    }
}

impl Field {
    pub(crate) async fn connect(url: &str) -> Self {
        let managed = Store::connect(url, "guard").await.backend;
        let mut rslock_spin = rslock::LockManager::new(vec![url]);
        // After one try it starts afresh, without the pause that comes before a second.
        rslock_spin.set_retry(1, Duration::ZERO);
        Self(Arc::new(Members {
            ping: meter::connect(url).await,
            raw: Raw::connect(url).await,
            store: Store::connect(url, "trait").await,
            manager: LockManager::new(managed, owner()),
            rslock: rslock::LockManager::new(vec![url]),
            rslock_spin,
        }))
    }

    /// Acquires the key, does the work, and releases the key.
    pub(crate) async fn turn(&self, name: Name, key: &Key, work: impl Future<Output = ()>) {
        let members = &*self.0;
        match name {
            Name::Ping => {
                let _: String = members.ping.clone().ping().await.expect("the server answers");
                work.await;
            }
            Name::SetAndScript => members.raw.turn(&Raw::set(key), key, work).await,
            Name::TwoScripts => members.raw.turn(&members.raw.take(key), key, work).await,
            Name::Trait => members.store.turn(&key.key, work).await,
            Name::Guard => {
                let guard = members.manager.acquire(key.key.clone()).await.expect("granted");
                work.await;
                guard.release().await.expect("held until released");
            }
            Name::Rslock => rslock_turn(&members.rslock, key, work).await,
            Name::RslockSpin => rslock_turn(&members.rslock_spin, key, work).await,
        }
    }
}

async fn rslock_turn(manager: &rslock::LockManager, key: &Key, work: impl Future<Output = ()>) {
    let guard = manager.acquire(key.text.as_str(), TTL).await.expect("acquired");
    work.await;
    guard.release().await;
}

/// A bare connection and two scripts that it has loaded.
struct Raw {
    connection: MultiplexedConnection,
    take: String,
    give: String,
}

/// What takes a lock, and the value by which it is given back.
struct Taking {
    command: Cmd,
    value: [u8; 16],
}

impl Raw {
    async fn connect(url: &str) -> Self {
        let mut connection = meter::connect(url).await;
        let mut loaded = Vec::new();
        for text in [TAKE, GIVE] {
            let mut command = redis::cmd("SCRIPT");
            command.arg("LOAD").arg(text);
            let hash = command.query_async(&mut connection).await;
            loaded.push(hash.expect("the script is loaded"));
        }
        let [take, give] = loaded.try_into().expect("there are two scripts");
        Self { connection, take, give }
    }

    fn set(key: &Key) -> Taking {
        let value: [u8; 16] = rand::random();
        let mut command = redis::cmd("SET");
        command.arg(&key.text).arg(&value).arg("NX").arg("PX").arg(TTL.as_millis() as u64);
        Taking { command, value }
    }

    fn take(&self, key: &Key) -> Taking {
        let value: [u8; 16] = rand::random();
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.take).arg(1).arg(&key.text).arg(&value).arg(TTL.as_millis() as u64);
        Taking { command, value }
    }

    async fn turn(&self, taking: &Taking, key: &Key, work: impl Future<Output = ()>) {
        let mut connection = self.connection.clone();
        let taken: redis::Value =
            taking.command.query_async(&mut connection).await.expect("the server answers");
        assert!(matches!(taken, redis::Value::Okay | redis::Value::Int(1)), "nobody else holds");
        work.await;
        let mut give = redis::cmd("EVALSHA");
        give.arg(&self.give).arg(1).arg(&key.text).arg(&taking.value);
        let given: u64 = give.query_async(&mut connection).await.expect("the server answers");
        assert_eq!(given, 1, "held until released");
    }
}

/// The store through its trait, with a new request for every turn and one mailbox for all.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) backend: RedisBackend,
    owner: OwnerId,
    keep_alive: KeepAlive,
    mailbox: MailboxId,
    expected: Expected,
}

/// The requests whose grant somebody waits for.
type Expected = Arc<Mutex<HashMap<RequestId, oneshot::Sender<FencingToken>>>>;

fn owner() -> OwnerId {
    OwnerId::parse("acme/infra#1234").expect("a valid owner")
}

impl Store {
    /// Connects to keys of its own.
    pub(crate) async fn connect(url: &str, prefix: &str) -> Self {
        let config = RedisConfig::parse(url).and_then(|config| config.with_prefix(prefix));
        let config = config.expect("a valid configuration").with_timeout(Duration::from_secs(30));
        let backend = RedisBackend::connect(config).await.expect("the server answers");
        let keep_alive = KeepAlive::parse(PATIENCE).expect("a valid keep-alive");
        let (mailbox, expected) = (MailboxId::random(), Expected::default());
        let notices = backend.listen(mailbox).await.expect("the mailbox opens");
        tokio::spawn(deliver(notices, Arc::clone(&expected)));
        Self { backend, owner: owner(), keep_alive, mailbox, expected }
    }

    /// A new request that would wait.
    pub(crate) fn ask(&self, key: &LockKey) -> AcquireRequest {
        AcquireRequest::new(RequestId::random(), key.clone(), self.owner.clone())
            .queueing(self.keep_alive)
            .with_mailbox(self.mailbox)
    }

    /// The token of the lease of the request, as soon as a notice tells it.
    pub(crate) fn expect(&self, request: RequestId) -> impl Future<Output = FencingToken> {
        let (sender, told) = oneshot::channel();
        expected(&self.expected).insert(request, sender);
        async { told.await.expect("the mailbox stays open") }
    }

    async fn until_granted(&self, request: &AcquireRequest) -> LeaseName {
        // Before it is sent, so that no notice comes too early.
        let told = self.expect(request.id);
        let answer = self.backend.acquire(request).await;
        match answer.expect("the server answers").value {
            Acquisition::Granted(lease) => {
                expected(&self.expected).remove(&request.id);
                lease.name()
            }
            Acquisition::Queued(_) => LeaseName::new(request.key.clone(), request.id, told.await),
            other => unreachable!("neither granted nor queued: {other:?}"),
        }
    }

    async fn turn(&self, key: &LockKey, work: impl Future<Output = ()>) {
        let held = self.until_granted(&self.ask(key)).await;
        work.await;
        let answer = self.backend.release(&ReleaseRequest::new(held)).await;
        let released = answer.map(|answer| answer.value);
        assert!(matches!(released, Ok(Release::Released)), "the lease lasted until its release");
    }
}

/// Tells everybody of its grant, as long as the store lives.
async fn deliver(mut notices: NoticeStream, waiting: Expected) {
    while let Some(notice) = poll_fn(|cx| notices.as_mut().poll_next(cx)).await {
        match notice {
            Notice::Granted(grant) => {
                if let Some(sender) = expected(&waiting).remove(&grant.request) {
                    // Nobody waits any more where the worker was stopped.
                    let _ = sender.send(grant.token);
                }
            }
            // Nobody shares, so no command leaves anybody to ask; and nothing is missed here.
            other => {
                // Whoever waits ends, too, and does not wait for ever.
                expected(&waiting).clear();
                unreachable!("not a grant: {other:?}");
            }
        }
    }
}

fn expected(of: &Expected) -> MutexGuard<'_, HashMap<RequestId, oneshot::Sender<FencingToken>>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
