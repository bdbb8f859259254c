//! The metrics of this crate.

use super::{Metric, MetricUnit};

/// Buckets of waits for a key and of holds, in seconds: a millisecond to a day.
pub(crate) const LONG: &[f64] =
    &[0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0];
/// Buckets of round trips and hand-offs, in seconds: 10 µs to 10 s.
pub(crate) const SHORT: &[f64] = &[
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0,
    10.0,
];
/// Buckets of positions in a queue.
pub(crate) const POSITIONS: &[f64] =
    &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 10_000.0];

pub(crate) const ACQUISITIONS: Metric = Metric::counter(
    "lock_acquisitions_total",
    &["outcome", "priority"],
    "Requests for a key that reached their outcome",
);
pub(crate) const WAIT: Metric = Metric::histogram(
    "lock_wait_seconds",
    MetricUnit::Seconds,
    LONG,
    &["priority"],
    "Time of a granted request from its sending to its guard",
);
pub(crate) const WAITING: Metric =
    Metric::gauge("lock_waiting", &[], "Requests of this process that wait in a queue");
pub(crate) const POSITION: Metric = Metric::histogram(
    "lock_queue_position",
    MetricUnit::Count,
    POSITIONS,
    &[],
    "Position at which a request joined its queue",
);
pub(crate) const HANDOFF: Metric = Metric::histogram(
    "lock_notice_to_guard_seconds",
    MetricUnit::Seconds,
    SHORT,
    &[],
    "Time from the arrival of a notice of a grant to the guard",
);
pub(crate) const HOLD: Metric = Metric::histogram(
    "lock_hold_seconds",
    MetricUnit::Seconds,
    LONG,
    &[],
    "Time from a guard to its end, the answer to its release included",
);
pub(crate) const HELD: Metric = Metric::gauge("lock_held", &[], "Guards of this process");
pub(crate) const RENEWALS: Metric =
    Metric::counter("lock_renewals_total", &["outcome"], "Renewals of leases, one per lease");
pub(crate) const LOSSES: Metric =
    Metric::counter("lock_losses_total", &["reason"], "Leases that were lost while in use");
pub(crate) const UNRELEASED: Metric = Metric::counter(
    "lock_unreleased_total",
    &[],
    "Leases and requests left to their ttl, as their release did not reach the store",
);
pub(crate) const STORE: Metric = Metric::histogram(
    "lock_store_seconds",
    MetricUnit::Seconds,
    SHORT,
    &["operation"],
    "Time of an answered command to the store",
);
pub(crate) const STORE_ERRORS: Metric = Metric::counter(
    "lock_store_errors_total",
    &["operation", "kind"],
    "Commands that the store failed, one per answer",
);

/// The metrics of this crate, in the order of their documentation.
pub const METRICS: &[Metric] = &[
    ACQUISITIONS,
    WAIT,
    WAITING,
    POSITION,
    HANDOFF,
    HOLD,
    HELD,
    RENEWALS,
    LOSSES,
    UNRELEASED,
    STORE,
    STORE_ERRORS,
];
