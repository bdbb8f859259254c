//! The store that is right by definition: the state machine and one last token.

use std::collections::{BTreeMap, BTreeSet};

use lock_core::machine::{KeyState, SWEEP, Step};
use lock_core::{
    Change, ChangeKinds, FencingToken, LockEvent, LockKey, OwnerId, RequestId, Timestamp, Waiter,
    Wake,
};

use super::answer::Answer;
use super::call::Call;

/// The store that is right by definition.
#[derive(Debug)]
pub(super) struct Oracle {
    states: BTreeMap<LockKey, KeyState>,
    last_token: Option<FencingToken>,
    pub(super) now: Timestamp,
    /// What happened so far.
    pub(super) events: Vec<LockEvent>,
}

impl Oracle {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { states: BTreeMap::new(), last_token: None, now, events: Vec::new() }
    }

    /// The only right answer to a command.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        match call {
            Call::Acquire(asked) => {
                Answer::Acquire(self.run(&asked.key, |state, step| state.acquire(step, asked)))
            }
            Call::Wait(awaited) => Answer::Wait(self.run(&awaited.key, |state, step| {
                state.settle(step);
                state.lease_of(awaited.request).cloned().map_or(Wake::AskAgain, Wake::Granted)
            })),
            Call::Renew(renewals) => Answer::Renew(
                renewals
                    .iter()
                    .map(|renewal| self.run(&renewal.key, |it, step| it.renew(step, renewal)))
                    .collect(),
            ),
            Call::Release(held) => {
                Answer::Release(self.run(&held.key, |it, step| it.release(step, held.request)))
            }
            Call::Cancel(asked) => {
                Answer::Cancel(self.run(&asked.key, |it, step| it.cancel(step, asked.request)))
            }
            Call::Transfer(given) => {
                Answer::Transfer(self.run(&given.key, |it, step| it.transfer(step, given)))
            }
            Call::Evict(eviction) => {
                Answer::Evict(self.run(&eviction.key, |it, step| it.evict(step, eviction)))
            }
            Call::Inspect(key) => Answer::Inspect(self.run(key, |it, step| it.inspect(step, key))),
            Call::List(query) => {
                self.settle();
                let leases = self.states.values().flat_map(KeyState::leases);
                let leases = leases.filter(|lease| query.matches(lease)).cloned().collect();
                Answer::list(leases, BTreeSet::from([self.now]))
            }
            Call::WaitsOf(owner) => {
                self.settle();
                Answer::waits(self.waits_of(owner).collect())
            }
        }
    }

    fn run<R>(&mut self, key: &LockKey, command: impl FnOnce(&mut KeyState, &mut Step) -> R) -> R {
        let state = self.states.entry(key.clone()).or_default();
        let mut step = Step::new(self.now, self.last_token, ChangeKinds::ALL);
        let reply = command(state, &mut step);
        if state.is_idle() {
            self.states.remove(key);
        }
        self.last_token = step.last_token;
        let event = |change| LockEvent::new(step.now, change);
        self.events.extend(step.effects.changes.into_iter().map(event));
        reply
    }

    fn settle(&mut self) {
        for key in self.states.keys().cloned().collect::<Vec<_>>() {
            self.run(&key, KeyState::settle);
        }
    }

    fn waits_of(&self, owner: &OwnerId) -> impl Iterator<Item = Waiter> {
        let waiters = self.states.values().flat_map(|state| state.waiters(self.now));
        waiters.filter(move |waiter| waiter.owner == *owner)
    }

    /// Whether all stores see the same however they look at several keys: at most one changes by
    /// being looked at, and that no more when it is looked at again.
    pub(super) fn is_plain_to_see(&self) -> bool {
        let changes = self.states.values().map(|state| self.due(state));
        let due: Vec<_> = changes.filter(|changes| !changes.is_empty()).collect();
        let lapsed = |changes: &Vec<Change>| {
            changes.iter().filter(|change| matches!(change, Change::Lapsed(_))).count()
        };
        due.len() <= 1 && due.iter().map(lapsed).all(|lapsed| lapsed < SWEEP)
    }

    /// What happens to a key as soon as it is looked at.
    fn due(&self, state: &KeyState) -> Vec<Change> {
        let mut step = Step::new(self.now, self.last_token, ChangeKinds::ALL);
        state.clone().settle(&mut step);
        step.effects.changes
    }

    /// Those who hold the key or did when it was last looked at.
    pub(super) fn holders(&self, key: &LockKey) -> Vec<RequestId> {
        let leases = self.states.get(key).into_iter().flat_map(KeyState::leases);
        leases.map(|lease| lease.request).collect()
    }

    /// Those who wait for the key.
    pub(super) fn waiters(&self, key: &LockKey) -> Vec<RequestId> {
        let waiters = self.states.get(key).into_iter().flat_map(|state| state.waiters(self.now));
        waiters.map(|waiter| waiter.request).collect()
    }

    /// The points of time to come at which a lease or the patience with a waiter ends.
    pub(super) fn deadlines(&self) -> Vec<Timestamp> {
        let leases = self.states.values().flat_map(KeyState::leases);
        let ends = leases.filter_map(|lease| lease.expires_at);
        let waiters = self.states.values().flat_map(|state| state.waiters(self.now));
        let silences = waiters.map(|waiter| waiter.silent_at);
        let all: BTreeSet<_> = ends.chain(silences).filter(|end| *end > self.now).collect();
        all.into_iter().collect()
    }
}
