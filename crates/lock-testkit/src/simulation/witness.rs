//! The processes' observer: a record of all guards, pending requests and running calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use lock_core::{FencingToken, Lease, LockGuard, LockKey, Mode, RequestId};
use tokio::time::Instant;

use super::gate::Gate;
use super::invariants;
use super::ledger::{LeaseRecord, Ledger};
use super::quiet::Living;
use super::violation::Violation;

/// Longest time for which a process may be late to notice that it holds: the answer to a command
/// that ends the lease by force may overtake the one that granted it.
const LATE: Duration = Duration::from_millis(250);

/// The record of the processes' observer.
#[derive(Debug, Default)]
pub(super) struct Witness {
    beliefs: BTreeMap<u64, Belief>,
    pub(super) asking: BTreeMap<(LockKey, RequestId), Asking>,
    pub(super) calls: BTreeMap<u64, Call>,
    /// Leases that were taken out of their guards, and the process that is to adopt each.
    parked: BTreeMap<(LockKey, FencingToken), Arc<Gate>>,
    /// The last holder of each lease.
    keepers: BTreeMap<(LockKey, FencingToken), Arc<Gate>>,
    /// The first sighting of each condition that must not last.
    pub(super) seen_since: BTreeMap<String, Instant>,
    /// The highest token with which each key was held exclusively.
    highest: BTreeMap<LockKey, FencingToken>,
    /// The forced ends of each key's leases.
    forced: BTreeMap<LockKey, Force>,
    /// The last process that used each request.
    used: BTreeMap<RequestId, Arc<Gate>>,
    next: u64,
}

/// A guard of a process.
#[derive(Debug)]
pub(super) struct Belief {
    pub(super) life: Arc<Gate>,
    pub(super) key: LockKey,
    pub(super) token: FencingToken,
    pub(super) mode: Mode,
    /// When the lease may have been granted.
    since: Instant,
    guard: Weak<LockGuard>,
}

/// The forced ends of a key's leases.
#[derive(Clone, Copy, Debug, Default)]
struct Force {
    /// The number of such commands that may still arrive.
    under_way: usize,
    last: Option<Instant>,
}

/// A request whose future is being awaited.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub(super) life: Arc<Gate>,
    pub(super) since: Instant,
    pub(super) keep_alive: Duration,
    /// The longest time that a message of the process takes one way.
    pub(super) delay: Duration,
    /// The time after the last fault within which everything outstanding has ended.
    pub(super) settling: Duration,
    pub(super) queues: bool,
}

/// A wait that ended without a grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// The longest time that it was to last; `None` means for ever.
    pub(super) limit: Option<Duration>,
    pub(super) lasted: Duration,
    pub(super) keep_alive: Duration,
    /// The longest time that a message of the process takes one way.
    pub(super) delay: Duration,
}

/// A call that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) life: Arc<Gate>,
    pub(super) what: String,
    since: Instant,
    paused_before: Duration,
    pub(super) limit: Duration,
}

impl Belief {
    /// Returns `true` if the process runs and believes in the lease.
    pub(super) fn is_held(&self) -> bool {
        let runs = !self.life.is_dead() && !self.life.is_paused();
        runs && self.guard.upgrade().is_some_and(|guard| !guard.is_lost())
    }

    /// Returns `true` if the guard exists, lost or not, in a process that is not gone.
    pub(super) fn is_there(&self) -> bool {
        !self.life.is_dead() && self.guard.strong_count() > 0
    }

    fn deadline(&self) -> Option<Instant> {
        self.guard.upgrade().and_then(|guard| guard.deadline())
    }
}

impl Call {
    /// The time that the call has taken, without the pauses of its process.
    pub(super) fn took(&self) -> Duration {
        self.since.elapsed().saturating_sub(self.life.paused() - self.paused_before)
    }
}

impl Witness {
    /// Remembers a guard.
    pub(super) fn believe(&mut self, life: &Arc<Gate>, guard: &Arc<LockGuard>) {
        self.beliefs.retain(|_, belief| belief.guard.strong_count() > 0);
        let now = Instant::now();
        let belief = Belief {
            life: Arc::clone(life),
            key: guard.key().clone(),
            token: guard.token(),
            mode: guard.lease().mode,
            since: now.checked_sub(LATE).unwrap_or(now),
            guard: Arc::downgrade(guard),
        };
        self.next += 1;
        self.keepers.insert((belief.key.clone(), belief.token), Arc::clone(life));
        self.beliefs.insert(self.next, belief);
    }

    /// Remembers a lease that was taken out of its guard, until the process adopts it.
    pub(super) fn park(&mut self, lease: &Lease, receiver: &Arc<Gate>) {
        let at = (lease.key.clone(), lease.token);
        self.keepers.insert(at.clone(), Arc::clone(receiver));
        self.parked.insert(at, Arc::clone(receiver));
    }

    /// Forgets that a lease was taken out of its guard.
    pub(super) fn unpark(&mut self, lease: &Lease) {
        self.parked.remove(&(lease.key.clone(), lease.token));
    }

    /// Returns `true` if the lease awaits the process that is to adopt it, or its last holder was
    /// not its owner.
    pub(super) fn is_nobodys_fault(
        &self,
        at: &(LockKey, FencingToken),
        owner: Option<&Living>,
    ) -> bool {
        let is_other =
            |keeper: &Arc<Gate>| owner.is_none_or(|owner| !Arc::ptr_eq(keeper, &owner.life));
        self.parked.contains_key(at) || self.keepers.get(at).is_some_and(is_other)
    }

    /// All guards.
    pub(super) fn beliefs(&self) -> impl Iterator<Item = &Belief> {
        self.beliefs.values()
    }

    /// Remembers a call; it is forgotten by [`end_call`](Self::end_call).
    pub(super) fn begin_call(&mut self, life: &Arc<Gate>, what: String, limit: Duration) -> u64 {
        let (life, since) = (Arc::clone(life), Instant::now());
        let paused_before = life.paused();
        self.next += 1;
        self.calls.insert(self.next, Call { life, what, since, paused_before, limit });
        self.next
    }

    /// Forgets a call.
    pub(super) fn end_call(&mut self, call: u64) -> Option<Call> {
        self.calls.remove(&call)
    }

    /// Decides whether this process may use the request: its previous user must be gone.
    pub(super) fn may_use(&mut self, request: RequestId, life: &Arc<Gate>) -> bool {
        let is_free = self.used.get(&request).is_none_or(|user| user.is_dead());
        if is_free {
            self.used.insert(request, Arc::clone(life));
        }
        is_free
    }

    /// Compares the beliefs of every process with the store.
    pub(super) fn check_beliefs(&self, ledger: &Ledger) -> Result<(), Violation> {
        let held: Vec<(&Belief, &LeaseRecord)> = self
            .beliefs()
            .filter(|belief| belief.is_held())
            .filter_map(|belief| Some((belief, ledger.lease(&belief.key, belief.token)?)))
            .collect();
        for (index, (belief, record)) in held.iter().enumerate() {
            let jumps = ledger.jumps_of(record);
            invariants::holder_knows_its_end(belief, record, belief.deadline(), jumps)?;
            for (other, other_record) in &held[index + 1..] {
                let excused = [record, other_record].iter().any(|it| ledger.is_excused(it));
                if belief.key == other.key && !excused {
                    invariants::beliefs_are_compatible(belief, other)?;
                }
            }
        }
        Ok(())
    }

    /// Compares the beliefs of every process with those of the others.
    pub(super) fn check_beliefs_alone(&mut self) -> Result<(), Violation> {
        let held: Vec<&Belief> = self.beliefs().filter(|belief| belief.is_held()).collect();
        let mut highest = self.highest.clone();
        for (index, &belief) in held.iter().enumerate() {
            let others = held[index + 1..].iter().filter(|other| other.key == belief.key);
            for &other in others.filter(|other| !self.may_be_forced(belief, other)) {
                invariants::beliefs_are_compatible(belief, other)?;
            }
            // Leases that share a key may become known in any order.
            if belief.mode == Mode::Exclusive && !self.may_be_forced(belief, belief) {
                let known = highest.entry(belief.key.clone()).or_insert(belief.token);
                invariants::tokens_do_not_decrease(&belief.key, *known, belief.token)?;
                *known = belief.token;
            }
        }
        self.highest = highest;
        Ok(())
    }

    /// Notes that leases of a key may be ended by force from now on.
    pub(super) fn begin_force(&mut self, key: &LockKey) {
        self.forced.entry(key.clone()).or_default().under_way += 1;
    }

    /// Notes that a forced end certainly took place, or never will.
    pub(super) fn end_force(&mut self, key: &LockKey) {
        let forced = self.forced.entry(key.clone()).or_default();
        forced.under_way -= 1;
        forced.last = Some(Instant::now());
    }

    /// Returns `true` if one of the two may have lost its lease by force without knowing yet.
    fn may_be_forced(&self, one: &Belief, other: &Belief) -> bool {
        let forced = self.forced.get(&one.key);
        forced.is_some_and(|it| it.under_way > 0 || it.last >= Some(one.since.min(other.since)))
    }

    /// The time for which this has been seen, since `from` at the earliest.
    pub(super) fn seen_for(&mut self, what: String, from: Instant) -> Duration {
        let since = *self.seen_since.entry(what).or_insert_with(Instant::now);
        since.max(from).elapsed()
    }
}
