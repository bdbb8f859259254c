//! The invariants of every run: one function for each sentence of the contract.

use std::time::Duration;

use lock_core::machine::MARK_SPAN;
use lock_core::{Error, ErrorKind, FencingToken, Lease, LockKey, LossReason, Mode, Waiter};
use tokio::time::Instant;

use super::ledger::{Ending, LeaseRecord, Told};
use super::show;
use super::violation::Violation;
use super::witness::{Asking, Belief, Call, Wait};

type Outcome = Result<(), Violation>;

/// The delay of the head's question after its instant, for coarse clocks.
const AFTER_A_CHANGE: Duration = Duration::from_millis(1);
/// The delay between the questions of successive positions.
const STAGGER: Duration = Duration::from_millis(20);
/// The last position that asks at the next possible change as well as at its heartbeat.
const LAST_EAGER: u64 = 50;
/// The allowance on each bound for timers of whole milliseconds and the intervals of checking.
pub(super) const SLACK: Duration = Duration::from_millis(40);
/// The time allowed for a store's answer, however short the wait.
const SHORTEST_ANSWER: Duration = Duration::from_millis(100);
/// The longest pause between two attempts at a store that failed.
pub(super) const BACKOFF: Duration = Duration::from_secs(1);

fn unless(broken: bool, sentence: &'static str, detail: impl FnOnce() -> String) -> Outcome {
    if broken { Err(Violation::new(sentence, detail())) } else { Ok(()) }
}

/// Leases share a key only with leases of exactly the same mode, up to its limit.
pub(super) fn leases_are_compatible(key: &LockKey, alive: &[&Lease]) -> Outcome {
    let Some((first, others)) = alive.split_first() else { return Ok(()) };
    let is_full = match first.mode {
        Mode::Exclusive | Mode::Upgrade { .. } => !others.is_empty(),
        Mode::Shared { limit } => limit.is_some_and(|limit| alive.len() > limit.get() as usize),
    };
    let differ = others.iter().any(|other| other.mode != first.mode);
    unless(is_full || differ, "No two incompatible leases of a key are alive at once.", || {
        let leases =
            alive.iter().map(|lease| format!("{} {:?}", show::name(&lease.name()), lease.mode));
        format!("{key}: {}", leases.collect::<Vec<_>>().join(", "))
    })
}

/// Each lease of a key has a higher token than all leases before it.
pub(super) fn tokens_increase(
    key: &LockKey,
    last: Option<FencingToken>,
    token: FencingToken,
) -> Outcome {
    let broken = last.is_some_and(|last| token <= last);
    unless(broken, "Each lease of a key has a higher token than all leases before it.", || {
        format!("{key}: {token} after {last:?}")
    })
}

/// An exclusive holder has no lower token than the exclusive holders before it.
pub(super) fn tokens_do_not_decrease(
    key: &LockKey,
    known: FencingToken,
    token: FencingToken,
) -> Outcome {
    unless(
        token < known,
        "Each lease of a key has a higher token than all leases before it.",
        || format!("{key}: {token} after {known}"),
    )
}

/// No waiter is overtaken by a request of worse rank, nor by a newcomer of equal rank.
pub(super) fn turns_are_kept(
    waiter: &Waiter,
    rank: i128,
    granted: i128,
    is_newcomer: bool,
) -> Outcome {
    let broken = if is_newcomer { granted >= rank } else { granted > rank };
    unless(broken, "Waiters are granted in the order of rank.", || {
        let request = show::request(waiter.request);
        format!("{} {request} of rank {rank} was overtaken by rank {granted}", waiter.key)
    })
}

/// An acquire that arrives after a cancel with an outstanding answer takes no lock.
pub(super) fn cancelled_takes_no_lock(lease: &Lease, cancelled: Option<Instant>) -> Outcome {
    let broken = cancelled.is_some_and(|at| at.elapsed() < MARK_SPAN);
    unless(broken, "An acquire that arrives after its cancel takes no lock.", || {
        format!("{} was cancelled before", show::name(&lease.name()))
    })
}

/// A running process does not believe in a lease that is over in the store, unless the store's
/// clock jumped forward by as much or the lease was ended by force.
pub(super) fn holder_knows_its_end(
    belief: &Belief,
    record: &LeaseRecord,
    deadline: Option<Instant>,
    jumps: Duration,
) -> Outcome {
    let is_late =
        record.until.is_some_and(|until| deadline.is_none_or(|deadline| deadline > until + jumps));
    // Only the holder ends a lease so, and then it has no guard of it any more.
    let is_released = matches!(record.end, Some((_, Ending::Released)));
    let sentence =
        "The holder knows of the end of its lease before the store gives the key to another.";
    unless(is_late || is_released, sentence, || {
        let now = Instant::now();
        let left = |at: Option<Instant>| at.map(|at| at.saturating_duration_since(now));
        format!(
            "{} {} #{} is held for {:?}, and lasts {:?} in the store, ended {:?}",
            belief.key,
            show::request(record.request),
            belief.token,
            left(deadline),
            left(record.until),
            record.end.map(|(_, ending)| ending),
        )
    })
}

/// No two processes believe at once in leases that exclude each other.
pub(super) fn beliefs_are_compatible(one: &Belief, other: &Belief) -> Outcome {
    let broken = one.mode != other.mode || one.mode == Mode::Exclusive;
    let same = one.token == other.token;
    unless(
        broken && !same,
        "No two holders believe at once in leases that exclude each other.",
        || format!("{}: #{} and #{}", one.key, one.token, other.token),
    )
}

/// The latest time at which a waiter with this answer asks again.
fn asks_at(told: Told, asking: &Asking) -> Instant {
    let heartbeat = told.at + (asking.keep_alive / 3).min(Duration::from_secs(10));
    match told.next_change {
        Some(change) if told.position <= LAST_EAGER => {
            let place = u32::try_from(told.position.max(1) - 1).unwrap_or(0);
            heartbeat.min(change.max(told.at) + STAGGER * place + AFTER_A_CHANGE)
        }
        _ => heartbeat,
    }
}

/// A waiter that could hold a key holds it at the instant that its last answer named plus its
/// stagger, or at its next heartbeat, plus one round trip.
pub(super) fn waiter_takes_what_it_can(
    lease: &Lease,
    told: Told,
    asking: &Asking,
    quiet_from: Instant,
) -> Outcome {
    let bound = asks_at(told, asking).max(quiet_from + asking.settling) + asking.delay * 2 + SLACK;
    let late = Instant::now().saturating_duration_since(bound);
    let sentence = "A key that a living waiter could hold is held by it in time.";
    unless(!late.is_zero(), sentence, || {
        let request = show::request(lease.request);
        format!("{} could be held by {request} and is not, {late:?} after its bound", lease.key)
    })
}

/// A key that a living process waits for is held once the leases and queue positions of the dead
/// are over.
pub(super) fn somebody_goes_on(key: &LockKey, idle: Duration, bound: Duration) -> Outcome {
    unless(idle > bound, "A key with waiters has a holder.", || {
        format!("{key} has had no holder for {idle:?}")
    })
}

/// A grant is taken up, or an unwanted lease released, after one notice or answer and one round
/// trip.
pub(super) fn grant_is_taken_up(lease: &Lease, unowned: Duration, delay: Duration) -> Outcome {
    let sentence = "A grant is taken up after one notice, and an unwanted lease is released.";
    unless(unowned > delay * 4 + SLACK, sentence, || {
        format!(
            "{} of {} has not been taken up for {unowned:?}",
            show::name(&lease.name()),
            lease.owner
        )
    })
}

/// A wait continues while the store is down, until its time is over.
pub(super) fn wait_outlasts_an_outage(wait: &Wait, error: &Error) -> Outcome {
    let is_early = wait.limit.is_none_or(|limit| wait.lasted < limit);
    unless(is_early && error.is_retryable(), "A wait outlasts an outage.", || {
        let Wait { limit, lasted, .. } = wait;
        format!("a wait of {limit:?} ended after {lasted:?}: {:?}", error.kind())
    })
}

/// A wait that times out at a store that answers ends with the kind for "not its turn".
pub(super) fn wait_in_vain_is_known(wait: &Wait, error: &Error) -> Outcome {
    // However short the wait, the store has the time for one answer.
    let has_time = wait.limit.is_some_and(|limit| limit > SHORTEST_ANSWER + wait.delay * 6);
    let broken = has_time && error.is_retryable() && error.kind() != ErrorKind::WaitOver;
    unless(broken, "A wait in vain is not unknown if the store answers.", || {
        format!("a wait of {:?} ended: {:?}", wait.limit, error.kind())
    })
}

/// A lease that was taken out of its guard has been claimed.
pub(super) fn taken_out_is_of_full_length(lease: &Lease, record: &LeaseRecord) -> Outcome {
    let lasts = record.until.map(|until| until.saturating_duration_since(record.granted));
    let broken = match (lasts, lease.ttl.span()) {
        (Some(lasts), Some(ttl)) => lasts + SLACK < ttl,
        (lasts, ttl) => lasts.is_some() != ttl.is_some(),
    };
    unless(broken, "A lease that is taken out of its guard is of full length.", || {
        format!("{} of {:?} lasts {lasts:?}", show::name(&lease.name()), lease.ttl)
    })
}

/// A waiter that lost its queue position takes a new one after at most one back-off.
pub(super) fn waiter_has_a_place(
    key: &LockKey,
    request: lock_core::RequestId,
    absent: Duration,
    delay: Duration,
) -> Outcome {
    let bound = BACKOFF + delay * 4 + SLACK;
    unless(absent > bound, "A waiter that reaches the store has a place in the queue.", || {
        format!("{key} {} has none for {absent:?}", show::request(request))
    })
}

/// A holder learns of a forced end in time.
pub(super) fn forced_end_is_known(belief: &Belief, untold: Duration, delay: Duration) -> Outcome {
    unless(untold > delay * 4 + SLACK, "A holder learns of a forced end in time.", || {
        format!(
            "{} #{} was ended {untold:?} ago, and its holder does not know",
            belief.key, belief.token
        )
    })
}

/// A holder that reaches the store keeps its lease until it is ended by force.
pub(super) fn holder_keeps_its_lease(lease: &Lease, reason: &LossReason, excused: bool) -> Outcome {
    let broken = !excused && matches!(reason, LossReason::Overdue | LossReason::NotHeld);
    unless(broken, "A holder that reaches the store keeps its lease.", || {
        format!("{}: {reason}", show::name(&lease.name()))
    })
}

/// Nothing that a process asked for remains once its manager is shut down and its leases and
/// keep-alives have ended.
pub(super) fn nothing_is_left(what: &str, left: usize) -> Outcome {
    unless(left > 0, "Nothing is left behind.", || format!("{left} {what}"))
}

/// Every call ends in its time-out.
pub(super) fn call_ends_in_time(call: &Call) -> Outcome {
    let took = call.took();
    unless(took > call.limit + SLACK, "Every call ends in its time-out.", || {
        format!("{} took {took:?}, more than {:?}", call.what, call.limit)
    })
}
