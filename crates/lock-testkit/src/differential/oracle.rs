//! The oracle: the state machine and the last tokens.

use std::collections::{BTreeMap, BTreeSet};

use lock_core::machine::{KeyState, SWEEP_LIMIT, Step};
use lock_core::{
    Change, ChangeKind, ChangeKinds, EventCursor, FencingToken, InspectQuery, LeaseName, LockEvent,
    LockKey, MailboxId, Notice, RequestId, Timed, Timestamp,
};

use super::answer::Answer;
use super::call::Call;
use super::tokens::Counters;

/// The oracle, whose answers are right by definition.
#[derive(Debug)]
pub(super) struct Oracle {
    states: BTreeMap<LockKey, KeyState>,
    counters: Counters,
    pub(super) now: Timestamp,
    /// The events so far, without cursors.
    pub(super) events: Vec<LockEvent>,
    /// The notices so far, each with its mailbox.
    pub(super) notices: Vec<(MailboxId, Notice)>,
    /// The tokens that each request had on each key.
    tokens: BTreeMap<(LockKey, RequestId), Vec<FencingToken>>,
}

impl Oracle {
    /// An empty store that counts its tokens by `counters`.
    pub(super) fn new(now: Timestamp, counters: Counters) -> Self {
        let (states, tokens) = (BTreeMap::new(), BTreeMap::new());
        Self { states, counters, now, events: Vec::new(), notices: Vec::new(), tokens }
    }

    /// The only right answer to a command.
    pub(super) fn answer(&mut self, call: &Call) -> Answer {
        match call {
            Call::Acquire(request) => {
                Answer::Acquire(self.run(&request.key, |it, step| it.acquire(step, request)))
            }
            Call::Hear(requests) => Answer::Hear(
                requests
                    .iter()
                    .map(|request| self.run(&request.key, |it, step| it.hear(step, request)))
                    .collect(),
            ),
            Call::Renew(requests) => Answer::Renew(
                requests
                    .iter()
                    .map(|request| self.run(&request.lease.key, |it, step| it.renew(step, request)))
                    .collect(),
            ),
            Call::Release(request) => {
                Answer::Release(self.run(&request.lease.key, |it, step| it.release(step, request)))
            }
            Call::Cancel(request) => {
                Answer::Cancel(self.run(&request.key, |it, step| it.cancel(step, request)))
            }
            Call::Transfer(request) => {
                let key = &request.lease.key;
                Answer::Transfer(self.run(key, |it, step| it.transfer(step, request)))
            }
            Call::Evict(request) => {
                Answer::Evict(self.run(&request.key, |it, step| it.evict(step, request)))
            }
            Call::RequestRelease(appeal) => Answer::RequestRelease(
                self.run(&appeal.key, |it, step| it.request_release(step, appeal)),
            ),
            Call::Inspect(query) => self.inspect(query),
            Call::List(query) => {
                self.settle();
                let leases = self.states.values().flat_map(|state| state.leases(self.now));
                let leases = leases.filter(|lease| query.matches(lease)).cloned().collect();
                Answer::list(leases, BTreeSet::from([self.now]))
            }
            Call::WaitsOf(query) => {
                self.settle();
                let waiters = self.states.values().flat_map(|state| state.waiters(self.now));
                let waiters = waiters.filter(|waiter| query.of.matches(waiter)).collect();
                Answer::waits(waiters, BTreeSet::from([self.now]))
            }
        }
    }

    /// All waiters of a key, and as many of its leases as the query shows.
    fn inspect(&mut self, query: &InspectQuery) -> Answer {
        let all = query.clone().with_limit(super::compare::LOOK_LIMIT);
        let seen = self.run(&query.key, |it, step| it.inspect(step, &all));
        match seen.value {
            Ok(mut value) => {
                value.leases.truncate(query.shown());
                Answer::Inspect(Timed::new(seen.observed_at, value))
            }
            Err(error) => Answer::Failed(error.to_string()),
        }
    }

    fn run<R>(
        &mut self,
        key: &LockKey,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        let state = self.states.entry(key.clone()).or_default();
        let mut step = Step::new(self.now, self.counters.last(key), ChangeKinds::ALL);
        let reply = command(state, &mut step);
        if state.is_idle() {
            self.states.remove(key);
        }
        self.counters.set(key, step.last_token);
        for change in &step.effects.changes {
            if let Change::Granted(lease) | Change::Transferred { to: lease, .. } = change {
                let had = self.tokens.entry((key.clone(), lease.request)).or_default();
                had.push(lease.token);
            }
        }
        let cursor = || EventCursor::new(String::new());
        let event = |change| LockEvent::new(cursor(), step.now, change);
        self.events.extend(step.effects.changes.into_iter().map(event));
        self.notices.extend(step.effects.notices);
        Timed::new(step.now, reply)
    }

    fn settle(&mut self) {
        for key in self.states.keys().cloned().collect::<Vec<_>>() {
            let _ = self.run(&key, KeyState::settle);
        }
    }

    /// Returns `true` if every store shows the same, in whatever order it inspects several keys:
    /// inspection changes at most one of them, and only the first time.
    pub(super) fn is_plain_to_see(&self) -> bool {
        let due = self.states.iter().map(|(key, state)| self.due(key, state));
        let due: Vec<_> = due.filter(|changes| !changes.is_empty()).collect();
        due.len() <= 1 && due.iter().all(|changes| is_bounded(changes))
    }

    /// Returns `true` if commands on these keys have the same effect in one step as in a step each.
    pub(super) fn is_plain_to_batch(&self, keys: &BTreeSet<LockKey>) -> bool {
        let states = keys.iter().filter_map(|key| self.states.get_key_value(key));
        let due: Vec<_> = states.flat_map(|(key, state)| self.due(key, state)).collect();
        is_bounded(&due)
    }

    /// The changes to a key that its next inspection makes.
    fn due(&self, key: &LockKey, state: &KeyState) -> Vec<Change> {
        let mut step = Step::new(self.now, self.counters.last(key), ChangeKinds::ALL);
        state.clone().settle(&mut step);
        step.effects.changes
    }

    /// The holders of the key.
    pub(super) fn holders(&self, key: &LockKey) -> Vec<RequestId> {
        let leases = self.states.get(key).into_iter().flat_map(|state| state.leases(self.now));
        leases.map(|lease| lease.request).collect()
    }

    /// The waiters of the key.
    pub(super) fn waiters(&self, key: &LockKey) -> Vec<RequestId> {
        let waiters = self.states.get(key).into_iter().flat_map(|state| state.waiters(self.now));
        waiters.map(|waiter| waiter.request).collect()
    }

    /// The name of the request's last lease, or of the one this many before that.
    pub(super) fn name(&self, key: &LockKey, request: RequestId, back: usize) -> LeaseName {
        let had = self.tokens.get(&(key.clone(), request));
        let token = had.and_then(|tokens| tokens.iter().rev().nth(back).copied());
        let token = token.or(FencingToken::new(1)).expect("one is not zero");
        LeaseName::new(key.clone(), request, token)
    }

    /// The future times at which a lease or the keep-alive of a waiter ends.
    pub(super) fn deadlines(&self) -> Vec<Timestamp> {
        let leases = self.states.values().flat_map(|state| state.leases(self.now));
        let ends = leases.filter_map(|lease| lease.expires_at);
        let waiters = self.states.values().flat_map(|state| state.waiters(self.now));
        let silences = waiters.map(|waiter| waiter.silent_at);
        let all: BTreeSet<_> = ends.chain(silences).filter(|end| *end > self.now).collect();
        all.into_iter().collect()
    }
}

/// Returns `true` if the number of changes of each kind is below the bound of one step.
fn is_bounded(changes: &[Change]) -> bool {
    [ChangeKind::Expired, ChangeKind::Lapsed, ChangeKind::Granted]
        .iter()
        .all(|kind| changes.iter().filter(|change| change.kind() == *kind).count() < SWEEP_LIMIT)
}
