//! The cost of Atlantis' layout, compared with the commands that Atlantis itself sends.
//!
//! Each round measures both, and what counts is the median of the ratios.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::env;
use std::time::Duration;

use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::LegacyBackend;
use lock_compat::conformance::lock;
use lock_compat::legacy::{LegacyKey, ProjectLock, decode};
use lock_testkit_redis::server::RedisServer;
use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

const LOCKS: usize = 5000;
const ROUNDS: usize = 5;
const ATTEMPTS: usize = 2000;

fn main() {
    // Without this word it is a test run, which is not about time.
    if !env::args().any(|word| word == "--bench") {
        return;
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().build().expect("a runtime can start").block_on(run());
}

async fn run() {
    let server = RedisServer::start().await;
    let config = ServerConfig::parse(&server.url()).expect("a URL");
    let store = AtlantisRedis::connect(config).await.expect("the server is up");
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut plain = client.get_multiplexed_async_connection().await.expect("the server is up");
    for number in 0..LOCKS {
        let lock = lock("acme/infra", &format!("modules/number-{number}"), "default", 7);
        assert!(store.try_lock(lock).await.expect("it locks").0);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut attempt, mut set) = (Vec::new(), Vec::new());
    let (mut unlock, mut each) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let start = Instant::now();
        assert_eq!(store.list().await.expect("it lists").locks.len(), LOCKS);
        ours.push(start.elapsed());
        let start = Instant::now();
        assert_eq!(one_by_one(&mut plain).await.len(), LOCKS);
        theirs.push(start.elapsed());
        attempt.push(attempts(&store, round).await);
        set.push(sets(&mut plain, round).await);
        unlock.push(
            unlocked(&store, round, async |pull| {
                store.unlock_by_pull("gone/infra", pull).await.expect("it unlocks").locks.len()
            })
            .await,
        );
        each.push(
            unlocked(&store, round + ROUNDS, async |pull| one_each(&store, pull).await).await,
        );
    }
    let trips = round_trips(&server, &store).await;
    println!("listing {LOCKS} locks: {:?}, one GET for each: {:?}", median(&ours), median(&theirs));
    println!("an attempt: {:?}, a bare SET NX: {:?}", median(&attempt), median(&set));
    println!(
        "unlocking {LOCKS} of a pull: {:?}, one call each: {:?}",
        median(&unlock),
        median(&each)
    );
    figure("list.5000.times-quicker", ratio(&theirs, &ours), 10.0, |value| value >= 10.0);
    figure("unlock_by_pull.5000.times-quicker", ratio(&each, &unlock), 5.0, |value| value >= 5.0);
    figure("try_lock.round-trips", trips, 1.0, |value| value <= 1.0);
    figure("try_lock.of-set-nx", ratio(&attempt, &set), 1.5, |value| value <= 1.5);
}

/// As Atlantis does: a scan, then one command per lock.
async fn one_by_one(plain: &mut MultiplexedConnection) -> Vec<ProjectLock> {
    let (mut locks, mut cursor) = (Vec::with_capacity(LOCKS), 0_u64);
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg("pr*");
        let (next, keys): (u64, Vec<String>) = scan.query_async(plain).await.expect("it scans");
        for key in keys.iter().filter(|key| key.starts_with("pr/acme")) {
            let bytes: Vec<u8> =
                redis::cmd("GET").arg(key).query_async(plain).await.expect("it is there");
            locks.push(decode(key, &bytes).expect("a lock"));
        }
        if next == 0 {
            return locks;
        }
        cursor = next;
    }
}

/// Locks for a pull request, and measures how long it takes to unlock all of them.
async fn unlocked(
    store: &AtlantisRedis,
    round: usize,
    unlock: impl AsyncFnOnce(i64) -> usize,
) -> Duration {
    let pull = round as i64 + 1;
    for number in 0..LOCKS {
        let lock = lock("gone/infra", &format!("modules/number-{number}"), "default", pull);
        assert!(store.try_lock(lock).await.expect("it locks").0);
    }
    let start = Instant::now();
    assert_eq!(unlock(pull).await, LOCKS);
    start.elapsed()
}

/// The former implementation: lists the locks and unlocks each by a call of its own.
async fn one_each(store: &AtlantisRedis, pull: i64) -> usize {
    let locks = store.list().await.expect("it lists").locks;
    let mut unlocked = 0;
    for lock in locks.iter().filter(|lock| lock.project.repo_full_name == "gone/infra") {
        let unlock = store.unlock_if_owned_by_pull(&lock.project, &lock.workspace, pull);
        unlocked += usize::from(unlock.await.expect("it unlocks").is_some());
    }
    unlocked
}

/// Number of commands that an attempt sends, as the server counts them: those in scripts are not
/// sent.
async fn round_trips(server: &RedisServer, store: &AtlantisRedis) -> f64 {
    let count = async || -> (f64, f64) {
        let stats = server.command(&["INFO", "commandstats"]).await;
        let calls = |name: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(name))?;
            line.split([',', '=']).nth(1)?.parse::<f64>().ok()
        };
        let all = server.info("total_commands_processed").await.and_then(|it| it.parse().ok());
        let scripted = ["cmdstat_get:", "cmdstat_set:"].map(|name| calls(name).unwrap_or(0.0));
        (all.expect("a number"), scripted.iter().sum())
    };
    let (before, inside_before) = count().await;
    for number in 0..100 {
        let lock = lock("trips/infra", &format!("modules/number-{number}"), "default", 7);
        assert!(store.try_lock(lock).await.expect("it locks").0);
    }
    let (after, inside_after) = count().await;
    // A script reads once and writes once: whatever reads more is sent. The looks themselves are 2.
    let inside = (inside_after - inside_before).min(200.0);
    (after - before - inside - 2.0) / 100.0
}

async fn attempts(store: &AtlantisRedis, round: usize) -> Duration {
    let locks: Vec<_> = (0..ATTEMPTS).map(|number| other(round, number)).collect();
    let start = Instant::now();
    for lock in &locks {
        assert!(store.try_lock(lock.clone()).await.expect("it locks").0);
    }
    let time = start.elapsed() / ATTEMPTS as u32;
    store.unlock_by_pull("other/infra", 7).await.expect("it unlocks");
    time
}

async fn sets(plain: &mut MultiplexedConnection, round: usize) -> Duration {
    let locks: Vec<_> = (0..ATTEMPTS).map(|number| other(round, number)).collect();
    let start = Instant::now();
    for lock in &locks {
        let mut set = redis::cmd("SET");
        set.arg(format!("pr/{}", LegacyKey::of(lock))).arg(lock_compat::legacy::encode(lock));
        let _: String = set.arg("NX").query_async(plain).await.expect("it sets");
    }
    let time = start.elapsed() / ATTEMPTS as u32;
    for lock in &locks {
        let mut del = redis::cmd("DEL");
        let key = format!("pr/{}", LegacyKey::of(lock));
        let _: u64 = del.arg(key).query_async(plain).await.expect("it deletes");
    }
    time
}

fn other(round: usize, number: usize) -> ProjectLock {
    lock("other/infra", &format!("round-{round}/number-{number}"), "default", 7)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[times.len() / 2]
}

fn ratio(one: &[Duration], other: &[Duration]) -> f64 {
    let rounds = one.iter().zip(other);
    let mut ratios: Vec<f64> =
        rounds.map(|(one, other)| one.as_secs_f64() / other.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

fn figure(name: &str, value: f64, target: f64, is_reached: impl Fn(f64) -> bool) {
    let verdict = if is_reached(value) { "ok" } else { "short" };
    println!("figure {name} {value:.3} {target:.3} {verdict}");
}
