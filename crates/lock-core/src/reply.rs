//! What a store answers: the outcomes that a caller plans for.

use crate::{Lease, Place};

/// What became of an [`acquire`](crate::LockBackend::acquire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Acquisition {
    /// The request holds the key.
    Granted(Lease),
    /// The request waits in the queue.
    Queued(Place),
    /// The key is held or waited for, and the request did not want to queue.
    Held(Place),
    /// The queue is as long as the request allowed.
    QueueFull(Place),
}

/// Why a [`wait`](crate::LockBackend::wait) ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Wake {
    /// The request was granted this lease; its claim window is running.
    Granted(Lease),
    /// The time is up, or something may have changed: ask again.
    AskAgain,
}

/// What became of one lease in a [`renew`](crate::LockBackend::renew).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Renewal {
    /// The lease lasts its whole ttl from now.
    Renewed(Lease),
    /// The request does not hold the key.
    NotHeld,
}

/// What became of a [`release`](crate::LockBackend::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Release {
    /// The lease is over.
    Released,
    /// The request does not hold the key; nothing changed.
    NotHeld,
}

/// What became of a [`cancel`](crate::LockBackend::cancel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Cancellation {
    /// The request left the queue.
    Dequeued,
    /// The request had been granted already; its lease is over.
    Released,
    /// The request neither waits nor holds; nothing changed.
    Absent,
}

/// What became of a [`transfer`](crate::LockBackend::transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Transfer {
    /// The new holder's lease, with a token of its own.
    Transferred(Lease),
    /// The giving request does not hold the key; nothing changed.
    NotHeld,
    /// The receiving request does not wait for the key in the mode of the lease; nothing changed.
    NotWaiting,
    /// The receiving request holds the key already; nothing changed.
    AlreadyHolds,
}

/// What became of an [`evict`](crate::LockBackend::evict): the leases that were taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Eviction {
    /// The leases that were taken away; none when there was nothing to take.
    pub leases: Vec<Lease>,
}

impl Eviction {
    /// These leases were taken away.
    pub const fn new(leases: Vec<Lease>) -> Self {
        Self { leases }
    }
}
