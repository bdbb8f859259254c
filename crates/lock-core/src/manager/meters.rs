//! The figures of a manager.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::telemetry::{counter, gauge, histogram, labelled_counters, names};
use crate::{AgeingStep, Error, ErrorKind, HeadStart, LossReason, Priority};

/// Handles of the metrics of a manager, taken once: to count takes no look-up.
#[derive(Debug)]
pub(super) struct Meters {
    acquisitions: [[Counter; PriorityLabel::ALL.len()]; AcquireOutcome::ALL.len()],
    waits: [Histogram; PriorityLabel::ALL.len()],
    pub(super) waiting: Gauge,
    positions: Histogram,
    handoffs: Histogram,
    holds: Histogram,
    held: Gauge,
    renewals: [Counter; RenewalOutcome::ALL.len()],
    losses: [Counter; REASONS.len()],
    pub(super) unreleased: Counter,
}

/// Outcome of a request for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AcquireOutcome {
    Granted,
    Held,
    WaitOver,
    QueueFull,
    Ended,
    Deadlock,
    Unavailable,
    ShutDown,
    Failed,
    Dropped,
}

impl AcquireOutcome {
    const ALL: [&'static str; 10] = [
        "granted",
        "held",
        "wait_over",
        "queue_full",
        "ended",
        "deadlock",
        "unavailable",
        "shut_down",
        "failed",
        "dropped",
    ];

    pub(super) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::WaitOver => Self::WaitOver,
            ErrorKind::QueueFull => Self::QueueFull,
            ErrorKind::Ended => Self::Ended,
            ErrorKind::Deadlock => Self::Deadlock,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::ShutDown => Self::ShutDown,
            ErrorKind::NotHeld
            | ErrorKind::Lost
            | ErrorKind::Refused
            | ErrorKind::Unsupported
            | ErrorKind::InvalidInput
            | ErrorKind::Corrupt => Self::Failed,
        }
    }
}

/// The priority of a request as a label: its index in [`ALL`](Self::ALL).
#[derive(Clone, Copy, Debug)]
pub(super) struct PriorityLabel(usize);

impl PriorityLabel {
    const ALL: [&'static str; 5] = ["normal", "low", "high", "critical", "other"];

    /// The priority with this head start; `normal` where priorities differ in nothing.
    pub(super) fn of(head_start: HeadStart, step: AgeingStep) -> Self {
        let all = [Priority::Normal, Priority::Low, Priority::High, Priority::Critical];
        let found = all.iter().position(|priority| priority.head_start(step) == head_start);
        Self(found.unwrap_or(all.len()))
    }
}

/// Outcome of the renewal of one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RenewalOutcome {
    Renewed,
    NotHeld,
    Ended,
    Failed,
}

impl RenewalOutcome {
    const ALL: [&'static str; 4] = ["renewed", "not_held", "ended", "failed"];
}

const REASONS: [&str; 5] = ["overdue", "not_held", "ended", "adopted", "shut_down"];

impl Meters {
    pub(super) fn new() -> Self {
        let priorities = PriorityLabel::ALL;
        let acquisitions = AcquireOutcome::ALL.map(|outcome| {
            priorities.map(|priority| {
                let labels = [("outcome", outcome), ("priority", priority)];
                counter(names::ACQUISITIONS, &labels)
            })
        });
        Self {
            acquisitions,
            waits: priorities.map(|priority| histogram(names::WAIT, &[("priority", priority)])),
            waiting: gauge(names::WAITING),
            positions: histogram(names::POSITION, &[]),
            handoffs: histogram(names::HANDOFF, &[]),
            holds: histogram(names::HOLD, &[]),
            held: gauge(names::HELD),
            renewals: labelled_counters(names::RENEWALS, RenewalOutcome::ALL),
            losses: labelled_counters(names::LOSSES, REASONS),
            unreleased: counter(names::UNRELEASED, &[]),
        }
    }

    pub(super) fn acquired(&self, priority: PriorityLabel, outcome: AcquireOutcome) {
        self.acquisitions[outcome as usize][priority.0].increment(1);
    }

    pub(super) fn waited(&self, priority: PriorityLabel, wait: Duration) {
        self.waits[priority.0].record(wait);
    }

    pub(super) fn joined_at(&self, position: u64) {
        self.waiting.increment(1);
        #[expect(clippy::cast_precision_loss, reason = "no queue is that long")]
        self.positions.record(position as f64);
    }

    pub(super) fn noticed(&self, latency: Duration) {
        self.handoffs.record(latency);
    }

    pub(super) fn holds(&self) {
        self.held.increment(1);
    }

    pub(super) fn held_for(&self, hold: Duration) {
        self.held.decrement(1);
        self.holds.record(hold);
    }

    pub(super) fn renewed(&self, outcome: RenewalOutcome) {
        self.renewals[outcome as usize].increment(1);
    }

    pub(super) fn lost(&self, reason: &LossReason) {
        let reason = match reason {
            LossReason::Overdue => 0,
            LossReason::NotHeld => 1,
            LossReason::Ended(_) => 2,
            LossReason::Adopted => 3,
            LossReason::ShutDown => 4,
        };
        self.losses[reason].increment(1);
    }
}
