//! What a store answers to a command, in a form that can be compared and counted.

use std::collections::BTreeSet;

use lock_core::{
    Acquisition, Cancellation, Change, Eviction, Inspection, Lease, Release, Renewal, Timestamp,
    Transfer, Waiter, Wake,
};

/// What a store answers to a command.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Acquire(Acquisition),
    Wait(Wake),
    Renew(Vec<Renewal>),
    Release(Release),
    Cancel(Cancellation),
    Transfer(Transfer),
    Evict(Eviction),
    Inspect(Inspection),
    /// The leases of all pages by key and request, and the times at which the pages were made.
    List(Vec<Lease>, BTreeSet<Timestamp>),
    /// By key and request.
    WaitsOf(Vec<Waiter>),
    /// An error, or what no store may answer.
    Failed(String),
}

/// All that [`Answer::kinds`] and [`change`] can tell.
pub(super) const KINDS: &[&str] = &[
    "Acquisition::Granted",
    "Acquisition::Queued",
    "Acquisition::Held",
    "Acquisition::QueueFull",
    "Wake::Granted",
    "Wake::AskAgain",
    "Renewal::Renewed",
    "Renewal::NotHeld",
    "Release::Released",
    "Release::NotHeld",
    "Cancellation::Dequeued",
    "Cancellation::Released",
    "Cancellation::Absent",
    "Transfer::Transferred",
    "Transfer::NotHeld",
    "Transfer::NotWaiting",
    "Transfer::AlreadyHolds",
    "Eviction of none",
    "Eviction of one",
    "Eviction of several",
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
];

/// What kind of a change it is.
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
        _ => UNKNOWN,
    }
}

/// What the contract may grow by.
pub(super) const UNKNOWN: &str = "unknown";

impl Answer {
    pub(super) fn list(mut leases: Vec<Lease>, times: BTreeSet<Timestamp>) -> Self {
        leases.sort_by_key(|lease| (lease.key.clone(), lease.request));
        Self::List(leases, times)
    }

    pub(super) fn waits(mut waiters: Vec<Waiter>) -> Self {
        waiters.sort_by_key(|waiter| (waiter.key.clone(), waiter.request));
        Self::WaitsOf(waiters)
    }

    /// What kind of an answer it is, of each part.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let kind = match self {
            Self::Acquire(Acquisition::Granted(_)) => "Acquisition::Granted",
            Self::Acquire(Acquisition::Queued(_)) => "Acquisition::Queued",
            Self::Acquire(Acquisition::Held(_)) => "Acquisition::Held",
            Self::Acquire(Acquisition::QueueFull(_)) => "Acquisition::QueueFull",
            Self::Wait(Wake::Granted(_)) => "Wake::Granted",
            Self::Wait(Wake::AskAgain) => "Wake::AskAgain",
            Self::Renew(renewals) => return renewals.iter().map(renewal).collect(),
            Self::Release(Release::Released) => "Release::Released",
            Self::Release(Release::NotHeld) => "Release::NotHeld",
            Self::Cancel(Cancellation::Dequeued) => "Cancellation::Dequeued",
            Self::Cancel(Cancellation::Released) => "Cancellation::Released",
            Self::Cancel(Cancellation::Absent) => "Cancellation::Absent",
            Self::Transfer(Transfer::Transferred(_)) => "Transfer::Transferred",
            Self::Transfer(Transfer::NotHeld) => "Transfer::NotHeld",
            Self::Transfer(Transfer::NotWaiting) => "Transfer::NotWaiting",
            Self::Transfer(Transfer::AlreadyHolds) => "Transfer::AlreadyHolds",
            Self::Evict(eviction) => match eviction.leases.len() {
                0 => "Eviction of none",
                1 => "Eviction of one",
                _ => "Eviction of several",
            },
            Self::Inspect(seen) => return inspection(seen),
            Self::List(leases, _) if leases.is_empty() => "List of none",
            Self::List(..) => "List of some",
            Self::WaitsOf(waiters) if waiters.is_empty() => "Waits of none",
            Self::WaitsOf(_) => "Waits of some",
            _ => UNKNOWN,
        };
        vec![kind]
    }
}

fn renewal(renewal: &Renewal) -> &'static str {
    match renewal {
        Renewal::Renewed(_) => "Renewal::Renewed",
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
    if !seen.waiters.is_empty() {
        kinds.push("Inspection of waiters");
    }
    if seen.waiting > seen.waiters.len() as u64 {
        kinds.push("Inspection of dead waiters");
    }
    kinds
}
