//! The two traits of `lock-core` over the table of keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Clock, Cursor, Error,
    EventFilter, EventStream, EvictRequest, Eviction, Health, Inspection, InvalidInput, Lease,
    ListQuery, LockBackend, LockInspector, LockKey, Operation, OwnerId, Page, Problem, Release,
    ReleaseRequest, RenewRequest, Renewal, RequestId, Result, TokioClock, Transfer,
    TransferRequest, WaitRequest, Waiter, Wake,
};

use crate::table::Table;

/// A lock store in the memory of this process.
///
/// Clones share the store; any number of managers may use it at once. A key that nobody holds or
/// waits for takes no memory, and its tokens go on increasing all the same.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> lock_core::Result<()> {
/// use lock_core::{AcquireRequest, Acquisition, LockBackend, LockKey, OwnerId, RequestId};
/// use lock_memory::MemoryBackend;
///
/// let store = MemoryBackend::new();
/// let key = LockKey::parse("acme/infra/prod").expect("a valid key");
/// let ask = |owner| {
///     let owner = OwnerId::parse(owner).expect("a valid owner");
///     AcquireRequest::new(RequestId::random(), key.clone(), owner)
/// };
/// assert!(matches!(store.acquire(&ask("alice")).await?, Acquisition::Granted(_)));
/// assert!(matches!(store.acquire(&ask("bob")).await?, Acquisition::Held(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBackend {
    table: Arc<Table>,
}

impl MemoryBackend {
    /// An empty store, on tokio's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(TokioClock::new())
    }

    /// An empty store on another clock.
    #[must_use]
    pub fn with_clock(clock: impl Clock) -> Self {
        Self { table: Arc::new(Table::new(Arc::new(clock))) }
    }

    /// How many keys take memory: those that anybody holds or waits for, and those whose leases ran
    /// out and that were not swept since, about as many as were alive at once.
    #[must_use]
    pub fn keys_in_memory(&self) -> usize {
        self.table.len()
    }
}

impl Default for MemoryBackend {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for MemoryBackend {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        Ok(self.table.run(&asked.key, |state, step| state.acquire(step, asked)))
    }

    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        let request = awaited.request;
        let entered = self.table.run_known(&awaited.key, |state, step| {
            state.settle(step);
            match state.lease_of(request) {
                Some(lease) => Err(Wake::Granted(lease.clone())),
                None if state.is_waiting(request) => {
                    Ok(self.table.sleepers.enter(request, &awaited.key))
                }
                None => Err(Wake::AskAgain),
            }
        });
        let mut sleeper = match entered {
            Ok(sleeper) => sleeper,
            Err(wake) => return Ok(wake),
        };
        match tokio::time::timeout(awaited.timeout, sleeper.news()).await {
            Ok(Some(lease)) => Ok(Wake::Granted(lease)),
            Ok(None) | Err(_) => Ok(Wake::AskAgain),
        }
    }

    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let renew = |renewal: &RenewRequest| {
            Ok(self.table.run_known(&renewal.key, |state, step| state.renew(step, renewal)))
        };
        renewals.iter().map(renew).collect()
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        Ok(self.table.run_known(&held.key, |state, step| state.release(step, held.request)))
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        Ok(self.table.run_known(&asked.key, |state, step| state.cancel(step, asked.request)))
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        Ok(self.table.run_known(&given.key, |state, step| state.transfer(step, given)))
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        Ok(self.table.run_known(&eviction.key, |state, step| state.evict(step, eviction)))
    }
}

/// Leases are listed in the order of their keys, then of their requests; a page takes time in
/// proportion to all keys of the store.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for MemoryBackend {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        Ok(self.table.run_known(key, |state, step| state.inspect(step, key)))
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let after = query.cursor.as_ref().map(read_cursor).transpose()?;
        let limit = query.limit.get() as usize;
        let mut found: BTreeMap<(LockKey, RequestId), Lease> = BTreeMap::new();
        self.table.for_each(|key, state, _| {
            for lease in state.leases().filter(|lease| query.matches(lease)) {
                let place = (key.clone(), lease.request);
                if after.as_ref().is_none_or(|after| place > *after) {
                    found.insert(place, lease.clone());
                }
                // One more than the page holds tells whether another follows.
                if found.len() > limit + 1 {
                    found.pop_last();
                }
            }
        });
        let now = self.table.now();
        if found.len() > limit {
            found.pop_last();
            let next = found.last_key_value().map(|(last, _)| write_cursor(last));
            return Ok(Page::new(found.into_values().collect(), next, now));
        }
        Ok(Page::new(found.into_values().collect(), None, now))
    }

    /// Takes time in proportion to all requests that wait in the store.
    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        let waits_for = |key: &LockKey| {
            self.table.run_known(key, |state, step| {
                state.settle(step);
                let mine = state.waiters(step.now).filter(|waiter| waiter.owner == *owner);
                mine.collect::<Vec<_>>()
            })
        };
        Ok(self.table.waited_keys().iter().flat_map(waits_for).collect())
    }

    async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        Ok(Box::pin(self.table.watchers.add(filter.clone())))
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new("memory".to_owned(), Vec::new()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with_pushed_grants().with_events()
    }
}

fn write_cursor((key, request): &(LockKey, RequestId)) -> Cursor {
    Cursor::new(format!("{request}{key}"))
}

fn read_cursor(cursor: &Cursor) -> Result<(LockKey, RequestId)> {
    let parts = cursor.as_str().split_at_checked(32).and_then(|(request, key)| {
        Some((LockKey::parse(key).ok()?, RequestId::parse(request).ok()?))
    });
    parts.ok_or_else(|| {
        let problem = Problem::Malformed { expected: "a cursor of this store" };
        Error::invalid(Operation::List, InvalidInput::new("cursor", problem))
    })
}
