//! The masters of a cluster.

use std::collections::BTreeSet;
use std::error::Error as _;
use std::num::NonZeroU16;
use std::sync::OnceLock;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, ErrorKind, KeepAlive, Lease, ListQuery, LockBackend,
    LockInspector, LockKey, OwnerId, ReleaseRequest, RequestId, WaitsQuery,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::cluster::RedisCluster;
use tokio::time::{Instant, sleep};

use crate::conformance::{self, Servers};
use crate::load::Load;

/// Longer than a failover takes.
const PATIENCE: Duration = Duration::from_secs(20);

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

fn request(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

async fn acquire(store: &RedisBackend, key: &str) -> Lease {
    match store.acquire(&request(key)).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn failover_serves_all_waiters() {
    let cluster = RedisCluster::start().await;
    let load = Load::start(&config(&cluster)).await;
    load.all_served().await;
    cluster.nodes()[0].kill().await;
    let killed = Instant::now();
    let promoted = cluster.promoted(0, 0).await;
    let took = killed.elapsed();
    let first = load.all_served().await;
    let report = load.end().await;
    println!("node {promoted} promoted after {took:?}; {first:?} until {report:?}");
}

#[tokio::test]
async fn leases_are_listed_over_all_masters() {
    let cluster = RedisCluster::start().await;
    let store = RedisBackend::connect(config(&cluster)).await.unwrap();
    let names: BTreeSet<_> = (0..300).map(|number| format!("key-{number}")).collect();
    for name in &names {
        acquire(&store, name).await;
    }
    let mut query = ListQuery::all().with_limit(std::num::NonZeroU32::new(7).unwrap());
    let mut found = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap().value;
        assert!(page.items.len() <= 7);
        found.extend(page.items.into_iter().map(|lease| lease.key.to_string()));
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    assert_eq!(found.len(), names.len(), "each is listed once");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), names);
}
