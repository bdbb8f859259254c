//! Contestants, each with one connection per process.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{KeepAlive, LockKey, LockManager};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands, Cmd};

use crate::meter;
use crate::store::{Store, backend, owner};

/// Ttl of the other locks.
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
    /// The same with both of them scripts, as tokens and queues need scripts.
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
    /// The name in samples and figures.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::SetAndScript => "set-and-script",
            Self::TwoScripts => "two-bare-scripts",
            Self::Trait => "trait",
            Self::Guard => "guard",
            Self::Rslock => "rslock",
            Self::RslockSpin => "rslock-without-pause",
        }
    }

    /// The name in tables and charts.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Ping => "PING alone",
            Self::SetAndScript => "bare SET NX, bare script",
            Self::TwoScripts => "two bare scripts",
            Self::Trait => "this project, trait",
            Self::Guard => "this project, guard",
            Self::Rslock => "rslock",
            Self::RslockSpin => "rslock without pause",
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
        let mut rslock_spin = rslock::LockManager::new(vec![url]);
        // After one try it starts afresh, without the pause that comes before a second.
        rslock_spin.set_retry(1, Duration::ZERO);
        Self(Arc::new(Members {
            ping: meter::connect(url).await,
            raw: Raw::connect(url).await,
            store: Store::connect(url, "trait", KeepAlive::default()).await,
            manager: LockManager::new(backend(url, "guard").await, owner()),
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

/// Acquire script, and the value for the release.
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
