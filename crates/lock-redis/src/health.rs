//! Health, as reported by the server.

use lock_core::{Capabilities, Health, LockKey, Operation, Result};

use crate::config::RedisConfig;
use crate::connection::Connection;
use crate::reply::{field, text};
use crate::store::Store;

/// Capabilities derived from the server's report.
pub(crate) async fn capabilities(
    connection: &Connection,
    config: &RedisConfig,
) -> Result<Capabilities> {
    let mut info = redis::cmd("INFO");
    let answer = connection.command(Operation::Connect, info.arg("persistence")).await?;
    let writes_all = text(&answer).and_then(|info| field(info, "aof_enabled")) == Some("1");
    let offered = Capabilities::none().with_notices().with_sharing();
    let offered = if config.journal.is_some() { offered.with_events() } else { offered };
    Ok(if writes_all { offered.with_durability() } else { offered })
}

impl Store {
    pub(crate) async fn health(&self) -> Result<Health> {
        let info = redis::cmd("INFO");
        let answer = self.connection.command(Operation::Health, &info).await?;
        let info = text(&answer).ok_or_else(|| self.corrupt(Operation::Health))?;
        let damaged = self.damaged();
        Ok(health(info, &self.config, &damaged))
    }
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
        warnings
            .push(format!("the records of `{key}` are damaged: RedisBackend::repair repairs them"));
    }
    let health = Health::new(store, warnings);
    if grants { health } else { health.without_grants() }
}
