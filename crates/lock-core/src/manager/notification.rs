//! Notifications of a waiter, and the schedule of its heartbeats.

use std::time::Duration;

use tokio::time::Instant;

use super::clock_bound::ClockBound;
use super::planted::{self, ManagerFault};
use crate::{End, Error, Grant, Lease, QueuePosition};

/// Delay before the head of the queue asks again after the next possible change, for coarse clocks.
const AFTER_A_CHANGE: Duration = Duration::from_millis(1);
/// Delay between the heartbeats of successive positions.
const STAGGER: Duration = Duration::from_millis(20);
/// Last position that asks at the next possible change, not only at its heartbeat.
const LAST_EAGER: u64 = 50;
/// Maximum interval between heartbeats.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);

/// Last known position of a request.
#[derive(Clone, Debug)]
pub(super) struct QueueStatus {
    pub(super) answered: ClockBound,
    pub(super) position: QueuePosition,
    /// The last failure since then.
    pub(super) failure: Option<Error>,
}

/// Notification of a waiter.
#[derive(Clone, Debug)]
pub(super) enum Notification {
    /// The request was granted, as a notice said at that time; the lease counts from the answer, if
    /// there is one.
    Granted(Grant, Option<ClockBound>, Instant),
    /// The request was granted, as an answer says; the lease is claimed.
    Holds(ClockBound, Lease),
    /// The request was ended by force or cancelled.
    Ended(End),
    /// The request has lost its place.
    Absent,
    /// Retrying is useless.
    Failed(Error),
}

/// Heartbeat interval for a keep-alive.
pub(super) fn heartbeat(keep_alive: Duration) -> Duration {
    (keep_alive / 3).min(LONGEST_HEARTBEAT)
}

/// Notice about a lease that arrived before its guard was created.
#[derive(Debug)]
pub(super) enum EarlyNotice {
    Nothing,
    /// It was ended by force.
    Ended(End),
    /// Notices may have been lost.
    Perhaps,
}

/// Time-out of the first attempt, short enough that further attempts can keep the position.
pub(super) fn first_limit(heartbeat: Duration) -> Duration {
    heartbeat / 4
}

/// Due time of the next heartbeat of a waiter, and its slack: the regular interval, or earlier when
/// time alone can cause a grant, the head of the queue first.
pub(super) fn due(
    answered: ClockBound,
    position: &QueuePosition,
    heartbeat: Duration,
) -> (Instant, Duration) {
    let at_heartbeat = (answered.sent + heartbeat, heartbeat / 12);
    let Some(change) = position.next_change_at else { return at_heartbeat };
    let after = change.since(answered.observed_at);
    // The store still drops dead waiters or grants others. Each command does its share, so however
    // many are heard at once, they need few more than what is left takes.
    if after.is_zero() {
        return (answered.sent, Duration::ZERO);
    }
    let stagger = match position.position {
        2.. if planted::has(ManagerFault::OnlyHeadWatches) => return at_heartbeat,
        eager @ 0..=LAST_EAGER => STAGGER * u32::try_from(eager.max(1) - 1).unwrap_or(0),
        _ => return at_heartbeat,
    };
    let eager = answered.sent + after + stagger + AFTER_A_CHANGE;
    if eager < at_heartbeat.0 { (eager, Duration::ZERO) } else { at_heartbeat }
}
