//! Long runs: no leftovers of the dead, of names used once or of a million hand-offs, and no slow
//! scripts.
//!
//! The numbers are those of a sample. With `LOCK_REDIS_LONG` set, they are those that the figures in
//! `docs/bench/redis-limits.md` are of.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are part of the result")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, HearRequest, InspectQuery, KeepAlive, Lease, ListQuery,
    LockBackend, LockInspector, LockKey, LockManager, ManualClock, Mode, OwnerId, RenewRequest,
    Renewal, RequestId, Timestamp, Ttl,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A number of the sample, or the one that the flag asks for.
fn sized(sample: usize, long: usize) -> usize {
    if is_long() { long } else { sample }
}

fn is_long() -> bool {
    std::env::var_os("LOCK_REDIS_LONG").is_some()
}

fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig::parse(&server.url()).unwrap().with_timeout(Duration::from_secs(30))
}

fn request(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

async fn acquire(
    store: &RedisBackend,
    requests: impl Iterator<Item = AcquireRequest>,
) -> Vec<Acquisition> {
    let (mut sent, mut answers) = (JoinSet::new(), Vec::new());
    for request in requests {
        if sent.len() == 512 {
            answers.extend(sent.join_next().await);
        }
        let store = store.clone();
        sent.spawn(async move { store.acquire(&request).await.unwrap().value });
    }
    answers.extend(sent.join_all().await.into_iter().map(Ok));
    answers.into_iter().map(Result::unwrap).collect()
}

async fn size(server: &RedisServer) -> usize {
    server.command(&["DBSIZE"]).await.parse().unwrap()
}

/// Nothing but the last token, the version of the layout, and what the sweeper holds.
async fn assert_nothing_left(server: &RedisServer) {
    let sweeps = server.command(&["EXISTS", "{lock:0}:sweep"]).await == "1";
    assert_eq!(size(server).await, 2 + usize::from(sweeps), "something is left");
}

/// Memory of this process in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

async fn used(server: &RedisServer) -> u64 {
    server.info("used_memory").await.unwrap().parse().unwrap()
}

/// Leftovers of every kind, without listings: the server's own key count shows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leftovers_of_the_dead_are_removed_automatically() {
    let dead = sized(2000, 100_000) / 4;
    // A lease alone stays for a minute after its end, and sweeps are 45 s apart.
    let (ttl, limit) = match is_long() {
        true => (Duration::from_secs(1), Duration::from_secs(180)),
        false => (Duration::from_secs(1), Duration::from_secs(15)),
    };
    let server = RedisServer::start().await;
    let swept = |config: RedisConfig| match is_long() {
        true => config,
        false => config.with_sweeps_every(Duration::from_millis(500)),
    };
    let alone = config(&server).with_prefix("alone").unwrap();
    let plain = swept(config(&server).with_prefix("plain").unwrap());
    let journaled = swept(config(&server).with_prefix("journaled").unwrap());
    let alone = RedisBackend::connect(alone).await.unwrap();
    let plain = RedisBackend::connect(plain).await.unwrap();
    let journaled = journaled.with_journal(NonZeroU32::new(100).unwrap());
    let journaled = RedisBackend::connect(journaled).await.unwrap();
    let beside = size(&server).await;
    let short = |key: usize| request(&format!("key-{key}")).with_ttl(Ttl::try_from(ttl).unwrap());
    let keep_alive = KeepAlive::try_from(ttl).unwrap();
    acquire(&alone, (0..dead).map(short)).await;
    acquire(&journaled, (0..dead).map(short)).await;
    acquire(&plain, (0..2 * dead).map(|it| short(it / 2).with_mode(Mode::READER))).await;
    acquire(&plain, (dead..3 * dead).map(|it| short(dead + it / 2).queueing(keep_alive))).await;
    let began = Instant::now();
    assert!(size(&server).await > 3 * dead, "there is something to be left");
    if !is_long() {
        // They go too late for this test: each is told to.
        let longest =
            "local longest = 0 for _, key in ipairs(redis.call('KEYS', '{alone:0}:state:*'))
            do local left = redis.call('PTTL', key) if left < 0 then return -1 end
            longest = math.max(longest, left) end return longest";
        let longest: i64 = server.command(&["EVAL", longest, "0"]).await.parse().unwrap();
        assert!((1..=61_000).contains(&longest), "the last lease alone stays {longest} ms");
        drop(alone);
        let gone = "for _, key in ipairs(redis.call('KEYS', '{alone:0}:state:*'))
            do redis.call('DEL', key) end return 1";
        assert_eq!(server.command(&["EVAL", gone, "0"]).await, "1");
    }
    // The journal, and the key that the sweeper holds, in each store.
    while size(&server).await > beside + 4 {
        let left = size(&server).await;
        assert!(began.elapsed() < ttl + limit, "{left} keys are left after {limit:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{} dead leases and waiters are gone after {:?}", 5 * dead, began.elapsed());
}

/// Times of the scripts since the last call, in microseconds, the longest last.
async fn times(server: &RedisServer) -> Vec<u64> {
    let log = server.command(&["SLOWLOG", "GET", "100000"]).await;
    let lines: Vec<_> = log.lines().collect();
    let scripts = lines.iter().enumerate().filter(|(_, it)| ["FCALL", "EVALSHA"].contains(it));
    let mut times: Vec<u64> = scripts.map(|(at, _)| lines[at - 1].parse().unwrap()).collect();
    times.sort_unstable();
    assert_eq!(server.command(&["SLOWLOG", "RESET"]).await, "OK");
    times
}

/// Time of the server's processor in microseconds, which counts nothing that others do.
async fn processor(server: &RedisServer) -> f64 {
    let mut sum = 0.0;
    for field in ["used_cpu_user_main_thread", "used_cpu_sys_main_thread"] {
        sum += server.info(field).await.map_or(0.0, |time| time.parse::<f64>().unwrap());
    }
    sum * 1e6
}

/// Number of scripts so far.
async fn calls(server: &RedisServer) -> u64 {
    let field = if RedisServer::has_functions() { "cmdstat_fcall" } else { "cmdstat_evalsha" };
    let calls = server.info(field).await.unwrap_or_else(|| "calls=0,".to_owned());
    calls.strip_prefix("calls=").and_then(|it| it.split(',').next()).unwrap().parse().unwrap()
}

/// Shows how long scripts take, phase by phase.
struct Meter<'a> {
    server: &'a RedisServer,
    processor: f64,
    calls: u64,
}

impl Meter<'_> {
    async fn show(&mut self, what: &str) {
        let processor = processor(self.server).await;
        let times = times(self.server).await;
        let calls = calls(self.server).await;
        let (mean, count) = (processor - self.processor, calls - self.calls);
        let mean = mean / count as f64;
        let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
        let (p50, p99, longest) = (at(0.5), at(0.99), at(1.0));
        println!(
            "{what}: {count} scripts, of the processor {mean:.0} us each; p50 {p50} p99 {p99} \
             longest {longest} us"
        );
        self.calls = calls;
        self.processor = self::processor(self.server).await;
    }
}

async fn listed(store: &RedisBackend) -> Vec<Lease> {
    let (mut leases, mut query) = (Vec::new(), ListQuery::all());
    loop {
        let page = store.list(&query).await.unwrap().value;
        leases.extend(page.items);
        match page.next {
            Some(next) => query = query.after(next),
            None => return leases,
        }
    }
}

async fn looked_at(store: &RedisBackend, pages: usize) -> usize {
    let (mut query, mut shown) = (InspectQuery::new(LockKey::parse("key").unwrap()), 0);
    query = query.with_limit(NonZeroU32::new(InspectQuery::MAX_LIMIT).unwrap());
    for _ in 0..pages {
        let seen = store.inspect(&query).await.unwrap().value.waiters;
        shown += seen.items.len();
        let Some(next) = seen.next else { break };
        query = query.after(next);
    }
    shown
}

/// The figures are printed; those of the server's own time on a machine that does nothing else.
#[tokio::test]
async fn scripts_are_short_at_any_size() {
    for crowd in if is_long() { vec![20_000, 100_000] } else { vec![2000] } {
        let config_of_server = ServerConfig::new()
            .with("slowlog-log-slower-than", "0")
            .with("slowlog-max-len", "100000");
        let server = RedisServer::start_with(config_of_server).await;
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
        let store = RedisBackend::connect_on(config(&server), Arc::clone(&clock)).await.unwrap();
        let mut meter = Meter {
            server: &server,
            processor: processor(&server).await,
            calls: calls(&server).await,
        };
        let (short, long) = (Duration::from_secs(60), Duration::from_secs(600));
        let reader = |ttl: Duration| {
            request("key").with_mode(Mode::READER).with_ttl(Ttl::try_from(ttl).unwrap())
        };
        acquire(&store, (0..crowd).map(|_| reader(short))).await;
        meter.show(&format!("{crowd} readers: acquire")).await;
        let leases = listed(&store).await;
        assert_eq!(leases.len(), crowd);
        meter.show(&format!("{crowd} readers: list")).await;
        let renewals: Vec<_> =
            leases.iter().map(|it| RenewRequest::new(it.name(), it.ttl)).collect();
        for renewals in renewals.chunks(128) {
            for renewed in store.renew(renewals).await {
                assert!(matches!(renewed.unwrap().value, Renewal::Renewed { .. }));
            }
        }
        meter.show(&format!("{crowd} readers: renew 128")).await;

        let waiter = |keep: Duration| reader(long).queueing(KeepAlive::try_from(keep).unwrap());
        let writer = request("key").queueing(KeepAlive::try_from(short).unwrap());
        acquire(&store, [writer].into_iter()).await;
        let dying: Vec<_> = (0..crowd / 2).map(|_| waiter(short)).collect();
        let living: Vec<_> = (0..crowd / 2).map(|_| waiter(long)).collect();
        acquire(&store, dying.into_iter()).await;
        acquire(&store, living.iter().cloned()).await;
        meter.show(&format!("{crowd} waiters: join")).await;
        looked_at(&store, usize::MAX).await;
        meter.show(&format!("{crowd} waiters: inspect")).await;
        let hear: Vec<_> =
            living.iter().map(|it| HearRequest::new(it.key.clone(), it.id)).collect();
        for hear in hear.chunks(128) {
            assert!(store.hear(hear).await.iter().all(Result::is_ok));
        }
        meter.show(&format!("{crowd} waiters: hear 128")).await;
        // All readers, the writer and half of the waiters are over; the others are granted.
        clock.advance(short * 2);
        looked_at(&store, 3 * crowd / 128).await;
        meter.show(&format!("{crowd} over: inspect that settles")).await;
        for hear in hear.chunks(128) {
            assert!(store.hear(hear).await.iter().all(Result::is_ok));
        }
        meter.show(&format!("{crowd} granted: hear that claims")).await;
        let names: Vec<_> = listed(&store).await.iter().map(Lease::name).collect();
        meter.show(&format!("{crowd} granted: list")).await;
        for name in names.into_iter().take(2000) {
            let _ = store.release(&lock_core::ReleaseRequest::new(name)).await.unwrap();
        }
        meter.show(&format!("{crowd} granted: release")).await;
    }
}

async fn take_turns(manager: LockManager, turns: usize) {
    for _ in 0..turns {
        let guard = manager.acquire("key").wait(Duration::from_secs(60)).await.unwrap();
        guard.release().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hand_offs_leave_no_memory() {
    let turns = sized(2000, 1_000_000) / 4;
    let server = RedisServer::start().await;
    let mut managers = Vec::new();
    for owner in ["alice", "bob"] {
        let store = RedisBackend::connect(config(&server)).await.unwrap();
        managers.push(LockManager::new(store, OwnerId::parse(owner).unwrap()));
    }
    let round = async |turns: usize| {
        let mut tasks = JoinSet::new();
        for manager in managers.iter().cycle().take(4) {
            tasks.spawn(take_turns(manager.clone(), turns));
        }
        tasks.join_all().await;
    };
    round(turns / 10).await;
    let channels = server.command(&["PUBSUB", "CHANNELS"]).await.lines().count();
    let before = (resident(), used(&server).await);
    let began = Instant::now();
    round(turns).await;
    let (elapsed, after) = (began.elapsed(), (resident(), used(&server).await));
    println!(
        "{} hand-offs in {elapsed:?}: client {} -> {} bytes, server {} -> {} bytes",
        4 * turns,
        before.0,
        after.0,
        before.1,
        after.1
    );
    assert_eq!(server.command(&["PUBSUB", "CHANNELS"]).await.lines().count(), channels);
    assert!(after.0 < before.0 + (8 << 20), "the client grew");
    assert!(after.1 < before.1 + (1 << 20), "the server grew");
    assert_nothing_left(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_used_once_leave_nothing() {
    let names = sized(1000, 10_000);
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server)).await.unwrap();
    let manager = LockManager::new(store, OwnerId::parse("alice").unwrap());
    let round = async |round: usize| {
        for name in 0..names {
            let guard = manager.acquire(format!("round-{round}/name-{name}")).await.unwrap();
            guard.release().await.unwrap();
        }
    };
    round(0).await;
    let channels = server.command(&["PUBSUB", "CHANNELS"]).await.lines().count();
    let before = (resident(), used(&server).await);
    round(1).await;
    let after = (resident(), used(&server).await);
    println!(
        "{names} names: client {} -> {} bytes, server {} -> {} bytes",
        before.0, after.0, before.1, after.1
    );
    assert_nothing_left(&server).await;
    assert_eq!(server.command(&["PUBSUB", "CHANNELS"]).await.lines().count(), channels);
    assert!(after.0 < before.0 + (1 << 20), "the client grew");
    assert!(after.1 < before.1 + (1 << 18), "the server grew");
}
