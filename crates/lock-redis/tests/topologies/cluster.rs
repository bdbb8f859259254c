//! The masters of a cluster.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::OnceLock;
use std::time::Duration;

use lock_core::{
    Acquisition, CancelRequest, ErrorKind, HearRequest, Heard, KeepAlive, Lease, ListQuery,
    LockBackend, LockInspector, OwnerId, Release, ReleaseRequest, WaitsQuery,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::cluster::RedisCluster;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{Instant, sleep};

use crate::conformance::{self, Servers};
use crate::load::{Load, Report};
use crate::{PATIENCE, request};

impl Servers for RedisCluster {
    async fn start() -> Self {
        Self::start().await
    }

    fn url(&self) -> String {
        self.url()
    }

    fn running() -> &'static OnceLock<String> {
        static RUNNING: OnceLock<String> = OnceLock::new();
        &RUNNING
    }
}

#[test]
fn cases_pass_in_a_cluster() {
    conformance::run::<RedisCluster>();
}

fn config(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig::parse(&cluster.url()).unwrap()
}

async fn acquire(store: &RedisBackend, key: &str) -> Lease {
    match store.acquire(&request(key)).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("{key}: {other:?}"),
    }
}

/// All on one cluster, as its start takes longer than each of them.
#[tokio::test]
async fn store_is_spread_over_a_cluster_whose_slots_move() {
    let cluster = RedisCluster::start().await;
    number_of_shards_is_fixed(&cluster).await;
    commands_are_spread_over_the_masters(&cluster).await;
    waits_are_found_in_all_shards_page_by_page(&cluster).await;
    leases_are_listed_over_all_masters_while_slots_move(&cluster).await;
    slot_that_moved_is_followed_and_one_that_moves_does_no_harm(&cluster).await;
}

#[tokio::test]
async fn failover_serves_all_waiters() {
    let cluster = RedisCluster::start().await;
    let load = Load::start(&config(&cluster)).await;
    load.all_served().await;
    let before = looks(&cluster, 0).await;
    cluster.watchful().await;
    cluster.nodes()[0].kill().await;
    let killed = Instant::now();
    cluster.promoted(0, 0).await;
    let promoted = killed.elapsed();
    let recovered = load.all_served().await;
    let looks = looks(&cluster, 0).await - before;
    let report = load.end().await;
    let Report { grants, overlaps, refused } = report;
    println!(
        "promoted after {promoted:?}, all keys granted {recovered:?} later, {looks} looks; \
         {grants} grants, {overlaps} overlaps, {refused} writes refused"
    );
    assert!(recovered < Duration::from_secs(2), "all keys were granted after {recovered:?}");
    // Four stores look at most ten times a second each, and each look asks two nodes.
    let limit = 4.0 * 2.0 * 10.0 * (promoted + recovered + Duration::from_secs(2)).as_secs_f64();
    assert!((looks as f64) < limit, "{looks} looks are a storm");
}

/// The number of times that nodes were asked who has which slots, but for one of them.
async fn looks(cluster: &RedisCluster, except: usize) -> u64 {
    let mut sum = 0;
    for (number, node) in cluster.nodes().iter().enumerate() {
        if number != except {
            let stats = node.command(&["INFO", "commandstats"]).await;
            let calls = stats.lines().find_map(|line| {
                line.strip_prefix("cmdstat_cluster|slots:calls=")?.split(',').next()?.parse().ok()
            });
            sum += calls.unwrap_or(0_u64);
        }
    }
    sum
}

async fn leases_are_listed_over_all_masters_while_slots_move(cluster: &RedisCluster) {
    let store =
        RedisBackend::connect(config(cluster).with_prefix("listed").unwrap()).await.unwrap();
    let names: BTreeSet<_> = (0..300).map(|number| format!("key-{number}")).collect();
    for name in &names {
        acquire(&store, name).await;
    }
    assert_eq!(list(&store, async |_| ()).await.len(), names.len(), "each is listed once");
    let mut slots = Vec::new();
    for shard in [0, 5, 20, 30, 63] {
        slots.push(slot(cluster, "listed", shard).await);
    }
    let mut found = BTreeSet::new();
    found.extend(
        list(&store, async |page: usize| {
            if let Some(slot) = slots.get(page) {
                move_slot(cluster, *slot).await;
            }
        })
        .await,
    );
    let missing: Vec<_> = names.difference(&found).collect();
    assert!(missing.is_empty(), "not listed as its shard moved: {missing:?}");
}

/// Lists all leases by pages of seven, doing something after each.
async fn list(store: &RedisBackend, mut after_page: impl AsyncFnMut(usize)) -> Vec<String> {
    let mut query = ListQuery::all().with_limit(NonZeroU32::new(7).unwrap());
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.list(&query).await.unwrap().value;
        assert!(page.items.len() <= 7);
        found.extend(page.items.into_iter().map(|lease| lease.key.to_string()));
        let Some(next) = page.next else { return found };
        query = query.after(next);
        after_page(pages).await;
        pages += 1;
    }
}

/// The slot of a shard of the store.
async fn slot(cluster: &RedisCluster, prefix: &str, shard: u16) -> u16 {
    let begin = format!("{{{prefix}:{shard}:");
    for node in cluster.nodes() {
        let keys = node.command(&["KEYS", &format!("{begin}*}}:token")]).await;
        if let Some(key) = keys.lines().find(|key| key.starts_with(&begin)) {
            let slot = node.command(&["CLUSTER", "KEYSLOT", key]).await;
            return slot.parse().unwrap();
        }
    }
    panic!("there is no shard {shard}");
}

/// Moves a slot to the next master.
async fn move_slot(cluster: &RedisCluster, slot: u16) {
    let from = cluster.owner(slot).await;
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to).await;
    while !cluster.move_keys(slot, from, to, 100).await {}
    cluster.end_move(slot, to).await;
}

async fn slot_that_moved_is_followed_and_one_that_moves_does_no_harm(cluster: &RedisCluster) {
    let store = RedisBackend::connect(config(cluster).with_prefix("moved").unwrap()).await.unwrap();
    // By `CLUSTER KEYSLOT`, these locks are of the first and the second 64th of the slots.
    let mut of_shard = (0..).map(|number| format!("key-{number}"));
    let mut in_first = async || loop {
        let key = of_shard.next().unwrap();
        let slot: u16 =
            cluster.nodes()[0].command(&["CLUSTER", "KEYSLOT", &key]).await.parse().unwrap();
        if slot < 256 {
            return key;
        }
    };
    let (one, two, three) = (in_first().await, in_first().await, in_first().await);
    let held = acquire(&store, &one).await;
    let slot = slot(cluster, "moved", 0).await;
    let from = cluster.owner(slot).await;
    let to = (from + 1) % 3;
    cluster.begin_move(slot, from, to).await;
    while !cluster.move_keys(slot, from, to, 100).await {}
    // A command of one key is asked for at the node that gets the slot.
    let released = store.release(&ReleaseRequest::new(held.name())).await.unwrap();
    assert_eq!(released.value, Release::Released);
    // One of several keys, of which some do not exist, waits until the slot has moved.
    let error = store.acquire(&request(&two)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    assert!(error.source().unwrap().to_string().contains("TryAgain"), "{error:?}");
    cluster.end_move(slot, to).await;
    let moved = acquire(&store, &three).await;
    assert!(held.token < moved.token);
    assert_eq!(acquire(&store, &one).await.key.as_str(), one);
}

async fn number_of_shards_is_fixed(cluster: &RedisCluster) {
    let config = config(cluster);
    let with = |shards| config.clone().with_shards(NonZeroU16::new(shards).unwrap()).unwrap();
    let refused = async |config: RedisConfig, words: &str| {
        let error = RedisBackend::connect(config).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unsupported, false));
        let cause = error.source().unwrap().to_string();
        assert!(cause.contains(words), "{cause}");
    };
    RedisBackend::connect(config.clone()).await.unwrap();
    RedisBackend::connect(with(64)).await.unwrap();
    refused(with(32), "in 64 shards, and ours is layout 1 in 32 shards").await;
    refused(with(1), "in 64 shards, and ours is layout 1 in 1 shard").await;
    // A client of one server, at the node that has the slot, would not see the shards.
    let owner = cluster.owner(slot_of(cluster, "{lock:0}").await).await;
    let alone = RedisConfig::parse(&cluster.nodes()[owner].url()).unwrap();
    refused(alone.clone(), "shards 64").await;
    // Neither is a store of one shard divided.
    let other = |config: RedisConfig| config.with_prefix("other").unwrap();
    RedisBackend::connect(other(with(1))).await.unwrap();
    refused(other(with(64)), "in 1 shard, and ours is layout 1 in 64 shards").await;
}

async fn slot_of(cluster: &RedisCluster, name: &str) -> u16 {
    cluster.nodes()[0].command(&["CLUSTER", "KEYSLOT", name]).await.parse().unwrap()
}

#[tokio::test]
async fn server_that_is_no_cluster_is_refused() {
    let server = RedisServer::start().await;
    let url = format!("redis+cluster://{}", server.addr());
    let error = RedisBackend::connect(RedisConfig::parse(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

async fn waits_are_found_in_all_shards_page_by_page(cluster: &RedisCluster) {
    let store = RedisBackend::connect(config(cluster).with_prefix("waits").unwrap()).await.unwrap();
    let mut expected = BTreeSet::new();
    for number in 0..25 {
        let key = format!("key-{number}");
        acquire(&store, &key).await;
        for _ in 0..3 {
            let waits = request(&key).queueing(KeepAlive::default());
            assert!(matches!(store.acquire(&waits).await.unwrap().value, Acquisition::Queued(_)));
            expected.insert(waits.id);
        }
    }
    for limit in [1, 2, 7, 74, 75, 1000] {
        let query = WaitsQuery::new(OwnerId::parse("alice").unwrap());
        let mut query = query.with_limit(NonZeroU32::new(limit).unwrap());
        let (mut found, mut count) = (BTreeSet::new(), 0);
        loop {
            let page = store.waits_of(&query).await.unwrap().value;
            assert!(page.items.len() <= limit as usize);
            count += page.items.len();
            found.extend(page.items.into_iter().map(|waiter| waiter.request));
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        assert_eq!((found.len(), count), (75, 75), "by {limit}");
        assert_eq!(found, expected);
    }
}

async fn commands_are_spread_over_the_masters(cluster: &RedisCluster) {
    let store =
        RedisBackend::connect(config(cluster).with_prefix("spread").unwrap()).await.unwrap();
    let mut before = Vec::new();
    for node in &cluster.nodes()[..3] {
        before.push(calls(node).await);
    }
    for number in 0..3_000 {
        let lease = acquire(&store, &format!("acme/infra-{number}/prod")).await;
        let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
    }
    for (node, before) in cluster.nodes()[..3].iter().zip(before) {
        let calls = calls(node).await - before;
        println!("{calls} calls");
        assert!((1_800..=2_200).contains(&calls), "{calls} of 6000 are not about a third");
    }
}

async fn calls(node: &RedisServer) -> u64 {
    let stats = node.command(&["INFO", "commandstats"]).await;
    let calls = |line: &str| {
        let (name, calls) = line.split_once(":calls=")?;
        let is_ours = ["cmdstat_fcall", "cmdstat_evalsha"].contains(&name);
        is_ours.then(|| calls.split(',').next()?.parse::<u64>().ok()).flatten()
    };
    stats.lines().filter_map(calls).sum()
}

#[tokio::test]
async fn health_names_the_masters_and_a_lost_one() {
    let cluster = RedisCluster::start().await;
    let store = RedisBackend::connect(config(&cluster)).await.unwrap();
    let health = store.health().await.unwrap();
    assert!(health.grants && health.store.contains("3 masters, 64 shards"), "{health:?}");
    for node in [1, 4] {
        cluster.nodes()[node].kill().await;
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let health = store.health().await.unwrap();
        if !health.grants {
            assert!(health.warnings.iter().any(|it| it.contains("7.") || it.contains(":")));
            break;
        }
        assert!(Instant::now() < deadline, "{health:?}");
        sleep(Duration::from_millis(10)).await;
    }
    // The others go on.
    let mut granted = 0;
    for number in 0..30 {
        granted += u32::from(store.acquire(&request(&format!("key-{number}"))).await.is_ok());
        if granted == 3 {
            return;
        }
    }
    panic!("{granted} of 30 were granted by two masters");
}

/// Requests with their fate, in a store that is divided.
#[tokio::test]
async fn divided_store_keeps_leases_waiters_marks_and_tokens() {
    let (server, cluster) = tokio::join!(RedisServer::start(), RedisCluster::start());
    let alone = RedisConfig::parse(&server.url()).unwrap();
    divide(&alone, config(&cluster)).await;
    refused_as_divided(alone).await;
    // The same within the cluster, from one shard.
    let within = config(&cluster).with_prefix("within").unwrap();
    let one = within.clone().with_shards(NonZeroU16::MIN).unwrap();
    divide(&one, within).await;
    refused_as_divided(one).await;
}

async fn refused_as_divided(old: RedisConfig) {
    let error = RedisBackend::connect(old).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
}

async fn divide(from: &RedisConfig, to: RedisConfig) {
    const KEYS: usize = 100;
    let old = RedisBackend::connect(from.clone()).await.unwrap();
    let (mut leases, mut waiters) = (Vec::new(), Vec::new());
    for number in 0..KEYS {
        let key = format!("key-{number}");
        leases.push(acquire(&old, &key).await);
        for _ in 0..number % 3 {
            let waits = request(&key).queueing(KeepAlive::try_from(PATIENCE).unwrap());
            assert!(matches!(old.acquire(&waits).await.unwrap().value, Acquisition::Queued(_)));
            waiters.push(waits);
        }
    }
    let ended = request("ended");
    let cancel = CancelRequest::new(ended.key.clone(), ended.id).with_answer_outstanding(true);
    let _ = old.cancel(&cancel).await.unwrap();
    drop(old);
    // As if a division was interrupted: it is begun again, and the store refuses clients meanwhile.
    let _ = RedisBackend::divide(from.clone(), to.clone().with_timeout(Duration::ZERO)).await;
    refused_as_divided(from.clone()).await;
    let division = RedisBackend::divide(from.clone(), to.clone()).await.unwrap();
    assert_eq!((division.locks, division.shards), (KEYS as u64 + 1, 64));
    let store = RedisBackend::connect(to).await.unwrap();
    assert_eq!(list(&store, async |_| ()).await.len(), KEYS);
    let owner = WaitsQuery::new(OwnerId::parse("alice").unwrap());
    assert_eq!(store.waits_of(&owner).await.unwrap().value.items.len(), waiters.len());
    assert!(matches!(store.acquire(&ended).await.unwrap().value, Acquisition::Ended(_)));
    for lease in &leases {
        let released = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
        assert_eq!(released.value, Release::Released, "{}", lease.key);
        let first = waiters.iter().find(|waiter| waiter.key == lease.key);
        let token = match first {
            Some(first) => {
                let hears = [HearRequest::new(first.key.clone(), first.id)];
                match store.hear(&hears).await.remove(0).unwrap().value {
                    Heard::Granted(lease) => lease.token,
                    other => panic!("{}: {other:?}", lease.key),
                }
            }
            None => acquire(&store, lease.key.as_str()).await.token,
        };
        assert!(token > lease.token, "{}", lease.key);
    }
}
