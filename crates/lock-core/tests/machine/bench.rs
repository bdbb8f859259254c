//! A key under test, and its effects so far.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::machine::{KeyState, Step};
use lock_core::{
    AcquireRequest, Change, ChangeKinds, End, FencingToken, Grant, HeadStart, KeepAlive, Lease,
    LeaseName, MailboxId, Mode, Notice, OnHeld, OwnerId, RequestId, SessionId, Timestamp, Waiter,
};

use crate::action::{giver, key};
use crate::marks::Marks;
use crate::stored::{frozen, reloaded};

/// State of a request, derived from its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Has {
    Nothing,
    Place,
    Lease,
}

/// A key under test, with its effects so far.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) state: KeyState,
    pub(crate) now: Timestamp,
    pub(crate) last_token: Option<FencingToken>,
    /// The highest token of all leases of the run.
    highest: Option<FencingToken>,
    story: BTreeMap<RequestId, Has>,
    pub(crate) marks: Marks,
    /// Every request with the terms in which it was last granted or queued.
    terms: BTreeMap<RequestId, AcquireRequest>,
    mailboxes: BTreeMap<RequestId, MailboxId>,
    /// The leases that are in their claim window.
    pub(crate) unclaimed: BTreeSet<FencingToken>,
    /// By which lease each lease was handed over that was transferred, by token.
    pub(crate) given: BTreeMap<FencingToken, (RequestId, FencingToken)>,
    /// All tokens that a request ever had.
    pub(crate) tokens: BTreeMap<RequestId, Vec<FencingToken>>,
    /// When each waiting request joined, counted in commands.
    joined: BTreeMap<RequestId, u64>,
    last_arrival: Timestamp,
    commands: u64,
}

/// Expected notices and events of a command.
#[derive(Debug, Default)]
struct Told {
    notices: Vec<(MailboxId, Notice)>,
    joined: Vec<(OwnerId, SessionId, RequestId)>,
    left: Vec<(OwnerId, SessionId, RequestId)>,
}

/// Visible state of a settled key.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) leases: Vec<Lease>,
    pub(crate) waiters: Vec<Waiter>,
    /// The leases in their claim window.
    pub(crate) unclaimed: BTreeSet<FencingToken>,
    pub(crate) last_token: Option<FencingToken>,
    pub(crate) arrival: Timestamp,
    pub(crate) frozen: String,
}

pub(crate) fn rank(arrival: Timestamp, head_start: HeadStart) -> i128 {
    i128::from(arrival.as_micros()) - head_start.span().as_micros() as i128
}

pub(crate) fn room(mode: Mode) -> usize {
    match mode {
        Mode::Exclusive | Mode::Upgrade { .. } => 1,
        Mode::Shared { limit } => limit.map_or(u32::MAX, NonZeroU32::get) as usize,
    }
}

pub(crate) fn fits(mode: Mode, leases: &[Lease]) -> bool {
    leases.len() < room(mode) && leases.iter().all(|lease| lease.mode == mode)
}

/// Claim window of a request.
pub(crate) fn window(request: &AcquireRequest) -> Duration {
    let OnHeld::Queue { keep_alive, .. } = request.on_held else { panic!("{request:?} waits") };
    request.ttl.span().map_or(keep_alive.span(), |ttl| ttl.min(keep_alive.span()))
}

impl Seen {
    pub(crate) fn lease(&self, request: RequestId) -> Option<&Lease> {
        self.leases.iter().find(|lease| lease.request == request)
    }

    pub(crate) fn waiter(&self, request: RequestId) -> Option<&Waiter> {
        self.waiters.iter().find(|waiter| waiter.request == request)
    }

    pub(crate) fn named(&self, name: &LeaseName) -> Option<&Lease> {
        self.lease(name.request).filter(|lease| lease.token == name.token)
    }

    /// The lease of the request as a claim leaves it.
    pub(crate) fn claimed(&self, request: RequestId, now: Timestamp) -> Option<Lease> {
        let lease = self.lease(request)?.clone();
        if !self.unclaimed.contains(&lease.token) {
            return Some(lease);
        }
        let end = lease.ttl.span().map(|span| now.after(span));
        Some(lease.with_expires_at(end))
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self {
            state: KeyState::default(),
            now: Timestamp::from_micros(1_800_000_000_000_000),
            last_token: None,
            highest: None,
            story: BTreeMap::new(),
            marks: Marks::default(),
            terms: BTreeMap::new(),
            mailboxes: BTreeMap::new(),
            unclaimed: BTreeSet::new(),
            given: BTreeMap::new(),
            tokens: BTreeMap::new(),
            joined: BTreeMap::new(),
            last_arrival: Timestamp::default(),
            commands: 0,
        }
    }

    /// The key as the next command finds it, without touching it.
    pub(crate) fn look(&self) -> Seen {
        let mut state = self.state.clone();
        let mut step = Step::new(self.now, self.last_token, ChangeKinds::ALL);
        state.settle(&mut step);
        let mut unclaimed = self.unclaimed.clone();
        for change in &step.effects.changes {
            if let Change::Granted(lease) = change {
                unclaimed.insert(lease.token);
            }
        }
        let waiters: Vec<_> = state.waiters(self.now).collect();
        let last_arrival = if waiters.is_empty() { self.now } else { self.last_arrival };
        Seen {
            leases: state.leases(self.now).cloned().collect(),
            waiters,
            unclaimed,
            last_token: step.last_token,
            arrival: self.now.max(last_arrival),
            frozen: frozen(&state, self.now),
        }
    }

    /// Runs a command, and checks its notices and the state it leaves. `asking` is the request that
    /// may be granted or queued by it.
    ///
    /// The same command on the state as it is read back does the same.
    pub(crate) fn run<R: PartialEq + Debug>(
        &mut self,
        asking: Option<&AcquireRequest>,
        command: impl Fn(&mut KeyState, &mut Step) -> R,
    ) -> R {
        self.commands += 1;
        let mut copy = reloaded(&self.state);
        let mut step = Step::new(self.now, self.last_token, ChangeKinds::ALL);
        let reply = command(&mut self.state, &mut step);
        let mut again = Step::new(self.now, self.last_token, ChangeKinds::ALL);
        assert_eq!(command(&mut copy, &mut again), reply, "the reply after reading back");
        assert_eq!(format!("{again:?}"), format!("{step:?}"), "the effects after reading back");
        assert_eq!(frozen(&copy, self.now), frozen(&self.state, self.now), "read back");
        self.last_token = step.last_token;
        self.marks.settle(self.now);
        let mut told = Told::default();
        for change in &step.effects.changes {
            self.tell(change, asking, &mut told);
        }
        let sorted = |mut notices: Vec<(MailboxId, Notice)>| {
            notices.sort_by_key(|notice| format!("{notice:?}"));
            notices
        };
        assert_eq!(sorted(step.effects.notices), sorted(told.notices), "notices");
        assert_eq!(step.effects.joined, told.joined, "who joined");
        assert_eq!(step.effects.left, told.left, "who left");
        self.check_present();
        reply
    }

    /// Moves the notices of a request to this mailbox.
    pub(crate) fn moves_to(&mut self, request: RequestId, mailbox: Option<MailboxId>) {
        if let Some(mailbox) = mailbox
            && self.has(request) != Has::Nothing
        {
            self.mailboxes.insert(request, mailbox);
        }
    }

    pub(crate) fn has(&self, request: RequestId) -> Has {
        self.story.get(&request).copied().unwrap_or(Has::Nothing)
    }

    /// The keep-alive with which the request joined.
    pub(crate) fn keep_alive(&self, request: RequestId) -> KeepAlive {
        match self.terms[&request].on_held {
            OnHeld::Queue { keep_alive, .. } => keep_alive,
            _ => panic!("{request} never waited"),
        }
    }

    pub(crate) fn terms(&self, request: RequestId) -> &AcquireRequest {
        &self.terms[&request]
    }

    /// A request has one effect: what it has changes only as the rules say.
    fn tell(&mut self, change: &Change, asking: Option<&AcquireRequest>, told: &mut Told) {
        use Has::{Nothing, Place};
        match change {
            Change::Queued(waiter) => {
                let asking = asking.expect("only an acquire joins");
                self.check_joined(waiter, asking);
                told.joined.push((waiter.owner.clone(), waiter.session, waiter.request));
                self.become_(waiter.request, &[Nothing], Place, change);
                self.joined.insert(waiter.request, self.commands);
                self.terms.insert(waiter.request, asking.clone());
            }
            Change::Granted(lease) => self.tell_granted(change, lease, asking, told),
            Change::Released(lease) => {
                assert!(!lease.is_over(self.now), "{change:?}");
                self.become_(lease.request, &[Has::Lease], Nothing, change);
            }
            Change::Expired(lease) => {
                assert!(lease.is_over(self.now), "{change:?}");
                self.become_(lease.request, &[Has::Lease], Nothing, change);
            }
            Change::Cancelled(waiter) => self.tell_left(change, waiter, told),
            Change::Lapsed(waiter) => {
                assert!(waiter.silent_at <= self.now, "{change:?}");
                self.tell_left(change, waiter, told);
            }
            Change::Evicted { lease, by, reason } => {
                let end = End::Evicted { by: by.clone(), reason: reason.clone() };
                self.tell_ended(lease.request, Some(lease.token), &end, lease.expires_at, told);
                self.become_(lease.request, &[Has::Lease], Nothing, change);
            }
            Change::WaiterEvicted { waiter, by, reason } => {
                let end = End::Evicted { by: by.clone(), reason: reason.clone() };
                self.tell_ended(waiter.request, None, &end, Some(waiter.silent_at), told);
                self.tell_left(change, waiter, told);
            }
            Change::Transferred { from, to } => {
                let end = End::Transferred { by: giver(), to: to.owner.clone() };
                self.tell_ended(from.request, Some(from.token), &end, from.expires_at, told);
                self.become_(from.request, &[Has::Lease], Nothing, change);
                if self.has(to.request) == Place {
                    self.tell_handed(to, told);
                }
                self.check_token(to);
                self.become_(to.request, &[Nothing, Place], Has::Lease, change);
            }
            other => panic!("an unknown change: {other:?}"),
        }
    }

    fn tell_granted(
        &mut self,
        change: &Change,
        lease: &Lease,
        asking: Option<&AcquireRequest>,
        told: &mut Told,
    ) {
        let request = lease.request;
        let expected = if self.has(request) == Has::Place {
            self.tell_handed(lease, told);
            let terms = &self.terms[&request];
            let end = self.now.after(window(terms));
            Lease::granted(terms, lease.token, self.now).with_expires_at(Some(end))
        } else {
            let asking = asking.expect("only an acquire is granted at once");
            self.terms.insert(request, asking.clone());
            Lease::granted(asking, lease.token, self.now)
        };
        assert_eq!(*lease, expected, "what was asked for");
        self.check_token(lease);
        self.become_(request, &[Has::Nothing, Has::Place], Has::Lease, change);
    }

    /// A waiter was handed a lease, which it must claim, and was notified.
    fn tell_handed(&mut self, lease: &Lease, told: &mut Told) {
        self.unclaimed.insert(lease.token);
        told.left.push((lease.owner.clone(), lease.session, lease.request));
        if let Some(mailbox) = self.mailboxes.get(&lease.request) {
            let grant = Grant::new(key(), lease.request, lease.token, self.now);
            let grant = grant.with_expires_at(lease.expires_at);
            told.notices.push((*mailbox, Notice::Granted(grant)));
        }
    }

    /// A request was ended by force, was notified and leaves a mark.
    fn tell_ended(
        &mut self,
        request: RequestId,
        token: Option<FencingToken>,
        end: &End,
        lasted_until: Option<Timestamp>,
        told: &mut Told,
    ) {
        if let Some(mailbox) = self.mailboxes.get(&request) {
            let end = end.clone();
            told.notices.push((*mailbox, Notice::Ended { key: key(), request, token, end }));
        }
        self.marks.add(self.now, request, token, end, lasted_until);
    }

    fn tell_left(&mut self, change: &Change, waiter: &Waiter, told: &mut Told) {
        told.left.push((waiter.owner.clone(), waiter.session, waiter.request));
        self.become_(waiter.request, &[Has::Place], Has::Nothing, change);
    }

    fn become_(&mut self, request: RequestId, from: &[Has], to: Has, change: &Change) {
        let has = self.story.entry(request).or_insert(Has::Nothing);
        assert!(from.contains(has), "{request} has {has:?} when {change:?}");
        *has = to;
        if to != Has::Place {
            self.joined.remove(&request);
        }
        if to == Has::Nothing {
            self.mailboxes.remove(&request);
        }
    }

    fn check_joined(&mut self, waiter: &Waiter, asking: &AcquireRequest) {
        let is_first = !self.story.values().any(|has| *has == Has::Place);
        let last_arrival = if is_first { self.now } else { self.last_arrival };
        self.last_arrival = self.now.max(last_arrival);
        let OnHeld::Queue { keep_alive, .. } = asking.on_held else { panic!("{waiter:?} joined") };
        let silent_at = self.now.after(keep_alive.span());
        let expected =
            Waiter::new(key(), asking.owner.clone(), asking.id, self.last_arrival, silent_at)
                .with_session(asking.session)
                .with_terms(asking.mode, asking.head_start);
        assert_eq!(*waiter, expected);
    }

    /// Tokens increase over the whole life of the key, whatever the clock does.
    fn check_token(&mut self, lease: &Lease) {
        assert!(Some(lease.token) > self.highest, "{lease:?} after token {:?}", self.highest);
        assert!(lease.token.get() >= self.now.as_micros(), "tokens follow the clock: {lease:?}");
        assert_eq!(Some(lease.token).max(self.last_token), self.last_token, "{lease:?}");
        self.highest = Some(lease.token);
        self.tokens.entry(lease.request).or_default().push(lease.token);
    }

    /// Checks the invariants after every command.
    fn check_present(&self) {
        let leases: Vec<_> = self.state.leases(self.now).cloned().collect();
        let never = Timestamp::from_micros(u64::MAX);
        let end = |lease: &Lease| (lease.expires_at.unwrap_or(never), lease.request);
        assert!(leases.is_sorted_by_key(end), "the first to end first: {leases:?}");
        if let Some(first) = leases.first() {
            assert!(leases.len() <= room(first.mode), "more leases than fit: {leases:?}");
            assert!(leases.iter().all(|lease| lease.mode == first.mode), "{leases:?}");
        }
        assert!(leases.iter().all(|lease| !lease.is_over(self.now)), "a dead lease: {leases:?}");
        let waiters: Vec<_> = self.state.waiters(self.now).collect();
        if let Some(head) = waiters.first() {
            let fits = fits(head.mode, &leases);
            assert!(!fits, "the head waits although it fits: {head:?} behind {leases:?}");
        }
        let turn = |waiter: &Waiter| {
            (rank(waiter.enqueued_at, waiter.head_start), self.joined[&waiter.request])
        };
        assert!(waiters.is_sorted_by_key(turn), "the order of rank and arrival: {waiters:?}");
        for (request, has) in &self.story {
            let holds = self.state.lease_of(*request, self.now);
            assert_eq!(holds, leases.iter().find(|lease| lease.request == *request));
            let waits = waiters.iter().any(|waiter| waiter.request == *request);
            let expected = (*has == Has::Lease, *has == Has::Place);
            assert_eq!((holds.is_some(), waits), expected, "{request}");
        }
        assert_eq!(self.state.has_waiters(), !waiters.is_empty());
        let is_idle = leases.is_empty() && waiters.is_empty() && self.marks.is_empty();
        assert_eq!(self.state.is_idle(), is_idle, "{:?} {:?}", self.state, self.marks);
    }
}
