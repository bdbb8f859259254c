//! The answer of a store to a command, in a form that can be compared and counted.

use std::collections::BTreeSet;

use lock_core::{
    Acquisition, Cancellation, Change, Eviction, Heard, Inspection, Lease, Notice, Release,
    ReleaseRequested, Renewal, Timed, Timestamp, Transfer, Waiter,
};

/// The answer of a store to a command.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Acquire(Timed<Acquisition>),
    Hear(Vec<Timed<Heard>>),
    Renew(Vec<Timed<Renewal>>),
    Release(Timed<Release>),
    Cancel(Timed<Cancellation>),
    Transfer(Timed<Transfer>),
    Evict(Timed<Eviction>),
    RequestRelease(Timed<ReleaseRequested>),
    /// The waiters of all pages together.
    Inspect(Timed<Inspection>),
    /// The leases of all pages by key and request, and the times at which the pages were made.
    List(Vec<Lease>, BTreeSet<Timestamp>),
    /// The waiters of all pages by key and request, and the times at which the pages were made.
    WaitsOf(Vec<Waiter>, BTreeSet<Timestamp>),
    /// An error, or an answer that no store may give.
    Failed(String),
}

/// All names that [`Answer::kinds`], [`change`] and [`notice`] can return.
pub(super) const KINDS: &[&str] = &[
    "Acquisition::Granted",
    "Acquisition::Queued",
    "Acquisition::Held",
    "Acquisition::QueueFull",
    "Acquisition::Ended",
    "Acquisition::NotHeld",
    "Acquisition::Deadlock",
    "Heard::Queued",
    "Heard::Granted",
    "Heard::Ended",
    "Heard::Absent",
    "Renewal::Renewed",
    "Renewal::Ended",
    "Renewal::NotHeld",
    "Release::Released",
    "Release::Ended",
    "Release::NotHeld",
    "Cancellation::Dequeued",
    "Cancellation::Released",
    "Cancellation::Absent",
    "Transfer::Transferred",
    "Transfer::Ended",
    "Transfer::NotHeld",
    "Transfer::NotWaiting",
    "Transfer::AlreadyHolds",
    "Eviction of none",
    "Eviction of one",
    "Eviction of several",
    "Eviction with more left",
    "Eviction of a waiter",
    "Request to no holder",
    "Request to holders",
    "Request with more left",
    "Inspection of a free key",
    "Inspection of one lease",
    "Inspection of several leases",
    "Inspection of waiters",
    "Inspection of dead waiters",
    "List of none",
    "List of some",
    "Waits of none",
    "Waits of some",
    "Change::Queued",
    "Change::Granted",
    "Change::Released",
    "Change::Expired",
    "Change::Cancelled",
    "Change::Lapsed",
    "Change::Transferred",
    "Change::Evicted",
    "Change::WaiterEvicted",
    "Notice::Granted",
    "Notice::Ended",
    "Notice::Ask",
    "Notice::Wanted",
];

/// The name of the kind of a change.
pub(super) const fn change(change: &Change) -> &'static str {
    match change {
        Change::Queued(_) => "Change::Queued",
        Change::Granted(_) => "Change::Granted",
        Change::Released(_) => "Change::Released",
        Change::Expired(_) => "Change::Expired",
        Change::Cancelled(_) => "Change::Cancelled",
        Change::Lapsed(_) => "Change::Lapsed",
        Change::Transferred { .. } => "Change::Transferred",
        Change::Evicted { .. } => "Change::Evicted",
        Change::WaiterEvicted { .. } => "Change::WaiterEvicted",
        _ => UNKNOWN,
    }
}

/// The name of the kind of a notice.
pub(super) const fn notice(notice: &Notice) -> &'static str {
    match notice {
        Notice::Granted(_) => "Notice::Granted",
        Notice::Ended { .. } => "Notice::Ended",
        Notice::Ask { .. } => "Notice::Ask",
        Notice::Wanted { .. } => "Notice::Wanted",
        _ => UNKNOWN,
    }
}

/// The name for variants that a later contract may add.
pub(super) const UNKNOWN: &str = "unknown";

impl Answer {
    pub(super) fn list(mut leases: Vec<Lease>, times: BTreeSet<Timestamp>) -> Self {
        leases.sort_by_key(|lease| (lease.key.clone(), lease.request));
        Self::List(leases, times)
    }

    pub(super) fn waits(mut waiters: Vec<Waiter>, times: BTreeSet<Timestamp>) -> Self {
        waiters.sort_by_key(|waiter| (waiter.key.clone(), waiter.request));
        Self::WaitsOf(waiters, times)
    }

    /// The kinds of the answer's parts.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let kind = match self {
            Self::Acquire(reply) => match &reply.value {
                Acquisition::Granted(_) => "Acquisition::Granted",
                Acquisition::Queued(_) => "Acquisition::Queued",
                Acquisition::Held(_) => "Acquisition::Held",
                Acquisition::QueueFull(_) => "Acquisition::QueueFull",
                Acquisition::Ended(_) => "Acquisition::Ended",
                Acquisition::NotHeld => "Acquisition::NotHeld",
                Acquisition::Deadlock(_) => "Acquisition::Deadlock",
                _ => UNKNOWN,
            },
            Self::Hear(replies) => return replies.iter().map(heard).collect(),
            Self::Renew(replies) => return replies.iter().map(renewal).collect(),
            Self::Release(reply) => match &reply.value {
                Release::Released => "Release::Released",
                Release::Ended(_) => "Release::Ended",
                Release::NotHeld => "Release::NotHeld",
                _ => UNKNOWN,
            },
            Self::Cancel(reply) => match &reply.value {
                Cancellation::Dequeued => "Cancellation::Dequeued",
                Cancellation::Released => "Cancellation::Released",
                Cancellation::Absent => "Cancellation::Absent",
                _ => UNKNOWN,
            },
            Self::Transfer(reply) => match &reply.value {
                Transfer::Transferred(_) => "Transfer::Transferred",
                Transfer::Ended(_) => "Transfer::Ended",
                Transfer::NotHeld => "Transfer::NotHeld",
                Transfer::NotWaiting => "Transfer::NotWaiting",
                Transfer::AlreadyHolds => "Transfer::AlreadyHolds",
                _ => UNKNOWN,
            },
            Self::Evict(reply) if reply.value.more => "Eviction with more left",
            Self::Evict(reply) if reply.value.waiter.is_some() => "Eviction of a waiter",
            Self::Evict(reply) => match reply.value.leases.len() {
                0 => "Eviction of none",
                1 => "Eviction of one",
                _ => "Eviction of several",
            },
            Self::RequestRelease(reply) if reply.value.more => "Request with more left",
            Self::RequestRelease(reply) if reply.value.holders.is_empty() => "Request to no holder",
            Self::RequestRelease(_) => "Request to holders",
            Self::Inspect(seen) => return inspection(&seen.value),
            Self::List(leases, _) if leases.is_empty() => "List of none",
            Self::List(..) => "List of some",
            Self::WaitsOf(waiters, _) if waiters.is_empty() => "Waits of none",
            Self::WaitsOf(..) => "Waits of some",
            Self::Failed(_) => UNKNOWN,
        };
        vec![kind]
    }
}

const fn heard(reply: &Timed<Heard>) -> &'static str {
    match &reply.value {
        Heard::Queued(_) => "Heard::Queued",
        Heard::Granted(_) => "Heard::Granted",
        Heard::Ended(_) => "Heard::Ended",
        Heard::Absent => "Heard::Absent",
        _ => UNKNOWN,
    }
}

const fn renewal(reply: &Timed<Renewal>) -> &'static str {
    match &reply.value {
        Renewal::Renewed { .. } => "Renewal::Renewed",
        Renewal::Ended(_) => "Renewal::Ended",
        Renewal::NotHeld => "Renewal::NotHeld",
        _ => UNKNOWN,
    }
}

fn inspection(seen: &Inspection) -> Vec<&'static str> {
    let mut kinds = match seen.holders {
        0 if seen.waiting == 0 => vec!["Inspection of a free key"],
        0 => vec![],
        1 => vec!["Inspection of one lease"],
        _ => vec!["Inspection of several leases"],
    };
    if !seen.waiters.items.is_empty() {
        kinds.push("Inspection of waiters");
    }
    if seen.waiting > seen.waiters.items.len() as u64 {
        kinds.push("Inspection of dead waiters");
    }
    kinds
}
