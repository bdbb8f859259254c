//! What can be seen of a key.

use super::queue::Waiting;
use super::{KeyState, Step};
use crate::{Inspection, Lease, LockKey, RequestId, Timestamp, Waiter};

impl KeyState {
    /// Shows who holds `key`, which this is the state of, and who waits for it.
    pub fn inspect(&mut self, step: &mut Step, key: &LockKey) -> Inspection {
        self.settle(step);
        let leases = self.leases().take(Inspection::MAX_SHOWN).cloned().collect();
        let waiters = self.waiters(step.now).take(Inspection::MAX_SHOWN).collect();
        let waiting = self.queue.as_ref().map_or(0, |queue| queue.len());
        Inspection::free(key.clone(), step.now)
            .with_leases(self.leases.len() as u64, leases)
            .with_waiters(waiting as u64, waiters)
    }

    /// The lease that the request holds.
    #[must_use]
    pub fn lease_of(&self, request: RequestId) -> Option<&Lease> {
        self.leases.get(request).map(|holding| &holding.lease)
    }

    /// Whether the request waits.
    #[must_use]
    pub fn is_waiting(&self, request: RequestId) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.get(request).is_some())
    }

    /// Whether anybody waits.
    #[must_use]
    pub const fn has_waiters(&self) -> bool {
        self.queue.is_some()
    }

    /// The leases, the first to end first.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter().map(|holding| &holding.lease)
    }

    /// The waiting requests that are alive at the time `now`, the next first.
    pub fn waiters(&self, now: Timestamp) -> impl Iterator<Item = Waiter> {
        let alive = move |waiting: &&Waiting| !waiting.is_silent(now);
        self.queue.iter().flat_map(|queue| queue.iter()).filter(alive).map(Waiting::to_waiter)
    }
}
