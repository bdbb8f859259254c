//! The repair of a key whose records are damaged.

use lock_core::{LockKey, Operation, Result, Timed};

use crate::backend::RedisBackend;
use crate::reply::Answer;
use crate::script::Script;

pub(crate) static REPAIR: Script = Script::whole("repair", include_str!("../scripts/repair.lua"));

/// Outcome of the repair of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repair {
    /// Number of leases that were kept.
    pub kept_leases: u64,
    /// Number of waiters that were kept.
    pub kept_waiters: u64,
    /// Number of leases whose records were lost or cannot be read.
    pub dropped_leases: u64,
    /// Number of waiters whose records were lost or cannot be read.
    pub dropped_waiters: u64,
}

impl RedisBackend {
    /// Repairs a key that a command found [corrupt](lock_core::ErrorKind::Corrupt).
    ///
    /// Readable records of leases and waiters are kept, and the order of the queue and all indexes
    /// are rebuilt from them. The rest is dropped. Then all users of the store receive
    /// `MayHaveMissed`, so that a holder that lost its lease learns so and a waiter that lost its
    /// position joins again; and watchers see `Missed`. A command that finds only an index lost
    /// repairs that by itself.
    ///
    /// Unlike any other command, this one takes as long as there are records.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](lock_core::ErrorKind::Unavailable) when the store did not answer
    /// (did not happen, or unknown); [`ErrorKind::Corrupt`](lock_core::ErrorKind::Corrupt) when its
    /// answer is damaged.
    ///
    /// # Cancel safety
    /// The repair may or may not have happened; repair again.
    pub async fn repair(&self, key: &LockKey) -> Result<Timed<Repair>> {
        let read = |mut answer: Answer| {
            Some(Repair {
                kept_leases: answer.number()?,
                kept_waiters: answer.number()?,
                dropped_leases: answer.number()?,
                dropped_waiters: answer.number()?,
            })
        };
        let store = self.shards.of(key);
        let repaired = store.run(Operation::Evict, &REPAIR, key, &[], read).await?;
        tracing::warn!(%key, repaired = ?repaired.value, "the records of a key were repaired");
        store.is_sound(key);
        Ok(repaired)
    }
}
