//! Where a request stands that is not granted.

use std::fmt;

use crate::{HeadStart, Lease, LockKey, Mode, OwnerId, RequestId, Timestamp};

/// Where a request stands that is not granted, and who is in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Place {
    /// The place in the queue, 1 being the next; for a request that was refused, the place it would
    /// have had.
    pub position: u64,
    /// How many requests wait.
    pub waiting: u64,
    /// How many leases of the key are alive.
    pub holders: u64,
    /// The lease that ends first of those alive.
    ///
    /// There is none while a store still clears away waiters that died: ask again at once.
    pub holder: Option<Lease>,
    /// The store's time of this reply, from which ages are counted.
    pub observed_at: Timestamp,
}

impl Place {
    /// A place at `position` of `waiting`, as it was at the time `observed_at`, with no holder.
    #[must_use]
    pub const fn new(position: u64, waiting: u64, observed_at: Timestamp) -> Self {
        Self { position, waiting, holders: 0, holder: None, observed_at }
    }

    /// The same place behind `holders` leases, of which `holder` ends first.
    #[must_use]
    pub fn with_holder(self, holders: u64, holder: Option<Lease>) -> Self {
        Self { holders, holder, ..self }
    }
}

/// Names the holder, how long it has held, when its lease ends, and the place in the queue.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.holder {
            None => f.write_str("held by nobody now")?,
            Some(lease) => {
                let age = lease.age(self.observed_at);
                write!(f, "held by `{}` (token {}) for {age:?}", lease.owner, lease.token)?;
                match lease.remaining(self.observed_at) {
                    Some(rest) => write!(f, ", lease ends in {rest:?}")?,
                    None => f.write_str(", lease never ends")?,
                }
                if self.holders > 1 {
                    write!(f, ", one of {} holders", self.holders)?;
                }
            }
        }
        write!(f, "; place {} of {} waiting", self.position, self.waiting)
    }
}

/// A request that waits in the queue of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Waiter {
    /// What it waits for.
    pub key: LockKey,
    /// Who waits.
    pub owner: OwnerId,
    /// The waiting request.
    pub request: RequestId,
    /// Alone or with others.
    pub mode: Mode,
    /// How much earlier than its arrival it ranks.
    pub head_start: HeadStart,
    /// When it joined the queue.
    pub enqueued_at: Timestamp,
    /// When it loses its place unless it is heard of before.
    pub silent_at: Timestamp,
}

impl Waiter {
    /// A waiter without head start that joined at `enqueued_at` and may be silent until
    /// `silent_at`.
    #[must_use]
    pub const fn new(
        key: LockKey,
        owner: OwnerId,
        request: RequestId,
        enqueued_at: Timestamp,
        silent_at: Timestamp,
    ) -> Self {
        let (mode, head_start) = (Mode::Exclusive, HeadStart::NONE);
        Self { key, owner, request, mode, head_start, enqueued_at, silent_at }
    }

    /// The same waiter with this mode and head start.
    #[must_use]
    pub fn with_terms(self, mode: Mode, head_start: HeadStart) -> Self {
        Self { mode, head_start, ..self }
    }
}
