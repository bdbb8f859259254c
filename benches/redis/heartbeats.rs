//! Cost of idle waiters: one heartbeat each.

use std::time::Duration;

use lock_core::{InspectQuery, KeepAlive, LockInspector, LockKey, LockManager, Ttl};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::meter::Meter;
use crate::samples::Samples;
use crate::store::{backend, owner};

/// Number of waiters in one process.
pub(crate) const WAITING: u64 = 10_000;

/// Number of measured heartbeats.
const HEARTBEATS: usize = 2;

pub(crate) async fn measure(url: &str, meter: &mut Meter, samples: &mut Samples) {
    let store = backend(url, "heartbeats").await;
    let key = LockKey::parse("acme/infra/proj-0042").expect("a valid key");
    let manager = LockManager::new(backend(url, "heartbeats").await, owner());
    let held = manager.acquire(key.clone()).ttl(Ttl::Never).await.expect("the key is free");
    let mut waiting = JoinSet::new();
    for _ in 0..WAITING {
        let (manager, key) = (manager.clone(), key.clone());
        waiting.spawn(async move { manager.acquire(key).await.is_ok() });
    }
    let query = InspectQuery::new(key);
    while store.inspect(&query).await.expect("the server answers").value.waiting < WAITING {
        sleep(Duration::from_millis(20)).await;
    }
    // All that joined within a short time are heard once in this one.
    let round = KeepAlive::default().span() / 3;
    sleep(round).await;
    for _ in 0..HEARTBEATS {
        let before = meter.read().await;
        sleep(round).await;
        let work = meter.read().await.since(before);
        samples.push("heartbeats/commands".to_owned(), work.commands);
        samples.push("heartbeats/cpu".to_owned(), work.cpu / WAITING as f64);
    }
    waiting.shutdown().await;
    held.release().await.expect("held until released");
    manager.shutdown().await;
}
