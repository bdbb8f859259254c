//! What a waiter is told, and when it is heard if it is told nothing.

use std::time::Duration;

use tokio::time::Instant;

use super::clock_bound::ClockBound;
use super::planted::{self, ManagerFault};
use crate::{End, Error, Grant, Lease, QueuePosition};

/// How long after the next possible change the head of the queue is heard, for clocks that are
/// coarse.
const AFTER_A_CHANGE: Duration = Duration::from_millis(1);
/// How much later each position is heard than the one before it.
const STAGGER: Duration = Duration::from_millis(20);
/// The last position that is heard at the next possible change and not only at its heartbeat.
const LAST_EAGER: u64 = 50;
/// The longest time between two hearings of a waiter.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);

/// Where a request stands, as far as the store told.
#[derive(Clone, Debug)]
pub(super) struct QueueStatus {
    pub(super) answered: ClockBound,
    pub(super) position: QueuePosition,
    /// Why the store did not tell since then.
    pub(super) failure: Option<Error>,
}

/// What a waiter is told.
#[derive(Clone, Debug)]
pub(super) enum Notification {
    /// The request was granted, as a notice says; the lease counts from the answer, if there is one.
    Granted(Grant, Option<ClockBound>),
    /// The request was granted, as an answer says; the lease is claimed.
    Holds(ClockBound, Lease),
    /// The request was ended by force or cancelled.
    Ended(End),
    /// The request has lost its place.
    Absent,
    /// Asking again is of no use.
    Failed(Error),
}

/// How often a waiter of this keep-alive is heard at the least.
pub(super) fn heartbeat(keep_alive: Duration) -> Duration {
    (keep_alive / 3).min(LONGEST_HEARTBEAT)
}

/// What was told about a lease before its guard was made.
#[derive(Debug)]
pub(super) enum EarlyNotice {
    Nothing,
    /// It was ended by force.
    Ended(End),
    /// Notices may have been lost.
    Perhaps,
}

/// How long an answer is waited for at first: while there is a place to lose, only so long that
/// other attempts can keep it.
pub(super) fn first_limit(heartbeat: Duration) -> Duration {
    heartbeat / 4
}

/// When to hear a waiter if nothing is told, and by how much earlier at the most: at the heartbeat,
/// and before that when something may change by time alone, the head of the queue first.
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
