//! The simulated store: the machine's state of every key, and a clock of its own.

use std::collections::BTreeMap;

use lock_core::machine::{KeyState, Step};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, ChangeKinds, EvictRequest, Eviction,
    FencingToken, HearRequest, Heard, InspectQuery, Inspection, InvalidInput, LockKey, MailboxId,
    Notice, QueuePosition, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest,
    Renewal, Timed, Transfer, TransferRequest,
};

use super::clock::StoreClock;
use super::ledger::Ledger;
use super::planted::Planted;

/// The simulated store.
///
/// It behaves as the machine, unless a fault is planted.
#[derive(Debug)]
pub(super) struct Store {
    keys: BTreeMap<LockKey, KeyState>,
    last_token: Option<FencingToken>,
    pub(super) clock: StoreClock,
    /// True if the store lost its token and has not written one since.
    pub(super) token_is_missing: bool,
    pub(super) is_down: bool,
    /// The notices to send, each with its mailbox.
    pub(super) outbox: Vec<(MailboxId, Notice)>,
    pub(super) ledger: Ledger,
    planted: Option<Planted>,
    /// The state before the last command, for a failover that loses it.
    before: Option<(LockKey, KeyState, Option<FencingToken>)>,
}

impl Store {
    /// An empty store.
    pub(super) fn new(planted: Option<Planted>) -> Self {
        Self {
            keys: BTreeMap::new(),
            last_token: None,
            clock: StoreClock::new(),
            token_is_missing: false,
            is_down: false,
            outbox: Vec::new(),
            ledger: Ledger::default(),
            planted,
            before: None,
        }
    }

    fn has(&self, planted: Planted) -> bool {
        self.planted == Some(planted)
    }

    pub(super) fn acquire(&mut self, request: &AcquireRequest) -> Timed<Acquisition> {
        self.ledger.note_request(request);
        if self.has(Planted::GrantsTwo) {
            self.forget_holder(&request.key);
        }
        let reply = self.run(&request.key, |state, step| state.acquire(step, request));
        reply.map(|acquisition| match acquisition {
            Acquisition::Queued(position) => {
                Acquisition::Queued(self.told(&request.key, request.id, position))
            }
            other => other,
        })
    }

    pub(super) fn hear(&mut self, request: &HearRequest) -> Timed<Heard> {
        let key = &request.key;
        let kept = self.has(Planted::HearClaimsNothing).then(|| {
            let _ = self.run(key, KeyState::settle);
            self.keys.get(key).cloned()
        });
        let reply = self.run(key, |state, step| state.hear(step, request));
        if let (Some(Some(state)), Heard::Granted(_)) = (kept, &reply.value) {
            self.keys.insert(key.clone(), state);
            self.observe(key);
        }
        reply.map(|heard| match heard {
            Heard::Queued(position) => Heard::Queued(self.told(key, request.request, position)),
            other => other,
        })
    }

    pub(super) fn renew(&mut self, request: &RenewRequest) -> Timed<Renewal> {
        let mut request = request.clone();
        if self.has(Planted::RenewalIgnoresToken) {
            let now = self.clock.now();
            let state = self.keys.get(&request.lease.key);
            if let Some(lease) = state.and_then(|state| state.lease_of(request.lease.request, now))
            {
                request.lease.token = lease.token;
            }
        }
        self.run(&request.lease.key, |state, step| state.renew(step, &request))
    }

    pub(super) fn release(&mut self, request: &ReleaseRequest) -> Timed<Release> {
        self.run(&request.lease.key, |state, step| state.release(step, request))
    }

    pub(super) fn cancel(&mut self, request: &CancelRequest) -> Timed<Cancellation> {
        let outstanding = request.answer_outstanding && !self.has(Planted::LateAcquireIsGranted);
        let cancel = request.clone().with_answer_outstanding(outstanding);
        let answer = self.run(&request.key, |state, step| state.cancel(step, &cancel));
        // It returns the lease that its own step granted.
        self.ledger.note_cancel(request);
        answer
    }

    pub(super) fn transfer(&mut self, request: &TransferRequest) -> Timed<Transfer> {
        self.run(&request.lease.key, |state, step| state.transfer(step, request))
    }

    pub(super) fn evict(&mut self, request: &EvictRequest) -> Timed<Eviction> {
        self.run(&request.key, |state, step| state.evict(step, request))
    }

    pub(super) fn request_release(&mut self, appeal: &ReleaseAppeal) -> Timed<ReleaseRequested> {
        self.run(&appeal.key, |state, step| state.request_release(step, appeal))
    }

    pub(super) fn inspect(
        &mut self,
        query: &InspectQuery,
    ) -> Timed<Result<Inspection, InvalidInput>> {
        self.run(&query.key, |state, step| state.inspect(step, query))
    }

    /// Settles every key.
    pub(super) fn settle(&mut self) {
        for key in self.keys.keys().cloned().collect::<Vec<_>>() {
            let _ = self.run(&key, KeyState::settle);
        }
    }

    /// The states of all keys that are not empty.
    pub(super) const fn keys(&self) -> &BTreeMap<LockKey, KeyState> {
        &self.keys
    }

    /// The requests that would be granted the key if it were inspected now.
    pub(super) fn would_grant(&self, key: &LockKey) -> Vec<lock_core::Lease> {
        let Some(state) = self.keys.get(key).filter(|state| state.has_waiters()) else {
            return Vec::new();
        };
        let mut state = state.clone();
        let mut step = Step::new(self.clock.now(), self.last_token, ChangeKinds::ALL);
        state.settle(&mut step);
        let granted = step.effects.changes.into_iter().filter_map(|change| match change {
            lock_core::Change::Granted(lease) => Some(lease),
            _ => None,
        });
        granted.collect()
    }

    /// Loses everything, as a restarted store in memory does.
    pub(super) fn lose_everything(&mut self) {
        if self.has(Planted::FailoverLosesTokens) {
            // The last write did not reach the new primary, and its clock is behind.
            if let Some((key, state, token)) = self.before.take() {
                self.keys.insert(key, state);
                self.last_token = token;
            }
            self.clock.jump_back(std::time::Duration::from_secs(120));
            return;
        }
        self.keys.clear();
        self.last_token = None;
        self.token_is_missing = true;
        self.ledger.note_flush();
    }

    /// Records every lease and its end again, after the clock changed.
    pub(super) fn observe_all(&mut self) {
        for key in self.keys.keys().cloned().collect::<Vec<_>>() {
            self.observe(&key);
        }
    }

    fn observe(&mut self, key: &LockKey) {
        let Self { keys, clock, ledger, .. } = self;
        if let Some(state) = keys.get(key) {
            ledger.follow_leases(key, state, clock);
        }
    }

    /// Runs one command in a step of its own.
    fn run<R>(
        &mut self,
        key: &LockKey,
        command: impl FnOnce(&mut KeyState, &mut Step) -> R,
    ) -> Timed<R> {
        let now = self.clock.now();
        let last_token = self.last_token.filter(|_| !self.has(Planted::TokensFollowTheClock));
        let mut state = self.keys.remove(key).unwrap_or_default();
        if self.has(Planted::FailoverLosesTokens) {
            self.before = Some((key.clone(), state.clone(), self.last_token));
        }
        let mut step = Step::new(self.settling_time(&state, now), last_token, ChangeKinds::ALL);
        let reply = command(&mut state, &mut step);
        self.last_token = step.last_token;
        self.ledger.follow(key, &state, &step, &self.clock);
        self.outbox.append(&mut step.effects.notices);
        if !state.is_idle() {
            self.keys.insert(key.clone(), state);
        }
        Timed::new(now, reply)
    }

    /// The time at which a command takes effect: the present.
    fn settling_time(&self, state: &KeyState, now: lock_core::Timestamp) -> lock_core::Timestamp {
        if !self.has(Planted::ExpiredLeaseCounts) || !state.has_waiters() {
            return now;
        }
        let ended = Ledger::last_end(state, now);
        ended.map_or(now, |end| {
            lock_core::Timestamp::from_micros(end.as_micros().saturating_sub(1)).min(now)
        })
    }

    /// The position as the store reports it.
    fn told(
        &mut self,
        key: &LockKey,
        request: lock_core::RequestId,
        position: QueuePosition,
    ) -> QueuePosition {
        self.ledger.note_position(key, request, &position, &self.clock);
        match self.planted {
            Some(Planted::PromotionIsNotTold) => position.with_next_change_at(None),
            Some(Planted::QueueDeadlinesDrift) => {
                let now = self.clock.now();
                let later = position.next_change_at.map(|at| at.after(at.since(now) / 4));
                position.with_next_change_at(later)
            }
            _ => position,
        }
    }

    /// Forgets that an exclusive lease is there.
    fn forget_holder(&mut self, key: &LockKey) {
        let now = self.clock.now();
        let is_held = self.keys.get(key).is_some_and(|state| state.leases(now).next().is_some());
        if is_held && now.as_micros().is_multiple_of(5) {
            self.keys.remove(key);
        }
    }
}
