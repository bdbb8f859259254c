//! Events of a key, for watchers.

use std::fmt;

use crate::{EventCursor, Lease, LockKey, OwnerId, Reason, Timestamp, Waiter};

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LockEvent {
    /// Cursor of the event: a watch that starts after it receives the following events.
    pub cursor: EventCursor,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// The change.
    pub change: Change,
}

/// Change of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Change {
    /// A request joined the queue.
    Queued(Waiter),
    /// A request was granted its lease.
    Granted(Lease),
    /// A lease was released by its holder.
    Released(Lease),
    /// A lease ran out.
    Expired(Lease),
    /// A waiter left the queue.
    Cancelled(Waiter),
    /// A waiter was silent for longer than its keep-alive.
    Lapsed(Waiter),
    /// A lease was transferred by its holder.
    Transferred {
        /// The lease that ended.
        from: Lease,
        /// The lease that began.
        to: Lease,
    },
    /// An operator took a lease away.
    Evicted {
        /// The lease that ended.
        lease: Lease,
        /// The owner that evicted it.
        by: OwnerId,
        /// Why.
        reason: Reason,
    },
    /// An operator took a waiter out of the queue.
    WaiterEvicted {
        /// The waiter that left.
        waiter: Waiter,
        /// The owner that evicted it.
        by: OwnerId,
        /// Why.
        reason: Reason,
    },
}

/// The kind of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// See [`Change::Queued`].
    Queued,
    /// See [`Change::Granted`].
    Granted,
    /// See [`Change::Released`].
    Released,
    /// See [`Change::Expired`].
    Expired,
    /// See [`Change::Cancelled`].
    Cancelled,
    /// See [`Change::Lapsed`].
    Lapsed,
    /// See [`Change::Transferred`].
    Transferred,
    /// See [`Change::Evicted`].
    Evicted,
    /// See [`Change::WaiterEvicted`].
    WaiterEvicted,
}

impl LockEvent {
    /// This change happened then, and stands at `cursor`.
    #[must_use]
    pub const fn new(cursor: EventCursor, at: Timestamp, change: Change) -> Self {
        Self { cursor, at, change }
    }

    /// The key that it happened to.
    #[must_use]
    pub const fn key(&self) -> &LockKey {
        match &self.change {
            Change::Queued(waiter)
            | Change::Cancelled(waiter)
            | Change::Lapsed(waiter)
            | Change::WaiterEvicted { waiter, .. } => &waiter.key,
            Change::Granted(lease)
            | Change::Released(lease)
            | Change::Expired(lease)
            | Change::Transferred { from: lease, .. }
            | Change::Evicted { lease, .. } => &lease.key,
        }
    }
}

impl Change {
    /// The kind of the change.
    #[must_use]
    pub const fn kind(&self) -> ChangeKind {
        match self {
            Self::Queued(_) => ChangeKind::Queued,
            Self::Granted(_) => ChangeKind::Granted,
            Self::Released(_) => ChangeKind::Released,
            Self::Expired(_) => ChangeKind::Expired,
            Self::Cancelled(_) => ChangeKind::Cancelled,
            Self::Lapsed(_) => ChangeKind::Lapsed,
            Self::Transferred { .. } => ChangeKind::Transferred,
            Self::Evicted { .. } => ChangeKind::Evicted,
            Self::WaiterEvicted { .. } => ChangeKind::WaiterEvicted,
        }
    }

    /// Returns `true` if the change concerns a lease or waiter of this owner. A transfer concerns
    /// both sides.
    #[must_use]
    pub fn concerns(&self, owner: &OwnerId) -> bool {
        match self {
            Self::Queued(waiter)
            | Self::Cancelled(waiter)
            | Self::Lapsed(waiter)
            | Self::WaiterEvicted { waiter, .. } => waiter.owner == *owner,
            Self::Granted(lease)
            | Self::Released(lease)
            | Self::Expired(lease)
            | Self::Evicted { lease, .. } => lease.owner == *owner,
            Self::Transferred { from, to } => from.owner == *owner || to.owner == *owner,
        }
    }
}

/// A set of kinds of changes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChangeKinds(u32);

impl ChangeKinds {
    /// No kind.
    pub const NONE: Self = Self(0);
    /// Every kind.
    pub const ALL: Self = Self(u32::MAX);

    /// The same set and `kind`.
    #[must_use]
    pub const fn with(self, kind: ChangeKind) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// The kinds of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns `true` if `kind` is in the set.
    #[must_use]
    pub const fn contains(self, kind: ChangeKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }

    /// The set as bits, for a store that keeps it in an atomic.
    #[must_use]
    pub const fn to_bits(self) -> u32 {
        self.0
    }

    /// The set that [`to_bits`](Self::to_bits) gave.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for ChangeKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeKinds({:#b})", self.0)
    }
}

/// Which events to watch: all that match every given condition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFilter {
    /// Only these kinds.
    pub kinds: ChangeKinds,
    /// Only keys that begin with this text; every key does with the empty text.
    pub prefix: String,
    /// Only changes that [concern](Change::concerns) this owner.
    pub owner: Option<OwnerId>,
}

impl Default for EventFilter {
    fn default() -> Self {
        Self { kinds: ChangeKinds::ALL, prefix: String::new(), owner: None }
    }
}

impl EventFilter {
    /// Every event.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Only these kinds.
    #[must_use]
    pub fn with_kinds(self, kinds: ChangeKinds) -> Self {
        Self { kinds, ..self }
    }

    /// Only keys that begin with `prefix`.
    #[must_use]
    pub fn with_prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Only changes that concern `owner`.
    #[must_use]
    pub fn with_owner(self, owner: OwnerId) -> Self {
        Self { owner: Some(owner), ..self }
    }

    /// Returns `true` if the filter accepts the event.
    #[must_use]
    pub fn matches(&self, event: &LockEvent) -> bool {
        self.kinds.contains(event.change.kind())
            && event.key().as_str().starts_with(&self.prefix)
            && self.owner.as_ref().is_none_or(|owner| event.change.concerns(owner))
    }
}

/// Item of an event stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "nearly everything a watcher receives is an event")]
pub enum Watched {
    /// An event, in the order of its key.
    Event(LockEvent),
    /// The watcher was too slow, was cut off or began after a cursor that the store no longer
    /// keeps: this many events are missing at least.
    Missed(u64),
}
