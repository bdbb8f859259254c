//! What can be seen of the store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use lock_core::{
    Capabilities, EventFilter, EventStream, Health, Inspection, ListQuery, LockInspector, LockKey,
    Operation, OwnerId, Page, RequestId, Result, Waiter,
};

use crate::backend::RedisBackend;
use crate::config::RedisConfig;
use crate::connection::{Connection, field, text};
use crate::error::corrupt;
use crate::reply::{self, Answer};
use crate::script::{Arg, Script};

/// How many waits of an owner are looked at by one command.
const WAITS: usize = 500;

/// Leases are listed in no order; a page takes time in proportion to all keys of the server's
/// database, little for each.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for RedisBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        let args = [Arg::Number(Inspection::MAX_SHOWN as u64)];
        let answer = self.shared.run(Operation::Inspect, Script::Inspect, key, &args).await?;
        let read = |mut answer: Answer| {
            let seen = Inspection::free(key.clone(), answer.time()?);
            let (holders, leases) = (answer.number()?, answer.list()?);
            let (waiting, waiters) = (answer.number()?, answer.list()?);
            let leases =
                leases.iter().map(|text| reply::lease(text, key)).collect::<Option<_>>()?;
            let waiters = waiters.iter().map(|text| reply::waiter(text, key));
            let waiters = waiters.collect::<Option<_>>()?;
            Some(seen.with_leases(holders, leases).with_waiters(waiting, waiters))
        };
        let seen = Answer::new(answer).and_then(read);
        seen.ok_or_else(|| corrupt(Operation::Inspect).with_key(key.clone()))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.shared.list(query).await
    }

    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        let mut waits = Vec::new();
        let mut after = format!("[{owner}\0").into_bytes();
        loop {
            let entries = self.waits_after(owner, &after).await?;
            let Some(last) = entries.last() else { return Ok(waits) };
            after = [b"(", last.as_slice()].concat();
            let mut requests = BTreeMap::<LockKey, Vec<[u8; 16]>>::new();
            for entry in &entries {
                let (key, request) =
                    wait(entry, owner).ok_or_else(|| corrupt(Operation::WaitsOf))?;
                requests.entry(key).or_default().push(request.to_bits().to_be_bytes());
            }
            for (key, requests) in requests {
                waits.extend(self.waiters(&key, &requests).await?);
            }
        }
    }

    async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        self.shared.watch(filter).await
    }

    async fn health(&self) -> Result<Health> {
        let info = redis::cmd("INFO");
        let answer = self.shared.connection.command(Operation::Health, &info).await?;
        let info = text(&answer).ok_or_else(|| corrupt(Operation::Health))?;
        Ok(health(info, &self.shared.config))
    }

    fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }
}

impl RedisBackend {
    async fn waits_after(&self, owner: &OwnerId, after: &[u8]) -> Result<Vec<Vec<u8>>> {
        let shared = &self.shared;
        let mut range = redis::cmd("ZRANGEBYLEX");
        range.arg(shared.layout.waits()).arg(after).arg(format!("({owner}\u{1}"));
        range.arg("LIMIT").arg(0).arg(WAITS);
        let entries = shared.connection.command(Operation::WaitsOf, &range).await?;
        reply::list(entries).ok_or_else(|| corrupt(Operation::WaitsOf))
    }

    /// Those of the requests that wait for the key.
    async fn waiters(&self, key: &LockKey, requests: &[[u8; 16]]) -> Result<Vec<Waiter>> {
        let mut args = vec![Arg::Number(requests.len() as u64)];
        args.extend(requests.iter().map(|request| Arg::Bytes(request)));
        let answer = self.shared.run(Operation::WaitsOf, Script::Waiters, key, &args).await?;
        let waiters = reply::list(answer).and_then(|texts| {
            texts.iter().map(|text| reply::waiter(text, key)).collect::<Option<_>>()
        });
        waiters.ok_or_else(|| corrupt(Operation::WaitsOf).with_key(key.clone()))
    }
}

/// The key and the request of an entry `owner \0 key \0 request`.
fn wait(entry: &[u8], owner: &OwnerId) -> Option<(LockKey, RequestId)> {
    let (names, request) = entry.split_at_checked(entry.len().checked_sub(16)?)?;
    let key = names.strip_prefix(owner.as_str().as_bytes())?.strip_prefix(b"\0")?;
    let key = LockKey::parse(str::from_utf8(key.strip_suffix(b"\0")?).ok()?).ok()?;
    Some((key, reply::request(request)?))
}

/// What the store offers, by what its server says of itself.
pub(crate) async fn capabilities(
    connection: &Connection,
    config: &RedisConfig,
) -> Result<Capabilities> {
    let mut info = redis::cmd("INFO");
    let answer = connection.command(Operation::Connect, info.arg("persistence")).await?;
    let writes_all = text(&answer).and_then(|info| field(info, "aof_enabled")) == Some("1");
    let offered = Capabilities::none().with_pushed_grants().with_sharing();
    let offered = if config.journal.is_some() { offered.with_events() } else { offered };
    Ok(if writes_all { offered.with_durability() } else { offered })
}

/// What the server says of itself, and what a person should look at.
fn health(info: &str, config: &RedisConfig) -> Health {
    let (software, version) = match field(info, "valkey_version") {
        Some(version) => ("valkey", version),
        None => ("redis", field(info, "redis_version").unwrap_or("?")),
    };
    let store = format!("{software} {version} at {}", config.server.addr());
    let mut warnings = Vec::new();
    if let Some(policy) = field(info, "maxmemory_policy")
        && policy != "noeviction"
    {
        warnings.push(format!("maxmemory-policy is `{policy}`: locks may be evicted unseen"));
    }
    if let Some(role) = field(info, "role")
        && role != "master"
    {
        warnings.push(format!("the server is a {role}: it takes no locks"));
    }
    if field(info, "loading") == Some("1") {
        warnings.push("the server is loading its data".to_owned());
    }
    if field(info, "connected_slaves").is_some_and(|replicas| replicas != "0") {
        warnings.push("replication is asynchronous: a failover may lose a grant".to_owned());
    }
    Health::new(store, warnings)
}
