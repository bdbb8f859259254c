//! The store's observer: a record of every lease and of the last answer to every waiter.

use std::collections::BTreeMap;
use std::time::Duration;

use lock_core::machine::{KeyState, Step, UPGRADE_LEAD};
use lock_core::{
    AcquireRequest, CancelRequest, Change, FencingToken, HeadStart, Lease, LockKey, Mode,
    QueuePosition, RequestId, Timestamp, Waiter,
};
use tokio::time::Instant;

use super::clock::StoreClock;
use super::invariants;
use super::violation::Violation;

/// The longest time for which a waiter may be silent in a plan.
const LONGEST_SILENCE: Duration = Duration::from_secs(31);

/// The record of the store's observer.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    leases: BTreeMap<(LockKey, FencingToken), LeaseRecord>,
    last_tokens: BTreeMap<LockKey, FencingToken>,
    ranks: BTreeMap<(LockKey, RequestId), i128>,
    /// How much earlier than its arrival each request ranks.
    leads: BTreeMap<RequestId, Duration>,
    positions: BTreeMap<(LockKey, RequestId), Told>,
    /// The times of cancels of requests whose acquire may still arrive.
    cancelled: BTreeMap<(LockKey, RequestId), Instant>,
    /// The jumps of the store's clock: when, and by how much.
    jumps: Vec<(Instant, Duration)>,
    pub(super) violations: Vec<Violation>,
}

/// The record of a lease.
#[derive(Clone, Debug)]
pub(super) struct LeaseRecord {
    pub(super) request: RequestId,
    pub(super) granted: Instant,
    /// The virtual time at which it ends, or ended by time; `None` is never.
    pub(super) until: Option<Instant>,
    pub(super) end: Option<(Instant, Ending)>,
}

/// The end of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Its holder ended it.
    Released,
    /// Its time was over.
    Expired,
    /// It was evicted or transferred.
    Forced,
    /// The store lost everything.
    Lost,
}

/// The last answer to a waiter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) at: Instant,
    pub(super) position: u64,
    /// The virtual time at which something changes next by time alone.
    pub(super) next_change: Option<Instant>,
}

impl Ledger {
    /// Records the terms of a request.
    pub(super) fn note_request(&mut self, request: &AcquireRequest) {
        self.leads.insert(request.id, lead(request.mode, request.head_start));
    }

    /// Returns `true` if a process sent the request. The store makes requests for receivers of
    /// transfers, who may never learn of them.
    pub(super) fn was_asked(&self, request: RequestId) -> bool {
        self.leads.contains_key(&request)
    }

    /// Records the cancel of a request whose acquire may still arrive.
    pub(super) fn note_cancel(&mut self, request: &CancelRequest) {
        if request.answer_outstanding {
            self.cancelled.insert((request.key.clone(), request.request), Instant::now());
        }
    }

    /// Records the answer to a waiter.
    pub(super) fn note_position(
        &mut self,
        key: &LockKey,
        request: RequestId,
        position: &QueuePosition,
        clock: &StoreClock,
    ) {
        let next_change = position.next_change_at.map(|at| clock.when(at));
        let told = Told { at: Instant::now(), position: position.position, next_change };
        self.positions.insert((key.clone(), request), told);
    }

    /// The last answer to a waiter.
    pub(super) fn told(&self, key: &LockKey, request: RequestId) -> Option<Told> {
        self.positions.get(&(key.clone(), request)).copied()
    }

    /// The record of a lease.
    pub(super) fn lease(&self, key: &LockKey, token: FencingToken) -> Option<&LeaseRecord> {
        self.leases.get(&(key.clone(), token))
    }

    /// The end of the last lease that is over and still counted.
    pub(super) fn last_end(state: &KeyState, now: Timestamp) -> Option<Timestamp> {
        // Leases that were alive a while ago and are not now.
        let before = Timestamp::from_micros(now.as_micros().saturating_sub(20_000_000));
        let over = state.leases(before).filter_map(|lease| lease.expires_at);
        over.filter(|end| *end <= now).min()
    }

    /// Follows one step of the store.
    pub(super) fn follow(
        &mut self,
        key: &LockKey,
        state: &KeyState,
        step: &Step,
        clock: &StoreClock,
    ) {
        for change in &step.effects.changes {
            if let Change::Granted(lease) = change {
                self.check_turn(key, state, step, lease);
            }
            self.follow_change(key, change);
        }
        self.follow_leases(key, state, clock);
        let alive: Vec<&Lease> = state.leases(step.now).collect();
        self.check(invariants::leases_are_compatible(key, &alive));
    }

    /// Follows when the leases of a key end.
    pub(super) fn follow_leases(&mut self, key: &LockKey, state: &KeyState, clock: &StoreClock) {
        for lease in state.leases(clock.now()) {
            if let Some(record) = self.leases.get_mut(&(key.clone(), lease.token)) {
                record.until = lease.expires_at.map(|at| clock.when(at));
            }
        }
    }

    /// Records a jump of the clock.
    pub(super) fn note_jump(&mut self, by: Duration) {
        self.jumps.push((Instant::now(), by));
    }

    /// The sum of the clock's jumps forward during the lease, or during the wait since the answer
    /// from which its end is counted.
    pub(super) fn jumps_of(&self, record: &LeaseRecord) -> Duration {
        let from = record.granted.checked_sub(LONGEST_SILENCE).unwrap_or(record.granted);
        let jumps = self.jumps.iter().filter(|(at, _)| *at >= from);
        jumps.map(|(_, by)| *by).sum()
    }

    /// Returns `true` if another may be granted the key while the holder still believes in this
    /// lease.
    pub(super) fn is_excused(&self, record: &LeaseRecord) -> bool {
        let is_forced = matches!(record.end, Some((_, Ending::Forced | Ending::Lost)));
        is_forced || !self.jumps_of(record).is_zero()
    }

    /// Records that the store lost everything.
    pub(super) fn note_flush(&mut self) {
        let now = Instant::now();
        for record in self.leases.values_mut().filter(|record| record.end.is_none()) {
            record.end = Some((now, Ending::Lost));
        }
        self.ranks.clear();
        self.cancelled.clear();
        self.positions.clear();
    }

    fn follow_change(&mut self, key: &LockKey, change: &Change) {
        match change {
            Change::Queued(waiter) => {
                self.ranks.insert((key.clone(), waiter.request), rank(waiter));
            }
            Change::Granted(lease) => self.begin(key, lease),
            Change::Released(lease) => self.end(key, lease, Ending::Released),
            Change::Expired(lease) => self.end(key, lease, Ending::Expired),
            Change::Evicted { lease, .. } => self.end(key, lease, Ending::Forced),
            Change::Transferred { from, to } => {
                self.end(key, from, Ending::Forced);
                self.begin(key, to);
            }
            Change::Cancelled(waiter)
            | Change::Lapsed(waiter)
            | Change::WaiterEvicted { waiter, .. } => self.leave(key, waiter),
            _ => {}
        }
    }

    fn begin(&mut self, key: &LockKey, lease: &Lease) {
        let cancelled = self.cancelled.get(&(key.clone(), lease.request)).copied();
        if self.jumps.is_empty() {
            self.check(invariants::cancelled_takes_no_lock(lease, cancelled));
        }
        self.ranks.remove(&(key.clone(), lease.request));
        self.positions.remove(&(key.clone(), lease.request));
        let last = self.last_tokens.insert(key.clone(), lease.token);
        self.check(invariants::tokens_increase(key, last, lease.token));
        let record =
            LeaseRecord { request: lease.request, granted: Instant::now(), until: None, end: None };
        self.leases.insert((key.clone(), lease.token), record);
    }

    fn end(&mut self, key: &LockKey, lease: &Lease, ending: Ending) {
        if let Some(record) = self.leases.get_mut(&(key.clone(), lease.token)) {
            record.end.get_or_insert((Instant::now(), ending));
        }
    }

    fn leave(&mut self, key: &LockKey, waiter: &Waiter) {
        self.ranks.remove(&(key.clone(), waiter.request));
        self.positions.remove(&(key.clone(), waiter.request));
    }

    /// Checks that this grant overtook none of the remaining waiters.
    fn check_turn(&mut self, key: &LockKey, state: &KeyState, step: &Step, lease: &Lease) {
        let now = step.now;
        let mut waiting: Vec<Waiter> = state.waiters(now).collect();
        // A waiter that joined in this step arrived after the grants of the step.
        waiting.retain(|waiter| {
            let joined = |change: &Change| matches!(change, Change::Queued(new) if new.request == waiter.request);
            !step.effects.changes.iter().any(joined)
        });
        let rank_of_granted = self.ranks.get(&(key.clone(), lease.request)).copied();
        let is_newcomer = rank_of_granted.is_none();
        let granted = rank_of_granted.unwrap_or_else(|| {
            // A newcomer never arrives before the last arrival, whatever the clock shows.
            let last = waiting.iter().map(|waiter| waiter.enqueued_at).max();
            let arrival = last.map_or(now, |last| last.max(now));
            let lead = self.leads.get(&lease.request).copied().unwrap_or_default();
            i128::from(arrival.as_micros()) - lead.as_micros() as i128
        });
        for waiter in waiting {
            self.check(invariants::turns_are_kept(&waiter, rank(&waiter), granted, is_newcomer));
        }
    }

    fn check(&mut self, outcome: Result<(), Violation>) {
        self.violations.extend(outcome.err());
    }
}

/// How much earlier than its arrival a request ranks: an upgrade before every other.
fn lead(mode: Mode, head_start: HeadStart) -> Duration {
    match mode {
        Mode::Upgrade { .. } => UPGRADE_LEAD,
        Mode::Exclusive | Mode::Shared { .. } => head_start.span(),
    }
}

/// The arrival of a waiter less its lead.
fn rank(waiter: &Waiter) -> i128 {
    let lead = lead(waiter.mode, waiter.head_start);
    i128::from(waiter.enqueued_at.as_micros()) - lead.as_micros() as i128
}
