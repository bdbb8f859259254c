//! Replies of a store: the expected outcomes.

use crate::{End, Holder, Lease, QueuePosition, Timestamp, Waiter};

/// The outcome of an [`acquire`](crate::LockBackend::acquire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Acquisition {
    /// The request holds the key.
    Granted(Lease),
    /// The request waits in the queue.
    Queued(QueuePosition),
    /// The key is held or waited for, and the request did not want to queue.
    Held(QueuePosition),
    /// The queue is as long as the request allowed.
    QueueFull(QueuePosition),
    /// The request was ended before; nothing changed.
    Ended(End),
    /// The lease that the request [upgrades](crate::Mode::Upgrade) is over; nothing changed.
    NotHeld,
    /// Another holder waits to upgrade: neither would get the key while the other holds. Nothing
    /// changed.
    Deadlock(QueuePosition),
}

/// Outcome of a [`hear`](crate::LockBackend::hear) for one request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Heard {
    /// The request waits, and keeps its place for another keep-alive.
    Queued(QueuePosition),
    /// The request holds the key; the lease is claimed.
    Granted(Lease),
    /// The request was ended by force or cancelled.
    Ended(End),
    /// The request neither waits nor holds.
    Absent,
}

/// The outcome of one lease in a [`renew`](crate::LockBackend::renew).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Renewal {
    /// The lease lasts its whole ttl from now.
    Renewed {
        /// When the lease ends; `None` is never.
        expires_at: Option<Timestamp>,
    },
    /// The lease was ended by force.
    Ended(End),
    /// There is no such lease.
    NotHeld,
}

/// The outcome of a [`release`](crate::LockBackend::release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Release {
    /// The lease is over.
    Released,
    /// The lease was ended by force before; nothing changed.
    Ended(End),
    /// There is no such lease; nothing changed.
    NotHeld,
}

/// The outcome of a [`cancel`](crate::LockBackend::cancel).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Cancellation {
    /// The request left the queue.
    Dequeued,
    /// The request had been granted already; its lease is over.
    Released,
    /// The request neither waits nor holds.
    Absent,
}

/// The outcome of a [`transfer`](crate::LockBackend::transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Transfer {
    /// The new holder's lease, with a token of its own.
    Transferred(Lease),
    /// The lease was ended by force before; nothing changed.
    Ended(End),
    /// There is no such lease to give; nothing changed.
    NotHeld,
    /// The receiving request does not wait for the key in the mode of the lease, or was ended by
    /// force or cancelled before; nothing changed.
    NotWaiting,
    /// The receiving request holds the key already; nothing changed.
    AlreadyHolds,
}

/// The outcome of an [`evict`](crate::LockBackend::evict).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
#[non_exhaustive]
pub struct Eviction {
    /// The leases that were taken away, the first to end first.
    pub leases: Vec<Lease>,
    /// The waiter that was taken out of the queue.
    pub waiter: Option<Waiter>,
    /// `true` if matching leases remain: one command evicts at most
    /// [`machine::EVICT_LIMIT`](crate::machine::EVICT_LIMIT).
    pub more: bool,
}

impl Eviction {
    /// Nothing was there to evict.
    pub const fn nothing() -> Self {
        Self { leases: Vec::new(), waiter: None, more: false }
    }

    /// These leases were taken away, and there may be `more`.
    pub const fn of_leases(leases: Vec<Lease>, more: bool) -> Self {
        Self { leases, waiter: None, more }
    }

    /// This waiter was taken out of the queue.
    pub const fn of_waiter(waiter: Waiter) -> Self {
        Self { leases: Vec::new(), waiter: Some(waiter), more: false }
    }

    /// Returns `true` if nothing was evicted.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.leases.is_empty() && self.waiter.is_none()
    }
}

/// The outcome of a [`request_release`](crate::LockBackend::request_release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
#[non_exhaustive]
pub struct ReleaseRequested {
    /// The holders that were notified, the first to end first.
    pub holders: Vec<Holder>,
    /// `true` if there are more holders: one command notifies at most
    /// [`machine::EVICT_LIMIT`](crate::machine::EVICT_LIMIT).
    pub more: bool,
}

impl ReleaseRequested {
    /// These holders were notified, and there may be `more`.
    pub const fn new(holders: Vec<Holder>, more: bool) -> Self {
        Self { holders, more }
    }
}
