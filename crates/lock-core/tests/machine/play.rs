//! Expected answers of each command, derived from the visible state of a key.

use std::time::Duration;

use lock_core::machine::Step;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, ChangeKinds, End, EvictRequest,
    Eviction, FencingToken, HearRequest, Heard, Holder, InspectQuery, Lease, LeaseName, Metadata,
    OnHeld, OwnerId, QueuePosition, Release, ReleaseRequest, RenewRequest, Renewal, RequestId,
    SessionId, Timestamp, Transfer, TransferRequest, TransferTo, WaitsOf,
};

use crate::action::{Action, Name, giver, id, key, mailbox, owner, reason, ttl};
use crate::bench::{Bench, Has, Seen, fits, rank, window};

impl Bench {
    pub(crate) fn act(&mut self, action: &Action) {
        match *action {
            Action::Acquire { request, ref terms } => self.acquire(&terms.of(request)),
            Action::Hear { request, mailbox: to } => {
                let hear = HearRequest::new(key(), id(request));
                self.hear(&match mailbox(to) {
                    Some(mailbox) => hear.with_mailbox(mailbox),
                    None => hear,
                });
            }
            Action::Renew { request, ttl: choice, mailbox: to, name } => {
                let renew = RenewRequest::new(self.name(request, name), ttl(choice));
                self.renew(&match mailbox(to) {
                    Some(mailbox) => renew.with_mailbox(mailbox),
                    None => renew,
                });
            }
            Action::Release { request, name } => self.release(self.name(request, name)),
            Action::Cancel { request, answer_outstanding } => {
                self.cancel(id(request), answer_outstanding);
            }
            Action::Transfer { from, name, to, waiter } => {
                let receiver = match waiter {
                    true => TransferTo::Waiter(id(to)),
                    false => TransferTo::Owner {
                        owner: owner(to),
                        request: id(to),
                        metadata: Metadata::default(),
                    },
                };
                self.transfer(&TransferRequest::new(self.name(from, name), giver(), receiver));
            }
            Action::EvictAll => self.evict(&EvictRequest::all(key(), owner(0), reason())),
            Action::EvictLease { request, name } => {
                self.evict(&EvictRequest::lease(self.name(request, name), owner(0), reason()));
            }
            Action::EvictWaiter { request } => {
                self.evict(&EvictRequest::waiter(key(), id(request), owner(0), reason()));
            }
            Action::Inspect { limit } => self.inspect(limit),
            Action::Forward { micros } => self.now = self.now.after(Duration::from_micros(micros)),
            Action::Back { micros } => {
                self.now = Timestamp::from_micros(self.now.as_micros() - micros);
            }
        }
    }

    /// The name of a lease of the request, of one that never was if it had none.
    fn name(&self, request: u8, name: Name) -> LeaseName {
        let tokens = self.tokens.get(&id(request)).map_or(&[][..], Vec::as_slice);
        let back = if name == Name::Older { 1 } else { 0 };
        let token = tokens.iter().rev().nth(back).copied();
        LeaseName::new(key(), id(request), token.or(FencingToken::new(1)).expect("not zero"))
    }

    /// Acquires, and at once again: the second answer is the first.
    fn acquire(&mut self, request: &AcquireRequest) {
        let seen = self.look();
        let expected = self.expected_of_acquire(&seen, request);
        let reply = self.run(Some(request), |state, step| state.acquire(step, request));
        match (&reply, &expected) {
            (Acquisition::Granted(lease), Acquisition::Granted(expected)) => {
                assert_eq!(lease, expected);
                self.unclaimed.remove(&lease.token);
            }
            (Acquisition::Queued(position), Acquisition::Queued(_)) => {
                self.check_queued(request.id, position);
            }
            (Acquisition::Held(position), Acquisition::Held(expected))
            | (Acquisition::QueueFull(position), Acquisition::QueueFull(expected)) => {
                assert_eq!(*position, self.position(expected.position));
            }
            (Acquisition::Ended(end), Acquisition::Ended(expected)) => assert_eq!(end, expected),
            _ => panic!("{reply:?} instead of {expected:?} to {request:?} at {seen:?}"),
        }
        self.moves_to(request.id, request.mailbox);
        let again = self.run(None, |state, step| state.acquire(step, request));
        assert_eq!(again, reply, "the repeat was answered otherwise");
    }

    /// Expected outcome of an acquire; only the number of a position that is not its own.
    fn expected_of_acquire(&self, seen: &Seen, request: &AcquireRequest) -> Acquisition {
        if let Some(lease) = seen.claimed(request.id, self.now) {
            return Acquisition::Granted(lease);
        }
        if seen.waiter(request.id).is_some() {
            return Acquisition::Queued(QueuePosition::new(0, 0));
        }
        if let Some(end) = self.marks.of(self.now, request.id) {
            return Acquisition::Ended(end.clone());
        }
        let mine = rank(seen.arrival, request.head_start);
        let is_ahead = |it: &&lock_core::Waiter| rank(it.enqueued_at, it.head_start) <= mine;
        let ahead = seen.waiters.iter().filter(is_ahead).count();
        if ahead == 0 && fits(request.mode, &seen.leases) {
            let token = FencingToken::following(seen.last_token, self.now);
            return Acquisition::Granted(Lease::granted(request, token, self.now));
        }
        let position = QueuePosition::new(ahead as u64 + 1, 0);
        match request.on_held {
            OnHeld::Queue { queue_limit: Some(limit), .. }
                if seen.waiters.len() >= limit.get() as usize =>
            {
                Acquisition::QueueFull(position)
            }
            OnHeld::Queue { .. } => Acquisition::Queued(position),
            _ => Acquisition::Held(position),
        }
    }

    /// Expected queue position.
    fn position(&self, position: u64) -> QueuePosition {
        let leases: Vec<_> = self.state.leases(self.now).collect();
        let waiters: Vec<_> = self.state.waiters(self.now).collect();
        let ends = leases.iter().filter_map(|lease| lease.expires_at);
        let head_ends = waiters.first().filter(|_| position > 1).map(|head| head.silent_at);
        QueuePosition::new(position, waiters.len() as u64)
            .with_holder(leases.len() as u64, leases.first().map(|lease| Holder::from(*lease)))
            .with_next_change_at(ends.chain(head_ends).min())
    }

    /// A waiting request was heard, and learns its position.
    fn check_queued(&self, request: RequestId, position: &QueuePosition) {
        let waiters: Vec<_> = self.state.waiters(self.now).collect();
        let at = waiters.iter().position(|waiter| waiter.request == request);
        let at = at.expect("the request waits");
        assert_eq!(*position, self.position(at as u64 + 1));
        let silent_at = self.now.after(self.keep_alive(request).span());
        assert_eq!(waiters[at].silent_at, silent_at, "it was heard");
        self.check_next_change(request, position, silent_at);
    }

    /// Before the next change nothing stands otherwise, but for waiters that fall silent between
    /// the head and the request; at that instant the key changes by being looked at.
    fn check_next_change(&self, request: RequestId, told: &QueuePosition, silent_at: Timestamp) {
        let waiters: Vec<_> = self.state.waiters(self.now).collect();
        let next = told.next_change_at.unwrap_or(silent_at);
        assert!(next > self.now, "{told:?} is past at {:?}", self.now);
        let last = next.min(silent_at).since(self.now).as_micros() as u64;
        for micros in [0, 1, last / 2, last.saturating_sub(1)].into_iter().filter(|it| *it < last) {
            let now = self.now.after(Duration::from_micros(micros));
            let dropped = |ahead: u64| {
                let waiters = waiters.iter().take(ahead as usize);
                waiters.filter(|waiter| waiter.silent_at <= now).count() as u64
            };
            let mut step = Step::new(now, self.last_token, ChangeKinds::NONE);
            let hear = HearRequest::new(key(), request);
            let heard = self.state.clone().hear(&mut step, &hear);
            let Heard::Queued(later) = heard else { panic!("{heard:?} before {told:?} changes") };
            assert_eq!(later.position, told.position - dropped(told.position - 1));
            assert_eq!(later.waiting, told.waiting - dropped(told.waiting));
            assert_eq!((later.holders, &later.holder), (told.holders, &told.holder));
            assert_eq!(later.next_change_at, told.next_change_at);
        }
        if let Some(next) = told.next_change_at {
            let mut step = Step::new(next, self.last_token, ChangeKinds::ALL);
            self.state.clone().settle(&mut step);
            assert_ne!(step.effects.changes, [], "nothing changes at {next:?}");
        }
    }

    /// Hearing claims and keeps alive; it never joins.
    fn hear(&mut self, request: &HearRequest) {
        let seen = self.look();
        let reply = self.run(None, |state, step| state.hear(step, request));
        if let Some(lease) = seen.claimed(request.request, self.now) {
            self.unclaimed.remove(&lease.token);
            assert_eq!(reply, Heard::Granted(lease));
        } else if seen.waiter(request.request).is_some() {
            let Heard::Queued(position) = &reply else { panic!("{reply:?} to a waiter") };
            self.check_queued(request.request, position);
        } else {
            let end = self.marks.of(self.now, request.request);
            assert_eq!(reply, end.cloned().map_or(Heard::Absent, Heard::Ended));
            self.check_unchanged(&seen);
        }
        self.moves_to(request.request, request.mailbox);
    }

    fn renew(&mut self, request: &RenewRequest) {
        let seen = self.look();
        let reply = self.run(None, |state, step| state.renew(step, request));
        let name = &request.lease;
        if let Some(lease) = seen.named(name) {
            let expires_at = request.ttl.span().map(|span| self.now.after(span));
            assert_eq!(reply, Renewal::Renewed { expires_at });
            let mut expected = lease.clone().with_expires_at(expires_at);
            expected.ttl = request.ttl;
            assert_eq!(self.state.lease_of(name.request, self.now), Some(&expected));
            self.unclaimed.remove(&name.token);
            self.moves_to(name.request, request.mailbox);
        } else {
            assert_eq!(reply, self.end_of(name).map_or(Renewal::NotHeld, Renewal::Ended));
            self.check_unchanged(&seen);
        }
    }

    fn release(&mut self, name: LeaseName) {
        let seen = self.look();
        let is_held = seen.named(&name).is_some();
        let request = ReleaseRequest::new(name);
        let reply = self.run(None, |state, step| state.release(step, &request));
        let refused = || self.end_of(&request.lease).map_or(Release::NotHeld, Release::Ended);
        if is_held {
            assert_eq!(reply, Release::Released);
        } else {
            assert_eq!(reply, refused());
            self.check_unchanged(&seen);
        }
        let refused = refused();
        assert_eq!(self.run(None, |state, step| state.release(step, &request)), refused);
    }

    pub(crate) fn cancel(&mut self, request: RequestId, answer_outstanding: bool) {
        let seen = self.look();
        let held = seen.lease(request).map(|lease| lease.token);
        let expected = match seen.waiter(request) {
            Some(_) => Cancellation::Dequeued,
            None if held.is_some() => Cancellation::Released,
            None => Cancellation::Absent,
        };
        self.marks.settle(self.now);
        if answer_outstanding {
            self.marks.add(self.now, request, held, &End::Cancelled, Some(self.now));
        }
        let cancel = CancelRequest::new(key(), request).with_answer_outstanding(answer_outstanding);
        assert_eq!(self.run(None, |state, step| state.cancel(step, &cancel)), expected);
        assert_eq!(self.has(request), Has::Nothing);
    }

    fn transfer(&mut self, request: &TransferRequest) {
        let seen = self.look();
        let expected = self.expected_of_transfer(&seen, request);
        let reply = self.run(None, |state, step| state.transfer(step, request));
        assert_eq!(reply, expected, "{request:?} at {seen:?}");
        match reply {
            Transfer::Transferred(lease) => {
                let name = &request.lease;
                self.given.insert(lease.token, (name.request, name.token));
                let again = self.run(None, |state, step| state.transfer(step, request));
                assert_eq!(again, Transfer::Transferred(lease), "a repeated transfer");
            }
            _ => self.check_unchanged(&seen),
        }
    }

    fn expected_of_transfer(&self, seen: &Seen, request: &TransferRequest) -> Transfer {
        let receiver = request.to.request();
        let Some(from) = seen.named(&request.lease) else {
            let given_by = (request.lease.request, request.lease.token);
            let given = seen.lease(receiver);
            return match given.filter(|it| self.given.get(&it.token) == Some(&given_by)) {
                Some(lease) => Transfer::Transferred(lease.clone()),
                None => self.end_of(&request.lease).map_or(Transfer::NotHeld, Transfer::Ended),
            };
        };
        if seen.lease(receiver).is_some() {
            return Transfer::AlreadyHolds;
        }
        let token = FencingToken::following(seen.last_token, self.now);
        match (&request.to, seen.waiter(receiver)) {
            (to, Some(waiter)) if waiter.mode == from.mode && is_meant(to, &waiter.owner) => {
                let terms = self.terms(receiver);
                let end = self.now.after(window(terms));
                let lease = Lease::granted(terms, token, self.now);
                Transfer::Transferred(lease.with_expires_at(Some(end)))
            }
            (TransferTo::Owner { owner, request, metadata }, None)
                if self.marks.of(self.now, *request).is_none() =>
            {
                let terms = AcquireRequest::new(*request, key(), owner.clone())
                    .with_session(SessionId::from(*request))
                    .with_mode(from.mode)
                    .with_ttl(from.ttl)
                    .with_metadata(metadata.clone());
                Transfer::Transferred(Lease::granted(&terms, token, self.now))
            }
            _ => Transfer::NotWaiting,
        }
    }

    fn evict(&mut self, request: &EvictRequest) {
        use lock_core::EvictTarget::{AllLeases, Lease, Waiter};
        let seen = self.look();
        let expected = match request.target {
            AllLeases => Eviction::of_leases(seen.leases.clone(), false),
            Lease { request, token } => {
                let name = LeaseName::new(key(), request, token);
                Eviction::of_leases(seen.named(&name).cloned().into_iter().collect(), false)
            }
            Waiter(waiter) => {
                seen.waiter(waiter).cloned().map_or(Eviction::nothing(), Eviction::of_waiter)
            }
            other => panic!("an unknown target: {other:?}"),
        };
        let reply = self.run(None, |state, step| state.evict(step, request));
        assert_eq!(reply, expected);
        if reply.is_empty() {
            self.check_unchanged(&seen);
        }
    }

    /// Every page of the waiters together shows each once, in order.
    fn inspect(&mut self, limit: u32) {
        let seen = self.look();
        let limit = limit.try_into().expect("not zero");
        let mut query = InspectQuery::new(key()).with_limit(limit);
        let mut waiters = Vec::new();
        loop {
            let page = self.run(None, |state, step| state.inspect(step, &query));
            let page = page.expect("a cursor of the machine");
            assert_eq!(page.leases, seen.leases[..seen.leases.len().min(query.shown())]);
            let counts = (seen.leases.len() as u64, seen.waiters.len() as u64);
            assert_eq!((page.holders, page.waiting), counts);
            assert!(page.waiters.items.len() <= query.shown());
            waiters.extend(page.waiters.items);
            let Some(next) = page.waiters.next else { break };
            query = query.after(next);
        }
        assert_eq!(waiters, seen.waiters);
        for of in [WaitsOf::Owner(owner(0)), WaitsOf::Session(SessionId::from_bits(1))] {
            let (mut found, mut cursor) = (Vec::new(), None);
            loop {
                let page = self.run(None, |state, step| {
                    state.waits_of(step, &of, cursor.as_ref(), query.shown())
                });
                let page = page.expect("a cursor of the machine");
                assert!(page.items.len() <= query.shown());
                found.extend(page.items);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let is_meant = |waiter: &&lock_core::Waiter| of.matches(waiter);
            assert_eq!(found, seen.waiters.iter().filter(is_meant).cloned().collect::<Vec<_>>());
        }
        self.check_unchanged(&seen);
    }

    fn end_of(&self, name: &LeaseName) -> Option<End> {
        self.marks.of_lease(self.now, name).cloned()
    }

    /// Nothing but the settling happened.
    fn check_unchanged(&self, seen: &Seen) {
        assert_eq!(crate::stored::frozen(&self.state, self.now), seen.frozen);
    }
}

/// Returns `true` if a waiter is the receiver.
fn is_meant(to: &TransferTo, waiting: &OwnerId) -> bool {
    match to {
        TransferTo::Owner { owner, .. } => owner == waiting,
        _ => true,
    }
}
