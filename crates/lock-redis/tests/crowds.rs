//! Crowds: a server that is asked by very many is never held up, and no answer is too long.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the times are part of the result")]

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, EvictRequest, InspectQuery, Inspection, KeepAlive, Lease,
    ListQuery, LockBackend, LockInspector, LockKey, ManualClock, Metadata, Mode, OwnerId, Reason,
    RenewRequest, Renewal, RequestId, Timestamp, Ttl, WaitsQuery,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::task::JoinSet;

fn request(key: &str, number: usize) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), format!("owner-{}", number % 100));
    AcquireRequest::new(RequestId::random(), key, OwnerId::parse(&owner).unwrap())
}

fn ttl(span: Duration) -> Ttl {
    Ttl::try_from(span).unwrap()
}

struct Scene {
    server: RedisServer,
    store: RedisBackend,
    clock: Arc<ManualClock>,
}

impl Scene {
    /// A server that remembers commands that take longer than 1 ms.
    async fn start(limit: Duration) -> Self {
        let config = ServerConfig::new()
            .with("slowlog-log-slower-than", "1000")
            .with("slowlog-max-len", "10000");
        let server = RedisServer::start_with(config).await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let config = RedisConfig::parse(&server.url()).unwrap().with_timeout(limit);
        let store = RedisBackend::connect_on(config, Arc::clone(&clock)).await.unwrap();
        Self { server, store, clock }
    }

    async fn acquire(&self, requests: impl Iterator<Item = AcquireRequest>) -> Vec<Acquisition> {
        let mut sent = JoinSet::new();
        for request in requests {
            let store = self.store.clone();
            sent.spawn(async move { store.acquire(&request).await.unwrap().value });
        }
        sent.join_all().await
    }

    /// The time of the longest script since the last call, in microseconds.
    async fn longest(&self) -> u64 {
        let log = self.server.command(&["SLOWLOG", "GET", "10000"]).await;
        let lines: Vec<_> = log.lines().collect();
        let scripts = lines.iter().enumerate().filter(|(_, it)| ["FCALL", "EVALSHA"].contains(it));
        let longest = scripts.map(|(at, _)| lines[at - 1].parse().unwrap()).max();
        assert_eq!(self.server.command(&["SLOWLOG", "RESET"]).await, "OK");
        longest.unwrap_or(1000)
    }

    /// Prints how long the longest script took of what is done: a figure, which decides nothing.
    async fn show_longest(&self, what: &str, mut done: impl AsyncFnMut()) {
        self.longest().await;
        done().await;
        println!("{what}: the longest script took {} us", self.longest().await);
    }

    /// Inspects the key after enough commands to drop expired entries.
    async fn seen(&self) -> Inspection {
        let query = InspectQuery::new(LockKey::parse("key").unwrap());
        for _ in 0..100 {
            match self.store.inspect(&query).await {
                Ok(seen) => return seen.value,
                Err(error) => assert!(!error.is_unknown() && error.is_retryable(), "{error:?}"),
            }
        }
        panic!("a hundred commands drop all that is over");
    }

    /// The leases of all pages, and the longest page.
    async fn listed(&self, limit: u32) -> (Vec<Lease>, usize) {
        let (mut leases, mut longest) = (Vec::new(), 0);
        let mut query = ListQuery::all().with_limit(NonZeroU32::new(limit).unwrap());
        loop {
            let page = self.store.list(&query).await.unwrap().value;
            longest = longest.max(page.items.len());
            leases.extend(page.items);
            match page.next {
                Some(next) => query = query.after(next),
                None => return (leases, longest),
            }
        }
    }
}

/// Twenty thousand readers are shown, and over all at once, and nothing takes long.
#[tokio::test]
async fn scripts_are_short_among_twenty_thousand_readers() {
    const READERS: usize = 20_000;
    let scene = Scene::start(RedisConfig::DEFAULT_TIMEOUT).await;
    let span = Duration::from_secs(60);
    let readers =
        (0..READERS).map(|it| request("key", it).with_mode(Mode::READER).with_ttl(ttl(span)));
    let granted = scene.acquire(readers).await;
    assert!(granted.iter().all(|it| matches!(it, Acquisition::Granted(_))));
    for limit in [300, 1000] {
        let list = async || {
            let (leases, longest) = scene.listed(limit).await;
            assert!(longest <= limit as usize, "{longest} on a page of {limit}");
            let shown: HashSet<_> = leases.iter().map(|it| it.request).collect();
            assert_eq!((leases.len(), shown.len()), (READERS, READERS));
        };
        scene.show_longest("listing", list).await;
    }
    scene.clock.advance(span);
    let query = InspectQuery::new(LockKey::parse("key").unwrap());
    let look = async || {
        let seen = scene.store.inspect(&query).await.unwrap().value;
        assert_eq!(seen.holders, 0, "what is over counts nowhere");
    };
    scene.show_longest("dropping", look).await;
    let writer = scene.acquire([request("key", 0)].into_iter()).await.remove(0);
    assert!(matches!(writer, Acquisition::Granted(_)), "{writer:?}");
    // A clock that jumps back makes none of them alive again, and no command longer.
    scene.clock.set(Timestamp::from_micros(1_800_000_000_000_000));
    let mut leases = Vec::new();
    scene.show_longest("after a jump back", async || leases = scene.seen().await.leases).await;
    assert_eq!(leases.iter().map(|it| it.mode).collect::<Vec<_>>(), [Mode::Exclusive]);
}

/// Leases that may not all be dropped at once stay over when the clock jumps back.
#[tokio::test]
async fn clock_that_jumps_back_revives_none_of_many_leases() {
    let scene = Scene::start(RedisConfig::DEFAULT_TIMEOUT).await;
    let span = Duration::from_secs(60);
    let readers =
        (0..1000).map(|it| request("key", it).with_mode(Mode::READER).with_ttl(ttl(span)));
    scene.acquire(readers).await;
    scene.clock.advance(span);
    let query = InspectQuery::new(LockKey::parse("key").unwrap());
    assert_eq!(scene.store.inspect(&query).await.unwrap().value.holders, 0);
    scene.clock.set(Timestamp::from_micros(1_800_000_000_000_000));
    let early = scene.store.acquire(&request("key", 0)).await.unwrap_err();
    assert!(!early.is_unknown() && early.is_retryable(), "{early:?} while many are to be dropped");
    assert_eq!(scene.seen().await.holders, 0);
    let writer = scene.acquire([request("key", 0)].into_iter()).await.remove(0);
    assert!(matches!(writer, Acquisition::Granted(_)), "{writer:?}");
}

/// Thirty thousand ask at once: all are answered, although each waits for an answer for 2 s only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_thousand_join_at_once() {
    let scene = Scene::start(RedisConfig::DEFAULT_TIMEOUT).await;
    let joins = (0..30_000).map(|it| request("key", it).queueing(KeepAlive::default()));
    let answers = scene.acquire(joins).await;
    let queued = answers.iter().filter(|it| matches!(it, Acquisition::Queued(_))).count();
    assert_eq!(queued, 29_999);
    let waits = WaitsQuery::new(OwnerId::parse("owner-1").unwrap());
    assert!(!scene.store.waits_of(&waits).await.unwrap().value.items.is_empty());
}

/// Many look at once at a crowded key.
#[tokio::test]
async fn two_hundred_look_at_once_at_two_thousand_waiters() {
    let scene = Scene::start(RedisConfig::DEFAULT_TIMEOUT).await;
    scene.acquire((0..2000).map(|it| request("key", it).queueing(KeepAlive::default()))).await;
    let mut looking = JoinSet::new();
    for _ in 0..200 {
        let store = scene.store.clone();
        let query = InspectQuery::new(LockKey::parse("key").unwrap());
        looking.spawn(async move { store.inspect(&query).await.unwrap().value.waiting });
    }
    assert_eq!(looking.join_all().await, [1999; 200]);
}

/// Large metadata makes pages short and never fails them.
#[tokio::test]
async fn large_metadata_makes_pages_short() {
    const LEASES: usize = 64;
    let scene = Scene::start(Duration::from_secs(30)).await;
    let text = "x".repeat(900 * 1024);
    let metadata = Metadata::parse([("plan", text.as_str())]).unwrap();
    let of = |it: usize, key: String| request(&key, it).with_metadata(metadata.clone());
    let apart = scene.acquire((0..LEASES).map(|it| of(it, format!("key-{it}")))).await;
    let together =
        scene.acquire((0..LEASES).map(|it| of(it, "key".into()).with_mode(Mode::READER)));
    assert!(together.await.iter().chain(&apart).all(|it| matches!(it, Acquisition::Granted(_))));
    let list = async || {
        let (leases, longest) = scene.listed(1000).await;
        let shown: HashSet<_> = leases.iter().map(|it| it.request).collect();
        assert_eq!((leases.len(), shown.len()), (2 * LEASES, 2 * LEASES));
        assert!(longest <= 4, "{longest} on a page");
    };
    scene.show_longest("listing", list).await;
    let query = InspectQuery::new(LockKey::parse("key").unwrap());
    let seen = scene.store.inspect(&query).await.unwrap().value;
    assert_eq!((seen.holders, seen.leases.len()), (LEASES as u64, 1));
    let renewals: Vec<_> = scene.listed(1000).await.0;
    let renewals: Vec<_> =
        renewals.into_iter().map(|it| RenewRequest::new(it.name(), it.ttl)).collect();
    for renewed in scene.store.renew(&renewals).await {
        assert!(matches!(renewed.unwrap().value, Renewal::Renewed { .. }));
    }
}

#[tokio::test]
async fn large_lease_is_listed_where_others_wait_or_were_evicted() {
    let scene = Scene::start(Duration::from_secs(30)).await;
    let text = "x".repeat(900 * 1024);
    let metadata = Metadata::parse([("plan", text.as_str())]).unwrap();
    let of = |it: usize, key: &str| request(key, it).with_metadata(metadata.clone());
    scene.acquire(["evicted", "waited-for"].map(|key| of(0, key)).into_iter()).await;
    let (key, by) = (LockKey::parse("evicted").unwrap(), OwnerId::parse("operator").unwrap());
    let evict = EvictRequest::all(key, by, Reason::parse("over").unwrap());
    let evicted = scene.store.evict(&evict).await.unwrap();
    assert_eq!(evicted.value.leases.len(), 1);
    let waiting = of(2, "waited-for").queueing(KeepAlive::default());
    scene.acquire([of(1, "evicted"), waiting].into_iter()).await;
    let (mut query, mut listed) = (ListQuery::all(), Vec::new());
    for _ in 0..8 {
        let page = scene.store.list(&query).await.unwrap().value;
        listed.extend(page.items.into_iter().map(|lease| lease.key.to_string()));
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    listed.sort();
    assert_eq!((query.cursor, listed), (None, vec!["evicted".into(), "waited-for".into()]));
}
