//! The scope of a store's token counters: all keys, each key, or groups of keys.

use std::collections::BTreeMap;

use lock_core::{
    AcquireRequest, Acquisition, FencingToken, LockKey, LockStore, ReleaseRequest, RequestId,
};

use super::{START, values};

/// The last token of each counter, and which keys share one.
#[derive(Debug)]
pub(super) struct Counters {
    /// The keys, each with the number of its counter.
    counter_of: BTreeMap<LockKey, usize>,
    last: BTreeMap<usize, FencingToken>,
}

impl Counters {
    /// Finds out which keys of a new store share a counter, while its clock stands at [`START`].
    ///
    /// The key of number `n` is granted `2^n` times, so that the first token of each key shows with
    /// which earlier keys it shares its counter.
    pub(super) async fn of(store: &dyn LockStore) -> Result<Self, String> {
        let mut counters = Self { counter_of: BTreeMap::new(), last: BTreeMap::new() };
        for (number, key) in values::keys().enumerate() {
            let first = grant_and_release(store, &key).await?;
            let shared = first.get().checked_sub(START.as_micros());
            let shared = shared.ok_or_else(|| format!("token {first} is below the clock"))?;
            let counter = if shared == 0 { number } else { shared.trailing_zeros() as usize };
            let mut last = first;
            for _ in 1..1_u32 << number {
                last = grant_and_release(store, &key).await?;
            }
            counters.counter_of.insert(key, counter);
            counters.last.insert(counter, last);
        }
        Ok(counters)
    }

    pub(super) fn last(&self, key: &LockKey) -> Option<FencingToken> {
        self.last.get(self.counter_of.get(key)?).copied()
    }

    pub(super) fn set(&mut self, key: &LockKey, last: Option<FencingToken>) {
        if let (Some(counter), Some(last)) = (self.counter_of.get(key), last) {
            self.last.insert(*counter, last);
        }
    }
}

async fn grant_and_release(store: &dyn LockStore, key: &LockKey) -> Result<FencingToken, String> {
    let request = AcquireRequest::new(RequestId::from_bits(77), key.clone(), values::owner(0));
    let granted = store.acquire(&request).await.map_err(|error| format!("{error:?}"))?;
    let Acquisition::Granted(lease) = granted.value else {
        return Err(format!("a new store answers {granted:?} to {request:?}"));
    };
    let release = ReleaseRequest::new(lease.name());
    let released = store.release(&release).await.map_err(|error| format!("{error:?}"))?;
    match released.value {
        lock_core::Release::Released => Ok(lease.token),
        _ => Err(format!("a new store answers {released:?} to {release:?}")),
    }
}
