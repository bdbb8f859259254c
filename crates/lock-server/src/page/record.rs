//! An event as the page keeps it: without metadata, which may hold secrets.

use lock_core::{
    Change, ChangeKind, FencingToken, HeadStart, Lease, LockEvent, LockKey, OwnerId, Reason,
    RequestId, Timestamp, Waiter,
};

/// An event of a key.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) key: LockKey,
    pub(super) kind: ChangeKind,
    pub(super) owner: OwnerId,
    pub(super) request: RequestId,
    pub(super) token: Option<FencingToken>,
    pub(super) head_start: Option<HeadStart>,
    /// The new holder of a transferred lease.
    pub(super) to: Option<(OwnerId, RequestId)>,
    /// The operator of an eviction, and the reason.
    pub(super) ended: Option<(OwnerId, Reason)>,
}

impl Record {
    /// The record of an event; `None` of one of a newer kind.
    pub(super) fn of(event: LockEvent) -> Option<Self> {
        let (at, kind) = (event.at, event.change.kind());
        Some(match event.change {
            Change::Queued(waiter) | Change::Cancelled(waiter) | Change::Lapsed(waiter) => {
                Self::of_waiter(at, kind, waiter)
            }
            Change::Granted(lease) | Change::Released(lease) | Change::Expired(lease) => {
                Self::of_lease(at, kind, lease)
            }
            Change::Transferred { from, to } => {
                let record = Self::of_lease(at, kind, from);
                Self { to: Some((to.owner, to.request)), ..record }
            }
            Change::Evicted { lease, by, reason } => {
                Self { ended: Some((by, reason)), ..Self::of_lease(at, kind, lease) }
            }
            Change::WaiterEvicted { waiter, by, reason } => {
                Self { ended: Some((by, reason)), ..Self::of_waiter(at, kind, waiter) }
            }
            _ => return None,
        })
    }

    fn of_lease(at: Timestamp, kind: ChangeKind, lease: Lease) -> Self {
        let Lease { key, owner, request, token, .. } = lease;
        let token = Some(token);
        Self { at, key, kind, owner, request, token, head_start: None, to: None, ended: None }
    }

    fn of_waiter(at: Timestamp, kind: ChangeKind, waiter: Waiter) -> Self {
        let Waiter { key, owner, request, head_start, .. } = waiter;
        let head_start = Some(head_start);
        Self { at, key, kind, owner, request, token: None, head_start, to: None, ended: None }
    }
}
