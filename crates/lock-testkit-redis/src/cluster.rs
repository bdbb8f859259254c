//! A cluster of three masters with a replica each.

#![expect(clippy::missing_panics_doc, reason = "a test fails by panicking")]

use tokio::time::{Instant, sleep};

use crate::server::{GLANCE, PATIENCE, RedisServer, ServerConfig};

/// The number of masters, and of slots.
const MASTERS: usize = 3;
const SLOTS: usize = 16_384;

/// A cluster of three masters and three replicas.
///
/// A busy machine makes no node fail; from [`watchful`](Self::watchful) on, one that does not answer
/// for a second has failed.
///
/// Like [`RedisServer`], it panics when it fails or takes too long, and ends when it is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
    ids: Vec<String>,
}

impl RedisCluster {
    /// Starts all nodes, and returns when all know one another and the replicas are in step.
    pub async fn start() -> Self {
        Self::start_with(ServerConfig::new()).await
    }

    /// Starts the nodes with this configuration.
    pub async fn start_with(config: ServerConfig) -> Self {
        let config = config
            .in_cluster()
            .with("cluster-node-timeout", "2000")
            .with("cluster-require-full-coverage", "no")
            .with("cluster-allow-replica-migration", "no")
            .with("cluster-replica-validity-factor", "0")
            .with("repl-diskless-sync", "yes")
            .with("repl-diskless-sync-delay", "0");
        let mut nodes = Vec::new();
        for _ in 0..2 * MASTERS {
            nodes.push(RedisServer::start_with(config.clone()).await);
        }
        let mut cluster = Self { nodes, ids: Vec::new() };
        for (number, node) in cluster.nodes.iter().enumerate() {
            cluster.ids.push(node.command(&["CLUSTER", "MYID"]).await);
            let epoch = (number + 1).to_string();
            assert_eq!(node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await, "OK");
        }
        for (number, master) in cluster.nodes[..MASTERS].iter().enumerate() {
            let slots = SLOTS * number / MASTERS..SLOTS * (number + 1) / MASTERS;
            let slots: Vec<_> = slots.map(|slot| slot.to_string()).collect();
            let mut add = vec!["CLUSTER", "ADDSLOTS"];
            add.extend(slots.iter().map(String::as_str));
            assert_eq!(master.command(&add).await, "OK");
        }
        for (number, node) in cluster.nodes.iter().enumerate() {
            for other in &cluster.nodes[number + 1..] {
                let port = other.port().to_string();
                assert_eq!(node.command(&["CLUSTER", "MEET", "127.0.0.1", &port]).await, "OK");
            }
        }
        for node in &cluster.nodes {
            until!("the nodes have met", {
                let nodes = node.command(&["CLUSTER", "NODES"]).await;
                nodes.lines().filter(|line| !line.is_empty()).count() == 2 * MASTERS
                    && !nodes.contains("handshake")
            });
        }
        cluster.assign_replicas().await;
        cluster.set_timeout("15000").await;
        cluster
    }

    /// Makes every node notice within a second that another is down.
    pub async fn watchful(&self) {
        self.set_timeout("1000").await;
    }

    async fn set_timeout(&self, millis: &str) {
        for node in &self.nodes {
            let set = ["CONFIG", "SET", "cluster-node-timeout", millis];
            assert_eq!(node.command(&set).await, "OK");
        }
    }

    async fn assign_replicas(&self) {
        for (number, replica) in self.nodes.iter().enumerate().skip(MASTERS) {
            let master = &self.ids[number - MASTERS];
            until!("the node is a replica", {
                replica.command(&["CLUSTER", "REPLICATE", master]).await == "OK"
            });
        }
        for (number, node) in self.nodes.iter().enumerate() {
            until!("the node knows all", {
                let info = node.command(&["CLUSTER", "INFO"]).await;
                let nodes = node.command(&["CLUSTER", "NODES"]).await;
                let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
                let is_up = number < MASTERS
                    || node.info("master_link_status").await.as_deref() == Some("up");
                info.contains("cluster_state:ok")
                    && info.contains("cluster_size:3")
                    && nodes.matches(" connected").count() == 2 * MASTERS
                    && replicas == MASTERS
                    && is_up
            });
        }
    }

    /// Waits until every node that runs is a master or a replica that is in step with one.
    pub async fn in_step(&self) {
        for node in self.nodes.iter().filter(|node| node.pid() != 0) {
            until!("the node is in step", {
                let is_up = node.info("master_link_status").await.as_deref() == Some("up");
                let nodes = node.command(&["CLUSTER", "NODES"]).await;
                let has_slots = |line: &str| line.contains("myself") && line.split(' ').count() > 8;
                is_up || nodes.lines().any(has_slots)
            });
        }
    }

    /// The address of the store, for clients.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|it| it.addr().to_string()).collect();
        let scheme = if self.nodes[0].is_tls() { "rediss" } else { "redis" };
        format!("{scheme}+cluster://{}", hosts.join(","))
    }

    /// The nodes: three that are masters at the start, and then a replica of each.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// The number of the master that has a slot, as a node that runs sees it.
    pub async fn owner(&self, slot: u16) -> usize {
        let node = self.nodes.iter().find(|node| node.pid() != 0).expect("a node runs");
        self.owner_by(node, slot).await.expect("the slot has an owner")
    }

    async fn owner_by(&self, node: &RedisServer, slot: u16) -> Option<usize> {
        let nodes = node.command(&["CLUSTER", "NODES"]).await;
        let has = |range: &str| {
            let (from, to) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u16>().ok();
            number(from).zip(number(to)).is_some_and(|(from, to)| (from..=to).contains(&slot))
        };
        let line = nodes.lines().find(|line| line.split(' ').skip(8).any(has))?;
        self.ids.iter().position(|id| line.starts_with(id))
    }

    /// Waits until another node than `old` has a slot, by all nodes that run except `old`, and
    /// returns its number.
    pub async fn promoted(&self, slot: u16, old: usize) -> usize {
        let mut promoted = old;
        for (number, node) in self.nodes.iter().enumerate() {
            if number == old || node.pid() == 0 {
                continue;
            }
            until!("another node has the slot", {
                if let Some(owner) = self.owner_by(node, slot).await {
                    promoted = owner;
                }
                promoted != old
            });
        }
        promoted
    }

    /// Begins to move a slot: from now on keys that its master lacks are looked for at the other.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let number = slot.to_string();
        let set = ["CLUSTER", "SETSLOT", &number];
        let importing = [&set[..], &["IMPORTING", &self.ids[from]]].concat();
        assert_eq!(self.nodes[to].command(&importing).await, "OK");
        let migrating = [&set[..], &["MIGRATING", &self.ids[to]]].concat();
        assert_eq!(self.nodes[from].command(&migrating).await, "OK");
    }

    /// Moves the keys of a slot, at most so many, and returns whether none is left.
    pub async fn move_keys(&self, slot: u16, from: usize, to: usize, limit: usize) -> bool {
        let (slot, limit) = (slot.to_string(), limit.to_string());
        let port = self.nodes[to].port().to_string();
        let keys = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, &limit]).await;
        let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            return true;
        }
        let migrate = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        let moved = self.nodes[from].command(&[&migrate[..], &keys].concat()).await;
        assert!(moved == "OK" || moved == "NOKEY", "{moved}");
        false
    }

    /// Ends the move of a slot: all masters know the new owner.
    pub async fn end_move(&self, slot: u16, to: usize) {
        let number = slot.to_string();
        let set = ["CLUSTER", "SETSLOT", &number, "NODE", &self.ids[to]];
        let others = (0..self.nodes.len()).filter(|it| *it != to);
        for node in std::iter::once(to).chain(others) {
            let node = &self.nodes[node];
            // A replica refuses, and learns it by gossip.
            if node.pid() != 0 && node.info("role").await.as_deref() == Some("master") {
                assert_eq!(node.command(&set).await, "OK");
            }
        }
    }
}
