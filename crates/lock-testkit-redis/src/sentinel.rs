//! A master with replicas, and the sentinels that watch it.

#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::server::{GLANCE, PATIENCE, RedisServer, ServerConfig};

/// The name of the master.
const NAME: &str = "locks";
/// The number of replicas, and of sentinels, of which two must agree.
const REPLICAS: usize = 2;
const SENTINELS: usize = 3;

/// A master, two replicas and three sentinels.
///
/// A busy machine makes no server fail; from [`watchful`](Self::watchful) on, one that does not answer
/// for half a second has failed.
///
/// Like [`RedisServer`], it panics when it fails or takes too long, and ends when it is dropped.
#[derive(Debug)]
pub struct SentinelSet {
    nodes: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl SentinelSet {
    /// Starts all, and returns when the sentinels know one another and the replicas.
    pub async fn start() -> Self {
        Self::start_with(ServerConfig::new(), ServerConfig::new()).await
    }

    /// Starts servers and sentinels with these configurations; a `user` or a `requirepass` must
    /// leave the replicas and the sentinels their way.
    pub async fn start_with(node: ServerConfig, sentinel: ServerConfig) -> Self {
        let node = node.with("repl-diskless-sync", "yes").with("repl-diskless-sync-delay", "0");
        let master = RedisServer::start_with(node.clone()).await;
        let address = format!("127.0.0.1 {}", master.port());
        let mut nodes = vec![master];
        for _ in 0..REPLICAS {
            nodes.push(RedisServer::start_with(node.clone().with("replicaof", &address)).await);
        }
        for replica in &nodes[1..] {
            until!("the replica is in step", {
                replica.info("master_link_status").await.as_deref() == Some("up")
            });
        }
        let watch = sentinel
            .sentinel()
            .with("sentinel", &format!("monitor {NAME} {address} 2"))
            .with("sentinel", &format!("down-after-milliseconds {NAME} 30000"))
            .with("sentinel", &format!("failover-timeout {NAME} 3000"));
        let mut sentinels = Vec::new();
        for _ in 0..SENTINELS {
            sentinels.push(RedisServer::start_with(watch.clone()).await);
        }
        let set = Self { nodes, sentinels };
        for sentinel in 0..SENTINELS {
            until!("the sentinel knows all", {
                let fields = set.watched(sentinel).await;
                fields.0 == SENTINELS - 1 && fields.1 == REPLICAS
            });
        }
        set
    }

    /// Makes every sentinel notice within half a second that a server is down.
    pub async fn watchful(&self) {
        for sentinel in &self.sentinels {
            let set = ["SENTINEL", "SET", NAME, "down-after-milliseconds", "500"];
            assert_eq!(sentinel.command(&set).await, "OK");
        }
    }

    /// The number of other sentinels and of replicas that a sentinel knows.
    async fn watched(&self, sentinel: usize) -> (usize, usize) {
        let answer = self.sentinels[sentinel].command(&["SENTINEL", "MASTER", NAME]).await;
        let lines: Vec<_> = answer.lines().collect();
        let field = |name| {
            let pair = lines.chunks(2).find(|pair| pair[0] == name);
            pair.and_then(|pair| pair.get(1)?.parse().ok()).unwrap_or(0)
        };
        (field("num-other-sentinels"), field("num-slaves"))
    }

    /// The address of the store, for clients.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.sentinels.iter().map(|it| it.addr().to_string()).collect();
        let scheme = if self.sentinels[0].is_tls() { "rediss" } else { "redis" };
        format!("{scheme}+sentinel://{}/{NAME}", hosts.join(","))
    }

    /// The servers; the first was the master at the start.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// The number of the server that the sentinels name, by the first that answers.
    pub async fn master(&self) -> Option<usize> {
        let sentinel = self.sentinels.iter().find(|sentinel| sentinel.pid() != 0)?;
        let answer = sentinel.command(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).await;
        let port = answer.lines().nth(1).and_then(|port| port.parse::<u16>().ok());
        self.nodes.iter().position(|node| Some(node.port()) == port)
    }

    /// Waits until another server than `old` is the master, and takes writes, and returns its number.
    pub async fn promoted(&self, old: usize) -> usize {
        // Where no replica was in step, the sentinels try again after twice the time-out of a failover.
        const PATIENCE: Duration = Duration::from_secs(60);
        let mut promoted = old;
        until!("another master is promoted", {
            if let Some(master) = self.master().await {
                promoted = master;
            }
            promoted != old && self.nodes[promoted].info("role").await.as_deref() == Some("master")
        });
        promoted
    }
}
