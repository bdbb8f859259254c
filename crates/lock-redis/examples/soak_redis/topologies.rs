//! A master behind sentinels, and a cluster, whose masters fail and whose slots move.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{LockKey, LockStore, Result};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::soak::{Target, Trouble};
use lock_testkit_redis::cluster::RedisCluster;
use lock_testkit_redis::sentinel::SentinelSet;
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::time::sleep;

use crate::{stays, take_all};

/// The variable that says how many replicas must have a grant.
const REPLICAS: &str = "LOCK_SOAK_REPLICAS";
/// The processes of a round, and the tasks of each.
const SIZE: (usize, usize) = (8, 25);

async fn connect(url: &str) -> Result<Arc<dyn LockStore>> {
    let replicas = std::env::var(REPLICAS).ok().and_then(|it| it.parse().ok()).unwrap_or(0);
    let config = RedisConfig::parse(url).expect("a valid URL").with_min_replicas(replicas);
    Ok(Arc::new(RedisBackend::connect(config).await?))
}

fn config(is_durable: bool) -> ServerConfig {
    let config = ServerConfig::new();
    if is_durable { config.durable() } else { config }
}

/// The names of all keys of some servers that belong to locks.
async fn left(nodes: &[&RedisServer]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for node in nodes {
        let answer = node.command(&["KEYS", "*"]).await;
        names.extend(answer.lines().filter(|name| !name.is_empty()).map(str::to_owned));
    }
    let all: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    all.iter().filter(|name| !stays(name, &all)).map(|name| (*name).to_owned()).collect()
}

/// A master, its replicas and sentinels.
pub(crate) struct Sentinel(SentinelSet);

#[async_trait]
impl Target for Sentinel {
    const TROUBLES: &'static [Trouble] = &[Trouble::Failover, Trouble::Hang];
    const SIZE: Option<(usize, usize)> = Some(SIZE);

    async fn start(_lines: usize, is_durable: bool) -> Self {
        let set = SentinelSet::start_with(config(is_durable), ServerConfig::new()).await;
        set.watchful().await;
        Self(set)
    }

    fn url(&self, _line: usize) -> String {
        self.0.url()
    }

    fn direct_url(&self) -> String {
        self.0.url()
    }

    async fn connect(url: &str) -> Result<Arc<dyn LockStore>> {
        connect(url).await
    }

    async fn inflict(&self, trouble: Trouble, _line: usize, _span: Duration) {
        let old = self.0.master().await.expect("a sentinel answers");
        let node = &self.0.nodes()[old];
        match trouble {
            Trouble::Failover => node.kill().await,
            _ => node.pause().await,
        }
        let promoted = self.0.promoted(old).await;
        match trouble {
            Trouble::Failover => {
                node.restart().await;
                // The sentinels would do so, some seconds later.
                let port = self.0.nodes()[promoted].port().to_string();
                node.command(&["REPLICAOF", "127.0.0.1", &port]).await;
            }
            _ => node.resume(),
        }
    }

    async fn leftovers(&self, keys: &[LockKey]) -> Vec<String> {
        take_all(&*connect(&self.0.url()).await.expect("the master answers"), keys).await;
        let master = self.0.master().await.expect("a sentinel answers");
        left(&[&self.0.nodes()[master]]).await
    }
}

/// Three masters and their replicas.
pub(crate) struct Cluster(RedisCluster);

impl Cluster {
    async fn slot_of(&self, name: &str) -> u16 {
        let node = self.0.nodes().iter().find(|node| node.pid() != 0).expect("a node runs");
        node.command(&["CLUSTER", "KEYSLOT", name]).await.parse().expect("a slot")
    }

    /// The slot in which the shard of a lock lies.
    async fn slot(&self, key: &str) -> u16 {
        let shard = self.slot_of(key).await / 256;
        let mut name = None;
        for node in self.0.nodes().iter().filter(|node| node.pid() != 0) {
            let names = node.command(&["KEYS", &format!("{{lock:{shard}:*}}:token")]).await;
            name = name.or_else(|| names.lines().find(|name| !name.is_empty()).map(str::to_owned));
        }
        self.slot_of(&name.expect("the shard is somewhere")).await
    }
}

#[async_trait]
impl Target for Cluster {
    const TROUBLES: &'static [Trouble] = &[Trouble::Failover, Trouble::Hang, Trouble::Reshard];
    const SIZE: Option<(usize, usize)> = Some(SIZE);

    async fn start(_lines: usize, is_durable: bool) -> Self {
        let cluster = RedisCluster::start_with(config(is_durable)).await;
        cluster.watchful().await;
        Self(cluster)
    }

    fn url(&self, _line: usize) -> String {
        self.0.url()
    }

    fn direct_url(&self) -> String {
        self.0.url()
    }

    async fn connect(url: &str) -> Result<Arc<dyn LockStore>> {
        connect(url).await
    }

    async fn inflict(&self, trouble: Trouble, line: usize, _span: Duration) {
        let slot = self.slot(&format!("soak/{}", line % 5)).await;
        let old = self.0.owner(slot).await;
        let node = &self.0.nodes()[old];
        match trouble {
            Trouble::Reshard => {
                let masters = [0, 4_096, 8_192, 12_288, 16_383];
                let mut to = old;
                for other in masters {
                    let owner = self.0.owner(other).await;
                    to = if owner == old { to } else { owner };
                }
                self.0.begin_move(slot, old, to).await;
                while !self.0.move_keys(slot, old, to, 10).await {
                    sleep(Duration::from_millis(1)).await;
                }
                return self.0.end_move(slot, to).await;
            }
            Trouble::Failover => node.kill().await,
            _ => node.pause().await,
        }
        self.0.promoted(slot, old).await;
        match trouble {
            Trouble::Failover => node.restart().await,
            _ => node.resume(),
        }
        self.0.in_step().await;
    }

    async fn leftovers(&self, keys: &[LockKey]) -> Vec<String> {
        take_all(&*connect(&self.0.url()).await.expect("the masters answer"), keys).await;
        let mut masters = Vec::new();
        for node in self.0.nodes() {
            if node.info("role").await.as_deref() == Some("master") {
                masters.push(node);
            }
        }
        left(&masters).await
    }
}
