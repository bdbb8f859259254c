//! The checks of the quiet phase: without faults, whatever can happen happens in time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Error, Lease, LockKey, LossReason, RequestId};
use tokio::time::Instant;

use super::environment::State;
use super::gate::Gate;
use super::invariants;
use super::ledger::Ending;
use super::violation::Violation;
use super::witness::Wait;

/// The time after the last fault within which everything outstanding has ended: a time-out, a
/// back-off and some round trips.
pub(super) fn settling(operation_timeout: Duration, delay: Duration) -> Duration {
    operation_timeout + invariants::BACKOFF + delay * 6 + Duration::from_millis(200)
}

/// Shorter leases may be lost to timers of whole milliseconds.
const SHORT: Duration = Duration::from_millis(300);

/// A process that lives, as far as the bounds need it.
#[derive(Clone, Debug)]
pub(super) struct Living {
    pub(super) owner: String,
    pub(super) life: Arc<Gate>,
    pub(super) delay: Duration,
    pub(super) settling: Duration,
    /// The time from which it has no troubles and nothing is outstanding.
    pub(super) calm_from: Instant,
}

/// Checks the invariants of a time without faults since `quiet_from`.
pub(super) fn check(
    state: &mut State,
    living: &[Living],
    quiet_from: Instant,
) -> Result<(), Violation> {
    let longest = living.iter().map(|process| process.settling).max().unwrap_or_default();
    state.strict_from = Some(quiet_from + longest);
    takes_what_it_can(state, quiet_from)?;
    grants_are_taken_up(state, living)?;
    waiters_have_places(state, quiet_from)?;
    forced_end_is_known(state, living, quiet_from)
}

/// Checks that every call ends in time, whatever goes wrong.
pub(super) fn check_calls(state: &State) -> Result<(), Violation> {
    let calls = state.witness.calls.values();
    let mut running = calls.filter(|call| !call.life.is_dead() && !call.life.is_paused());
    running.try_for_each(invariants::call_ends_in_time)
}

fn takes_what_it_can(state: &State, quiet_from: Instant) -> Result<(), Violation> {
    for key in state.store.keys().keys() {
        for lease in state.store.would_grant(key) {
            let asking = state.witness.asking.get(&(key.clone(), lease.request));
            let told = state.store.ledger.told(key, lease.request);
            let (Some(asking), Some(told)) = (asking, told) else { continue };
            if !asking.life.is_dead() {
                invariants::waiter_takes_what_it_can(&lease, told, asking, quiet_from)?;
            }
        }
    }
    Ok(())
}

/// Checks that the processes without troubles have taken up their grants.
pub(super) fn grants_are_taken_up(state: &mut State, living: &[Living]) -> Result<(), Violation> {
    let now = state.store.clock.now();
    let leases = state.store.keys().values().flat_map(|key| key.leases(now));
    let leases = leases.filter(|lease| state.store.ledger.was_asked(lease.request));
    let leases: Vec<Lease> = leases.cloned().collect();
    // The process that adopted the lease may be slower than its owner.
    let slowest = living.iter().map(|process| process.delay).max().unwrap_or_default();
    for lease in leases {
        let at = (lease.key.clone(), lease.token);
        let label = format!("unowned {} {}", at.0, at.1);
        let process = living.iter().find(|it| it.owner == lease.owner.as_str());
        let is_excused = state.witness.is_nobodys_fault(&at, process);
        let is_owned = state
            .witness
            .beliefs()
            .any(|it| it.is_there() && it.key == lease.key && it.token == lease.token);
        match process {
            Some(process) if !is_owned && !is_excused && !is_outlived(state, &lease) => {
                let unowned = state.witness.seen_for(label, process.calm_from);
                invariants::grant_is_taken_up(&lease, unowned, slowest)?;
            }
            _ => drop(state.witness.seen_since.remove(&label)),
        }
    }
    Ok(())
}

/// Returns `true` if only a jump of the store's clock keeps the lease alive: the process that was
/// releasing it gave up when its time was over.
fn is_outlived(state: &State, lease: &Lease) -> bool {
    let record = state.store.ledger.lease(&lease.key, lease.token);
    let (Some(record), Some(ttl)) = (record, lease.ttl.span()) else { return false };
    record.granted + ttl <= Instant::now() && state.store.clock.was_slow()
}

fn waiters_have_places(state: &mut State, quiet_from: Instant) -> Result<(), Violation> {
    let asking = state.witness.asking.iter();
    let asking = asking.filter(|(_, it)| it.queues && !it.life.is_dead());
    let asking: Vec<((LockKey, RequestId), _)> =
        asking.map(|(at, it)| (at.clone(), it.clone())).collect();
    let now = state.store.clock.now();
    for ((key, request), it) in asking {
        let known = state.store.keys().get(&key).is_some_and(|state| {
            state.waiter_of(request, now).is_some() || state.lease_of(request, now).is_some()
        });
        let label = format!("absent {key} {request}");
        if known {
            state.witness.seen_since.remove(&label);
            continue;
        }
        let absent = state.witness.seen_for(label, it.since.max(quiet_from + it.settling));
        invariants::waiter_has_a_place(&key, request, absent, it.delay)?;
    }
    Ok(())
}

/// Checks that a key for which a living process asks has a holder, or will have one soon.
pub(super) fn somebody_goes_on(
    state: &mut State,
    quiet_from: Instant,
    bound: Duration,
) -> Result<(), Violation> {
    let witness = &mut state.witness;
    let asking = witness.asking.iter().filter(|(_, it)| it.queues && !it.life.is_dead());
    let keys: BTreeSet<LockKey> = asking.map(|((key, _), _)| key.clone()).collect();
    for key in keys {
        let label = format!("idle {key}");
        if witness.beliefs().any(|it| it.key == key && it.is_held()) {
            witness.seen_since.remove(&label);
            continue;
        }
        let idle = witness.seen_for(label, quiet_from);
        invariants::somebody_goes_on(&key, idle, bound)?;
    }
    Ok(())
}

fn forced_end_is_known(
    state: &State,
    living: &[Living],
    quiet_from: Instant,
) -> Result<(), Violation> {
    for belief in state.witness.beliefs().filter(|belief| belief.is_held()) {
        let record = state.store.ledger.lease(&belief.key, belief.token);
        let Some((at, ending)) = record.and_then(|record| record.end) else { continue };
        let process = living.iter().find(|it| Arc::ptr_eq(&it.life, &belief.life));
        if let (Ending::Forced | Ending::Lost, Some(process)) = (ending, process) {
            let untold = at.max(quiet_from + process.settling).elapsed();
            invariants::forced_end_is_known(belief, untold, process.delay)?;
        }
    }
    Ok(())
}

/// Checks the end of a wait that was not granted.
pub(super) fn check_wait(state: &State, wait: &Wait, error: &Error) -> Result<(), Violation> {
    invariants::wait_outlasts_an_outage(wait, error)?;
    let since_last_hear = (wait.keep_alive / 3).min(Duration::from_secs(10));
    let is_strict = state.strict_from.is_some_and(|from| Instant::now() >= from + since_last_hear);
    if is_strict { invariants::wait_in_vain_is_known(wait, error) } else { Ok(()) }
}

/// Checks a lease that was taken out of its guard.
pub(super) fn check_taken_out(state: &State, lease: &Lease) -> Result<(), Violation> {
    let record = state.store.ledger.lease(&lease.key, lease.token);
    let record = record.filter(|record| !state.store.ledger.is_excused(record));
    let Some(record) = record.filter(|_| !state.store.clock.was_slow()) else { return Ok(()) };
    invariants::taken_out_is_of_full_length(lease, record)
}

/// Checks that a lease was not lost for no reason, when there was no fault for long enough.
pub(super) fn check_loss(
    state: &State,
    lease: &Lease,
    reason: &LossReason,
    delay: Duration,
) -> Result<(), Violation> {
    let is_strict = state.strict_from.is_some_and(|from| Instant::now() >= from);
    let is_short = lease.ttl.span().is_some_and(|ttl| ttl < SHORT.max(delay * 25));
    let record = state.store.ledger.lease(&lease.key, lease.token);
    let Some(record) = record.filter(|_| is_strict && !is_short) else { return Ok(()) };
    invariants::holder_keeps_its_lease(lease, reason, state.store.ledger.is_excused(record))
}
