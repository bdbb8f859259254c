//! The master that sentinels name.

use std::error::Error as _;
use std::future::poll_fn;
use std::sync::OnceLock;
use std::time::Duration;

use lock_core::{
    Acquisition, ErrorKind, ListQuery, LockBackend, LockInspector, LockManager, MailboxId, Notice,
    OwnerId,
};
use lock_redis::{RedisBackend, RedisConfig, fencing};
use lock_testkit_redis::sentinel::SentinelSet;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{Instant, sleep, timeout};

use crate::conformance::{self, Servers};
use crate::load::{Load, Report};
use crate::{PATIENCE, request};

impl Servers for SentinelSet {
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
fn cases_pass_behind_sentinels() {
    conformance::run::<SentinelSet>();
}

fn config(set: &SentinelSet) -> RedisConfig {
    RedisConfig::parse(&set.url()).unwrap()
}

#[tokio::test]
async fn failover_serves_all_waiters() {
    let set = SentinelSet::start().await;
    let load = Load::start(&config(&set)).await;
    load.all_served().await;
    set.watchful().await;
    set.nodes()[0].kill().await;
    let killed = Instant::now();
    set.promoted(0).await;
    let promoted = killed.elapsed();
    let recovered = load.all_served().await;
    let Report { grants, overlaps, refused } = load.end().await;
    println!(
        "promoted after {promoted:?}, all keys granted {recovered:?} later; {grants} grants, \
         {overlaps} overlaps, {refused} writes refused"
    );
    assert!(recovered < Duration::from_secs(2), "all keys were granted after {recovered:?}");
}

/// Cuts the master off from its replicas and sentinels, while its clients still reach it.
async fn isolate(set: &SentinelSet) {
    let master = &set.nodes()[0];
    assert_eq!(master.command(&["CONFIG", "SET", "requirepass", "secret"]).await, "OK");
    let mut client = master.client().await.unwrap();
    assert_eq!(client.command(&["AUTH", "secret"]).await.unwrap(), "OK");
    let list = client.command(&["CLIENT", "LIST"]).await.unwrap();
    for line in list.lines() {
        let word = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
        let is_replica = word("flags=").is_some_and(|flags| flags.contains('S'));
        let is_sentinel = word("name=").is_some_and(|name| name.starts_with("sentinel-"));
        if let Some(id) = word("id=").filter(|_| is_replica || is_sentinel) {
            client.command(&["CLIENT", "KILL", "ID", id]).await.unwrap();
        }
    }
}

#[tokio::test]
async fn clients_of_a_master_that_is_cut_off_move_to_the_new_one() {
    let set = SentinelSet::start().await;
    let load = Load::start(&config(&set)).await;
    load.all_served().await;
    set.watchful().await;
    isolate(&set).await;
    let cut_off = Instant::now();
    let promoted = set.promoted(0).await;
    let took = cut_off.elapsed();
    let deadline = Instant::now() + Duration::from_secs(2);
    // A store that is told of the new master is on it within two seconds.
    while clients(&set, promoted).await < 8 {
        assert!(Instant::now() < deadline, "all clients are at the new master");
        sleep(Duration::from_millis(10)).await;
    }
    let recovered = load.all_served().await;
    let Report { grants, overlaps, refused } = load.end().await;
    println!(
        "promoted after {took:?}, all keys granted {recovered:?} later; {grants} grants, \
         {overlaps} overlaps, {refused} writes refused"
    );
}

/// The number of connections of stores to a server.
async fn clients(set: &SentinelSet, node: usize) -> usize {
    let list = set.nodes()[node].command(&["CLIENT", "LIST"]).await;
    list.lines().filter(|line| line.contains(" name=lock ")).count()
}

#[tokio::test]
async fn demoted_master_is_refused_and_the_new_one_found() {
    let set = SentinelSet::start().await;
    let store = RedisBackend::connect(config(&set)).await.unwrap();
    let mut notices = store.listen(MailboxId::random()).await.unwrap();
    let first = store.acquire(&request("key")).await.unwrap();
    let Acquisition::Granted(first) = first.value else { panic!("the key is free") };
    let started = set.sentinels()[0].command(&["SENTINEL", "FAILOVER", "locks"]).await;
    assert_eq!(started, "OK");
    let promoted = set.promoted(0).await;
    // The old master takes writes until it is demoted, or the sentinels are asked: they are lost.
    let deadline = Instant::now() + PATIENCE;
    let (mut number, mut found) = (0, 0);
    while found < 10 {
        let name = format!("key-{number}");
        let answer = store.acquire(&request(&name)).await;
        let state = format!("{{lock:0}}:state:{name}");
        let is_there = set.nodes()[promoted].command(&["EXISTS", &state]).await == "1";
        match answer {
            Ok(answer) => {
                let Acquisition::Granted(lease) = answer.value else { panic!("the key is free") };
                assert!(first.token < lease.token);
                assert!(is_there || found == 0, "from the first on, all are at the new master");
                found += usize::from(is_there);
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
        }
        number += 1;
        assert!(Instant::now() < deadline, "the new master is found");
        sleep(Duration::from_millis(10)).await;
    }
    let missed = timeout(PATIENCE, poll_fn(|cx| notices.as_mut().poll_next(cx))).await;
    assert_eq!(missed.unwrap(), Some(Notice::MayHaveMissed));
}

#[tokio::test]
async fn master_that_became_a_replica_is_refused_though_no_sentinel_says_so() {
    let set = SentinelSet::start().await;
    let store =
        RedisBackend::connect(config(&set).with_timeout(Duration::from_millis(300))).await.unwrap();
    for sentinel in set.sentinels() {
        sentinel.pause().await;
    }
    let port = set.nodes()[1].port().to_string();
    assert_eq!(set.nodes()[0].command(&["REPLICAOF", "127.0.0.1", &port]).await, "OK");
    // The role is looked at, whether somebody writes or not.
    let deadline = Instant::now() + PATIENCE;
    while store.list(&ListQuery::all()).await.is_ok() {
        assert!(Instant::now() < deadline, "the role is noticed");
        sleep(Duration::from_millis(10)).await;
    }
    let error = store.acquire(&request("key")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
    // What only reads is refused as well: the connection is given up.
    let error = store.list(&ListQuery::all()).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false), "{error:?}");
}

/// Grants keys while no replica gets them, and fails over: the keys that were granted, and those of
/// them that another was granted afterwards, under a higher token.
async fn lose_grants(min_replicas: u8) -> (usize, usize) {
    const KEYS: usize = 10;
    let set = SentinelSet::start().await;
    let store = RedisBackend::connect(config(&set).with_min_replicas(min_replicas)).await.unwrap();
    let before = store.acquire(&request("before")).await.unwrap();
    let Acquisition::Granted(before) = before.value else { panic!("it is free") };
    assert_eq!(before.replicas.is_some(), min_replicas > 0);
    assert!(before.replicas.is_none_or(|replicas| replicas >= u32::from(min_replicas)));
    // What the system holds back for a process that is stopped would still reach it.
    for replica in &set.nodes()[1..] {
        replica.kill().await;
    }
    let mut granted = Vec::new();
    for number in 0..KEYS {
        match store.acquire(&request(&format!("key-{number}"))).await {
            Ok(answer) => match answer.value {
                Acquisition::Granted(lease) => granted.push(lease),
                other => panic!("{other:?}"),
            },
            Err(error) => {
                assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
                let cause = error.source().unwrap().to_string();
                assert_eq!(cause, "0 of 1 replicas have the grant: it is taken back");
            }
        }
    }
    let listed = store.list(&ListQuery::all()).await.unwrap().value.items.len();
    assert_eq!(listed, granted.len() + 1, "what was refused is not held");
    set.watchful().await;
    set.nodes()[0].kill().await;
    for replica in &set.nodes()[1..] {
        replica.restart().await;
    }
    set.promoted(0).await;
    let resource = RedisServer::start().await;
    let resource = redis::Client::open(resource.url()).unwrap();
    let mut resource = resource.get_multiplexed_async_connection().await.unwrap();
    let mut twice = 0;
    for first in &granted {
        let key = first.key.as_str();
        let deadline = Instant::now() + PATIENCE;
        let second = loop {
            match store.acquire(&request(key)).await {
                Ok(answer) => break answer.value,
                Err(_) => assert!(Instant::now() < deadline, "the new master is found"),
            }
            sleep(Duration::from_millis(10)).await;
        };
        if let Acquisition::Granted(second) = second {
            assert!(first.token < second.token);
            let mut write =
                async |token| fencing::set(&mut resource, key, token, "").await.unwrap();
            assert!(write(second.token).await && !write(first.token).await, "{key}");
            twice += 1;
        }
    }
    (granted.len(), twice)
}

#[tokio::test]
async fn grant_that_no_replica_has_is_lost_with_the_master_or_taken_back_in_time() {
    let (without, with) = tokio::join!(lose_grants(0), lose_grants(1));
    println!("granted, and granted again: {without:?} without replicas, {with:?} with one");
    assert_eq!((without, with), ((10, 10), (0, 0)));
}

async fn waiter_is_granted_when_replicas_have_it(set: &SentinelSet) {
    let store = RedisBackend::connect(config(set).with_min_replicas(2)).await.unwrap();
    let manager = LockManager::new(store, OwnerId::parse("alice").unwrap());
    let first = manager.acquire("key").await.unwrap();
    assert_eq!(first.lease().replicas, Some(2));
    let waiter = manager.acquire("key").wait(PATIENCE).into_future();
    let release = async {
        while manager.inspect("key").await.unwrap().value.waiting == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        first.release().await.unwrap();
    };
    let (second, ()) = tokio::join!(waiter, release);
    assert_eq!(second.unwrap().lease().replicas, Some(2), "it was heard, and not only noticed");
    manager.shutdown().await;
}

#[tokio::test]
async fn replica_is_no_master_whatever_a_sentinel_says() {
    let set = SentinelSet::start().await;
    for sentinel in set.sentinels() {
        let _ = sentinel.command(&["SENTINEL", "REMOVE", "locks"]).await;
        let port = set.nodes()[1].port().to_string();
        let watch = ["SENTINEL", "MONITOR", "locks", "127.0.0.1", &port, "2"];
        assert_eq!(sentinel.command(&watch).await, "OK");
    }
    let error = RedisBackend::connect(config(&set)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("is a slave, and no master"), "{cause}");
}

/// All on one set, as its start takes longer than each of them.
#[tokio::test]
async fn sentinels_may_fail_and_replicas_are_waited_for() {
    let set = SentinelSet::start().await;
    waiter_is_granted_when_replicas_have_it(&set).await;
    one_sentinel_that_answers_suffices(&set).await;
}

async fn one_sentinel_that_answers_suffices(set: &SentinelSet) {
    set.sentinels()[0].pause().await;
    set.sentinels()[1].kill().await;
    // The first attempt may take all of its time for those that do not answer.
    let config = config(set).with_connect_timeout(Duration::from_secs(4));
    let store = RedisBackend::connect(config.clone()).await.unwrap();
    assert!(store.acquire(&request("key")).await.is_ok());
    set.sentinels()[2].kill().await;
    assert!(store.acquire(&request("other")).await.is_ok(), "the connection stays");
    let error = RedisBackend::connect(config).await.unwrap_err();
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause.matches("sentinel 127.0.0.1:").count(), 3, "{cause}");
}
