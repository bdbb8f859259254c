//! Position of a request in the queue.

use std::fmt;

use crate::{FencingToken, Lease, Mode, OwnerId, SessionId, Timed, Timestamp};

/// Position of a request in the queue, and the lease in its way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct QueuePosition {
    /// The position in the queue, 1 being the head; for a request that was refused, the position
    /// that it would have had.
    pub position: u64,
    /// The number of requests that wait. Dead waiters count until they are dropped.
    pub waiting: u64,
    /// The number of leases of the key that are alive.
    pub holders: u64,
    /// Of the leases that are alive, the one that ends first.
    pub holder: Option<Holder>,
    /// The next instant at which time alone can lead to a grant of the request; `None` when only a
    /// command can. It is the time of the reply while a store still drops dead waiters.
    pub next_change_at: Option<Timestamp>,
}

/// The lease in the way of a request, without what only its holder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Holder {
    /// Holder of the key.
    pub owner: OwnerId,
    /// The session that holds the key.
    pub session: SessionId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// The fencing token.
    pub token: FencingToken,
    /// When the lease was granted.
    pub granted_at: Timestamp,
    /// When the lease ends unless renewed; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl Holder {
    /// A holder since `granted_at` whose lease never ends.
    #[must_use]
    pub const fn new(
        owner: OwnerId,
        session: SessionId,
        mode: Mode,
        token: FencingToken,
        granted_at: Timestamp,
    ) -> Self {
        Self { owner, session, mode, token, granted_at, expires_at: None }
    }

    /// The same holder, whose lease ends then.
    #[must_use]
    pub fn with_expires_at(self, expires_at: Option<Timestamp>) -> Self {
        Self { expires_at, ..self }
    }
}

impl From<&Lease> for Holder {
    fn from(lease: &Lease) -> Self {
        let (owner, granted_at) = (lease.owner.clone(), lease.granted_at);
        Self::new(owner, lease.session, lease.mode, lease.token, granted_at)
            .with_expires_at(lease.expires_at)
    }
}

impl QueuePosition {
    /// A position of a key without holders, where time alone leads to no grant.
    #[must_use]
    pub const fn new(position: u64, waiting: u64) -> Self {
        Self { position, waiting, holders: 0, holder: None, next_change_at: None }
    }

    /// The same position behind `holders` leases, of which `holder` ends first.
    #[must_use]
    pub fn with_holder(self, holders: u64, holder: Option<Holder>) -> Self {
        Self { holders, holder, ..self }
    }

    /// The same position, where time alone can lead to a grant at `next_change_at`.
    #[must_use]
    pub fn with_next_change_at(self, next_change_at: Option<Timestamp>) -> Self {
        Self { next_change_at, ..self }
    }
}

/// Names the holder, how long it has held, when its lease ends, and the position in the queue.
impl fmt::Display for Timed<QueuePosition> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (now, position) = (self.observed_at, &self.value);
        match &position.holder {
            None => f.write_str("no holder")?,
            Some(holder) => {
                let age = now.since(holder.granted_at);
                write!(f, "held by `{}` (token {}) for {age:?}", holder.owner, holder.token)?;
                match holder.expires_at {
                    Some(end) => write!(f, ", lease ends in {:?}", end.since(now))?,
                    None => f.write_str(", lease never ends")?,
                }
                if position.holders > 1 {
                    write!(f, ", one of {} holders", position.holders)?;
                }
            }
        }
        match position.position.saturating_sub(1) {
            0 => f.write_str("; next in the queue"),
            1 => f.write_str("; 1 request ahead in the queue"),
            ahead => write!(f, "; {ahead} requests ahead in the queue"),
        }
    }
}
