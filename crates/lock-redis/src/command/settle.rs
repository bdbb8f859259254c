//! Sweep of expired leases and waiters on keys without traffic.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lock_core::{LockKey, Operation, Result};
use redis::Value;

use crate::batch::{Answers, Batch, Item};
use crate::encoding::millis;
use crate::reply;
use crate::script::Script;
use crate::shards::Shards;
use crate::store::Store;

pub(crate) static SETTLE: Script = Script::whole("settle", include_str!("../scripts/settle.lua"));

/// Pause between two commands of a sweep, which leaves the server to others.
const PAUSE: Duration = Duration::from_millis(5);
/// Number of keys of one command, and number of keys that the server looks at for it.
const KEYS: usize = 128;
const STRIDE: u32 = 1000;

/// Sweeps the store now and then as long as it is used.
pub(crate) async fn sweep(shards: Weak<Shards>, interval: Duration) {
    loop {
        tokio::time::sleep(interval.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        let Some(current) = shards.upgrade() else { return };
        let is_our_turn = current.stores[0].take_sweep().await;
        let walks = current.walks();
        drop(current);
        match is_our_turn {
            Ok(true) => {
                for number in 0..walks {
                    walk(&shards, number).await;
                }
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(?error, "the store cannot be swept now"),
        }
    }
}

/// Settles all keys of a server, some at a time.
async fn walk(shards: &Weak<Shards>, number: usize) {
    let mut at = 0;
    loop {
        let Some(current) = shards.upgrade() else { return };
        let Ok((next, found)) = current.found(number, at).await else { return };
        for (shard, keys) in found {
            let store = &current.stores[shard];
            for keys in keys.chunks(KEYS) {
                let mut keys = keys.to_vec();
                while !keys.is_empty() {
                    let Some(more) = store.settle_all(&keys).await else { return };
                    keys = more;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if next == 0 {
            return;
        }
        at = next;
    }
}

impl Shards {
    /// Number of servers whose keys are walked over.
    fn walks(&self) -> usize {
        match self.single() {
            Some(_) => 1,
            #[cfg(feature = "cluster")]
            None => self.cluster.as_ref().map_or(0, |cluster| cluster.masters().len()),
            #[cfg(not(feature = "cluster"))]
            None => 0,
        }
    }

    /// One step of the walk over a server: where the next begins, and the keys of each shard. Of a
    /// shard that moves meanwhile, the rest is found by the next sweep.
    async fn found(&self, number: usize, at: u64) -> Result<(u64, BTreeMap<usize, Vec<LockKey>>)> {
        #[cfg(feature = "cluster")]
        if self.single().is_none() {
            let masters = self.cluster.as_ref().map(|cluster| cluster.masters());
            let master = masters.unwrap_or_default().into_iter().nth(number);
            return match master {
                Some(master) => self.scan(&master.connection, at, "", STRIDE).await,
                None => Ok((0, BTreeMap::new())),
            };
        }
        debug_assert_eq!(number, 0);
        let (next, keys) = self.stores[0].scan(at, "", STRIDE).await?;
        Ok((next, BTreeMap::from([(0, keys)])))
    }
}

impl Store {
    /// Returns `true` if no other process has swept recently.
    async fn take_sweep(&self) -> Result<bool> {
        let mut take = redis::cmd("SET");
        let millis = millis(self.config.sweep_interval);
        take.arg(self.keyspace.sweep()).arg("").arg("NX").arg("PX").arg(millis);
        Ok(self.route.command(Operation::List, &take).await? == Value::Okay)
    }

    /// Settles some keys: those of which more is over; `None` when the server does not answer.
    async fn settle_all(self: &Arc<Self>, keys: &[LockKey]) -> Option<Vec<LockKey>> {
        let mut more = Vec::new();
        for (key, settled) in keys.iter().zip(self.settle(keys).await) {
            match settled {
                Ok(settled) if settled.value => more.push(key.clone()),
                Ok(_) => {}
                Err(error) if self.is_damage(&error) => {}
                Err(_) => return None,
            }
        }
        Some(more)
    }

    /// Settles keys that may be abandoned, and returns for each whether more is over than a command
    /// drops.
    async fn settle(self: &Arc<Self>, keys: &[LockKey]) -> Answers<bool> {
        let item = |key: &LockKey| Item { key: key.clone(), args: Vec::new() };
        let read = |_: &LockKey, value| reply::number(&value).map(|more| more == 1);
        let batch = Batch { operation: Operation::List, script: &SETTLE, read };
        self.run_all(batch, keys.iter().map(item).collect()).await
    }
}
