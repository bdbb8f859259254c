//! Health, as reported by the server.

use lock_core::{Capabilities, Health, LockKey, Operation, Result};

use crate::config::RedisConfig;
use crate::reply::{field, text};
use crate::route::Route;
use crate::shards::Shards;

/// Capabilities derived from the reports of the servers, each reached by one of these ways.
pub(crate) async fn capabilities(servers: &[Route], config: &RedisConfig) -> Result<Capabilities> {
    let mut info = redis::cmd("INFO");
    info.arg("persistence");
    let mut write_all = true;
    for server in servers {
        let answer = server.command(Operation::Connect, &info).await?;
        write_all &= text(&answer).and_then(|info| field(info, "aof_enabled")) == Some("1");
    }
    let offered = Capabilities::none().with_notices().with_sharing();
    let offered = if config.journal.is_some() { offered.with_events() } else { offered };
    Ok(if write_all { offered.with_durability() } else { offered })
}

impl Shards {
    pub(crate) async fn health(&self) -> Result<Health> {
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster {
            return self.health_of_cluster(cluster).await;
        }
        let store = &self.stores[0];
        let info = redis::cmd("INFO");
        let answer = store.route.command(Operation::Health, &info).await?;
        let info = text(&answer).ok_or_else(|| store.corrupt(Operation::Health))?;
        let damaged = store.damaged();
        Ok(health(info, &self.config, &damaged))
    }
}

fn damage(key: &LockKey) -> String {
    format!("the records of `{key}` are damaged: RedisBackend::repair repairs them")
}

/// Health of the store, with warnings for the operator.
fn health(info: &str, config: &RedisConfig, damaged: &[LockKey]) -> Health {
    let (software, version) = match field(info, "valkey_version") {
        Some(version) => ("valkey", version),
        None => ("redis", field(info, "redis_version").unwrap_or("?")),
    };
    let store = format!("{software} {version} at {}", config.topology);
    let mut warnings = Vec::new();
    let mut grants = true;
    if let Some(policy) = field(info, "maxmemory_policy")
        && policy != "noeviction"
    {
        warnings.push(format!("maxmemory-policy is `{policy}`: locks may be evicted silently"));
    }
    if let Some(role) = field(info, "role")
        && role != "master"
    {
        warnings.push(format!("the server is a {role}: it takes no locks"));
        grants = false;
    }
    if field(info, "loading") == Some("1") {
        warnings.push("the server is loading its data".to_owned());
        grants = false;
    }
    if field(info, "connected_slaves").is_some_and(|replicas| replicas != "0") {
        warnings.push("replication is asynchronous: a failover may lose a grant".to_owned());
    }
    for key in damaged {
        warnings.push(damage(key));
    }
    let health = Health::new(store, warnings);
    if grants { health } else { health.without_grants() }
}

#[cfg(feature = "cluster")]
mod cluster {
    use super::*;
    use crate::topology::cluster::Cluster;

    impl Shards {
        pub(super) async fn health_of_cluster(&self, cluster: &Cluster) -> Result<Health> {
            let masters = cluster.masters();
            let (mut warnings, mut grants, mut store) = (Vec::new(), true, None);
            let mut shards: usize = 0;
            for master in &masters {
                let info = redis::cmd("INFO");
                let answer = match master.connection.command(Operation::Health, &info).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        warnings.push(format!("{master}: {error}"));
                        grants = false;
                        continue;
                    }
                };
                let Some(info) = text(&answer) else { continue };
                let of_node_health = health(info, &self.config, &[]);
                shards += master.shards.len();
                grants &= of_node_health.grants;
                warnings.extend(of_node_health.warnings.iter().map(|it| format!("{master}: {it}")));
                store.get_or_insert(of_node_health.store);
            }
            if shards < self.stores.len() && grants {
                let missing = self.stores.len() - shards;
                warnings.push(format!("{missing} of {} shards have no master", self.stores.len()));
                grants = false;
            }
            let damaged = self.stores.iter().flat_map(|store| store.damaged());
            warnings.extend(damaged.map(|key| damage(&key)));
            let store = store.unwrap_or_else(|| format!("redis at {}", self.config.topology));
            let count = masters.len();
            let store = format!("{store}, {count} masters, {} shards", self.stores.len());
            let health = Health::new(store, warnings);
            Ok(if grants { health } else { health.without_grants() })
        }
    }
}
