//! `break`, `request-release`, `cancel` and `repair`: what an operator does to others' locks.

use std::time::Duration;

use lock_core::{LockKey, OwnerId, Reason, RequestId};
use lock_redis::{RedisBackend, RedisConfig};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::store::Store;

pub(crate) async fn evict(
    store: &Store,
    key: LockKey,
    reason: Reason,
    owner: Option<OwnerId>,
    output: Output,
) -> Result<Exit, Failure> {
    let evicted = store.manager(owner)?.evict_all(key.clone(), reason).await?;
    output.show(&json!({ "key": key, "evicted": evicted }), || {
        let lines = evicted
            .iter()
            .map(|lease| format!("ended the lease of {} under token {}", lease.owner, lease.token));
        match lines.collect::<Vec<_>>() {
            none if none.is_empty() => format!("{key} had no holder"),
            lines => lines.join("\n"),
        }
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn request_release(
    store: &Store,
    key: LockKey,
    reason: Reason,
    within: Duration,
    owner: Option<OwnerId>,
    output: Output,
) -> Result<Exit, Failure> {
    if !store.manager(owner)?.request_release(key.clone(), within, reason).await? {
        let message = format!("{key} is still held");
        return Err(Failure::new(Exit::Contended, message));
    }
    output.show(&json!({ "key": key, "released": true }), || format!("{key} was released"))?;
    Ok(Exit::Done)
}

pub(crate) async fn cancel(
    store: &Store,
    key: LockKey,
    request: RequestId,
    reason: Reason,
    output: Output,
) -> Result<Exit, Failure> {
    let is_out = store.manager(None)?.evict_waiter(key.clone(), request, reason).await?;
    if !is_out {
        let message = format!("request {request} does not wait for {key}");
        return Err(Failure::new(Exit::Lost, message));
    }
    output.show(&json!({ "key": key, "cancelled": request }), || {
        format!("removed request {request} from the queue of {key}")
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn divide(
    to: Option<&str>,
    from: Option<&str>,
    output: Output,
) -> Result<Exit, Failure> {
    let message = "--url: name the cluster, as redis+cluster://HOST,HOST";
    let to = to.ok_or_else(|| Failure::new(Exit::Usage, message))?;
    let config = |url: &str| Ok::<_, Failure>(RedisConfig::parse(url)?.with_name("lockctl")?);
    let division = RedisBackend::divide(config(from.unwrap_or(to))?, config(to)?).await?;
    let (locks, shards) = (division.locks, division.shards);
    output.show(&json!({ "locks": locks, "shards": shards }), || {
        format!("{locks} locks are in {shards} shards now")
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn repair(store: &Store, key: LockKey, output: Output) -> Result<Exit, Failure> {
    let Some(redis) = &store.redis else {
        let message = "only a store in Redis keeps a key in parts that can be lost one by one";
        return Err(Failure::new(Exit::Configuration, message));
    };
    let report = redis.repair(&key).await?.value;
    let counts = [
        ("kept_leases", report.kept_leases),
        ("kept_waiters", report.kept_waiters),
        ("dropped_leases", report.dropped_leases),
        ("dropped_waiters", report.dropped_waiters),
    ];
    output.show(&counts.into_iter().collect::<std::collections::BTreeMap<_, _>>(), || {
        let [kept, waiting, lost, gone] = counts.map(|(_, count)| count);
        format!(
            "{key}: kept {kept} leases and {waiting} waiters, dropped {lost} leases and {gone} waiters"
        )
    })?;
    Ok(Exit::Done)
}
