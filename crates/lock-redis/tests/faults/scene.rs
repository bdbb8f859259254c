//! Shared parts of the fault tests: connections, holders and leftovers.

use std::future::IntoFuture;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use lock_core::{
    AcquireRequest, FencingToken, InspectQuery, KeepAlive, LockGuard, LockInspector, LockKey,
    LockManager, LossReason, OwnerId, RequestId, Result, Timestamp, WaitsQuery,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::time::{Instant, sleep, timeout};

/// The longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn key(name: &str) -> LockKey {
    LockKey::parse(name).unwrap()
}

pub(crate) fn owner(name: &str) -> OwnerId {
    OwnerId::parse(name).unwrap()
}

/// Creates a request of `name` for `key` that does not wait.
pub(crate) fn ask(name: &str, of: &str) -> AcquireRequest {
    AcquireRequest::new(RequestId::random(), key(of), owner(name))
}

/// Creates a request of `name` for `key` that waits if necessary.
pub(crate) fn queue(name: &str, of: &str) -> AcquireRequest {
    ask(name, of).queueing(KeepAlive::default())
}

/// The user whose commands are functions of a library, and the one whose commands are scripts.
pub(crate) const BY_FUNCTIONS: &str = "default";
pub(crate) const BY_SCRIPTS: &str = "scripts";

/// A server that has these users.
pub(crate) fn users() -> ServerConfig {
    let functions = if RedisServer::has_functions() { " -function -fcall" } else { "" };
    let user = format!("scripts on >secret ~* &* +@all{functions}");
    ServerConfig::new().with("user", &user)
}

/// Where the user finds the server.
pub(crate) fn url_of(user: &str, addr: SocketAddr) -> String {
    format!("redis://{user}:secret@{addr}/")
}

/// The store at `url`, whose connections the server lists by `name`.
pub(crate) async fn store(url: &str, name: &str) -> RedisBackend {
    hasty(url, name, RedisConfig::DEFAULT_TIMEOUT).await
}

/// The store at `url`, whose operations may take this long.
pub(crate) async fn hasty(url: &str, name: &str, limit: Duration) -> RedisBackend {
    let config = RedisConfig::parse(url).unwrap().with_name(name).unwrap();
    // A user that may not load functions sends no short commands either: so both ways meet every
    // fault.
    let is_batched = url.contains(&format!("//{BY_SCRIPTS}:"));
    let config = if is_batched { config.always_batched() } else { config };
    RedisBackend::connect(config.with_timeout(limit)).await.expect("the server is up")
}

/// Somebody who takes turns on the store at `url`.
pub(crate) async fn manager(url: &str, name: &str) -> LockManager {
    LockManager::new(store(url, name).await, owner(name))
}

/// Begins to wait for the key, with this ttl and keep-alive, and returns when it is in the queue.
pub(crate) async fn waiter(
    manager: &LockManager,
    of: &str,
    ttl: Duration,
    keep_alive: Duration,
) -> tokio::task::JoinHandle<Result<LockGuard>> {
    let waiter = manager.acquire(of).ttl(ttl).keep_alive(keep_alive).into_future();
    let waiter = tokio::spawn(waiter);
    let is_queued = async || {
        let waits = manager.waits_of(&WaitsQuery::new(manager.owner().clone())).await;
        waits.is_ok_and(|waits| waits.value.items.iter().any(|wait| wait.key.as_str() == of))
    };
    until("it waits", is_queued).await;
    waiter
}

/// Looks again and again until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "in time: {what}");
        sleep(millis(2)).await;
    }
}

/// Waits for something that takes no longer than `limit`.
pub(crate) async fn within<F: IntoFuture>(what: &str, limit: Duration, it: F) -> F::Output {
    timeout(limit, it).await.unwrap_or_else(|_| panic!("within {limit:?}: {what}"))
}

/// Waits until nothing is left in the server of these keys, nor of any other, but the last token, the
/// version of the layout and marks.
pub(crate) async fn until_clean(server: &RedisServer, keys: &[&str]) {
    let looking = store(&server.url(), "cleaner").await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        for name in keys {
            // Expired leases are dropped when they are inspected.
            let query = InspectQuery::new(key(name));
            let _ = looking.inspect(&query).await.expect("the server answers");
        }
        let left = server.command(&["KEYS", "*"]).await;
        let mut stays = Vec::new();
        let stays_for_ever = |name: &&str| name.ends_with(":token") || name.ends_with(":layout");
        for name in left.lines().filter(|name| !stays_for_ever(name)) {
            // Marks go by themselves.
            if server.command(&["PTTL", name]).await == "-1" {
                stays.push(name);
            }
        }
        if stays.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {stays:?}");
        sleep(millis(5)).await;
    }
}

/// The numbers by which the server knows the connections of `name`.
pub(crate) async fn connections(server: &RedisServer, name: &str) -> Vec<String> {
    let list = server.command(&["CLIENT", "LIST"]).await;
    let named = format!("name={name}");
    let lines = list.lines().filter(|line| line.split(' ').any(|word| word == named));
    lines.filter_map(|line| Some(line.split(' ').next()?.strip_prefix("id=")?.to_owned())).collect()
}

/// Makes the server close the connections of `name`.
pub(crate) async fn hang_up(server: &RedisServer, name: &str) {
    let open = connections(server, name).await;
    assert!(!open.is_empty(), "{name} is connected");
    for id in open {
        let _ = server.command(&["CLIENT", "KILL", "ID", &id]).await;
    }
}

/// Everybody who believes to hold a key.
#[derive(Debug, Default)]
pub(crate) struct Census {
    believing: Mutex<Vec<Arc<LockGuard>>>,
    /// All tokens that were granted, each with its key.
    tokens: Mutex<Vec<(LockKey, FencingToken)>>,
}

impl Census {
    /// Counts a holder, after all others of its key knew that they had lost it.
    pub(crate) async fn enter(&self, guard: LockGuard) -> Arc<LockGuard> {
        let guard = Arc::new(guard);
        let others: Vec<_> = {
            let mut believing = self.believing.lock().unwrap();
            let of_key = believing.iter().filter(|it| it.key() == guard.key()).cloned().collect();
            believing.push(Arc::clone(&guard));
            of_key
        };
        for other in others {
            assert!(other.is_lost(), "two hold it: {other:?} and {guard:?}");
            if other.lost().await == LossReason::Overdue {
                let known = wall(other.deadline().expect("only what ends is overdue"));
                assert!(known <= guard.lease().granted_at, "{known:?}: {other:?}, {guard:?}");
            }
        }
        let mut tokens = self.tokens.lock().unwrap();
        let earlier = tokens.iter().filter(|(key, _)| key == guard.key()).map(|(_, token)| *token);
        assert!(earlier.max() < Some(guard.token()), "tokens increase: {guard:?}");
        tokens.push((guard.key().clone(), guard.token()));
        drop(tokens);
        guard
    }

    /// Gives the lease back; from the beginning of that on, its holder does not believe any more.
    pub(crate) async fn release(&self, guard: Arc<LockGuard>) -> Result<()> {
        self.believing.lock().unwrap().retain(|it| !Arc::ptr_eq(it, &guard));
        // Somebody who enters may look at it.
        while Arc::strong_count(&guard) > 1 {
            tokio::task::yield_now().await;
        }
        Arc::into_inner(guard).expect("nobody else has it").release().await
    }

    /// Number of granted leases.
    pub(crate) fn grants(&self) -> usize {
        self.tokens.lock().unwrap().len()
    }
}

/// When this is by the clock on the wall, which the server goes by, too.
#[expect(clippy::disallowed_methods, reason = "the server's clock is the machine's")]
fn wall(then: Instant) -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let back = Instant::now().saturating_duration_since(then);
    let ahead = then.saturating_duration_since(Instant::now());
    Timestamp::from_micros(u64::try_from((now + ahead).saturating_sub(back).as_micros()).unwrap())
}
