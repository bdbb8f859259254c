//! Crowds: what one command does for others is bounded, and what is over counts nowhere.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::machine::{EVICT_LIMIT, KeyState, SWEEP_LIMIT, Step};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Change, ChangeKinds, Cursor,
    EvictRequest, FencingToken, HeadStart, HearRequest, Heard, InspectQuery, KeepAlive, Lease,
    LeaseName, MailboxId, Mode, Notice, QueuePosition, Release, ReleaseRequest, RenewRequest,
    Renewal, RequestId, Timestamp, Transfer, TransferRequest, TransferTo, Ttl, WaitsOf,
};

use crate::action::{giver, key, owner, reason};

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const MAILBOX: MailboxId = MailboxId::from_bits(9);

/// A key with the time and the last token.
struct Crowd {
    state: KeyState,
    now: Timestamp,
    last_token: Option<FencingToken>,
}

impl Crowd {
    fn new() -> Self {
        Self { state: KeyState::default(), now: START, last_token: None }
    }

    fn step(&self) -> Step {
        Step::new(self.now, self.last_token, ChangeKinds::ALL)
    }

    fn run<R>(&mut self, command: impl FnOnce(&mut KeyState, &mut Step) -> R) -> (R, Step) {
        let mut step = self.step();
        let reply = command(&mut self.state, &mut step);
        self.last_token = step.last_token;
        (reply, step)
    }

    fn acquire(&mut self, request: &AcquireRequest) -> Acquisition {
        self.run(|state, step| state.acquire(step, request)).0
    }

    fn hear(&mut self, number: usize) -> (Heard, Step) {
        let request = HearRequest::new(key(), id(number));
        self.run(|state, step| state.hear(step, &request))
    }

    fn release(&mut self, lease: LeaseName) -> (Release, Step) {
        self.run(|state, step| state.release(step, &ReleaseRequest::new(lease)))
    }

    fn elapse(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }

    /// The lease of a holder that never ends, and so many waiters behind it.
    fn held(waiters: usize, terms: impl Fn(AcquireRequest) -> AcquireRequest) -> (Self, LeaseName) {
        let mut crowd = Self::new();
        let lease = granted(crowd.acquire(&member(0).with_ttl(Ttl::Never))).name();
        for number in 1..=waiters {
            let request = terms(member(number).queueing(keep_alive(10)));
            assert!(matches!(crowd.acquire(&request), Acquisition::Queued(_)));
        }
        (crowd, lease)
    }

    /// So many readers, whose leases last a second each.
    fn readers(count: usize) -> (Self, Vec<LeaseName>) {
        let mut crowd = Self::new();
        let leases = (0..count).map(|number| {
            let request = member(number).with_mode(Mode::READER).with_ttl(ttl(1));
            granted(crowd.acquire(&request)).name()
        });
        let leases = leases.collect();
        (crowd, leases)
    }
}

fn id(number: usize) -> RequestId {
    RequestId::from_bits(number as u128 + 100)
}

fn member(number: usize) -> AcquireRequest {
    AcquireRequest::new(id(number), key(), owner(0)).with_mailbox(MAILBOX)
}

fn keep_alive(seconds: u64) -> KeepAlive {
    KeepAlive::parse(Duration::from_secs(seconds)).expect("a valid keep-alive")
}

fn ttl(seconds: u64) -> Ttl {
    Ttl::parse(Duration::from_secs(seconds)).expect("a valid ttl")
}

fn granted(reply: Acquisition) -> Lease {
    let Acquisition::Granted(lease) = reply else { panic!("{reply:?}") };
    lease
}

fn grants(step: &Step) -> usize {
    let is_grant = |change: &&Change| matches!(change, Change::Granted(_));
    step.effects.changes.iter().filter(is_grant).count()
}

/// The waiters notified of their grant, and those notified to ask.
fn told(step: &Step) -> (Vec<RequestId>, Vec<RequestId>) {
    let (mut granted, mut asked) = (Vec::new(), Vec::new());
    for (mailbox, notice) in &step.effects.notices {
        assert_eq!(*mailbox, MAILBOX);
        match notice {
            Notice::Granted(grant) => granted.push(grant.request),
            Notice::Ask { key: of, request } => {
                assert_eq!(*of, key());
                asked.push(*request);
            }
            other => panic!("{other:?}"),
        }
    }
    (granted, asked)
}

fn ids(numbers: std::ops::Range<usize>) -> Vec<RequestId> {
    numbers.map(id).collect()
}

#[test]
fn dead_heads_are_swept_in_bounded_steps() {
    let dead = 10 * SWEEP_LIMIT;
    let (mut crowd, lease) = Crowd::held(dead, |request| request);
    crowd.elapse(10);
    let mut commands = 0;
    while crowd.state.has_waiters() {
        let (released, step) = crowd.release(lease.clone());
        assert_eq!(released == Release::Released, commands == 0);
        let expected = SWEEP_LIMIT + usize::from(commands == 0);
        assert_eq!(step.effects.changes.len(), expected, "a command did not do its share");
        assert!(step.is_spent());
        assert_eq!(told(&step), (vec![], vec![]), "the dead are told nothing");
        commands += 1;
    }
    assert_eq!(commands, dead / SWEEP_LIMIT);
    assert!(crowd.state.is_idle());
}

/// The dead that no command has dropped yet are neither shown nor given anything.
#[test]
fn dead_waiters_beyond_a_sweep_get_nothing() {
    let dead = 10 * SWEEP_LIMIT;
    let (mut crowd, lease) = Crowd::held(dead, |request| request);
    crowd.elapse(10);
    let query = InspectQuery::new(key());
    let (seen, _) = crowd.run(|state, step| state.inspect(step, &query));
    let seen = seen.expect("no cursor");
    assert_eq!((seen.waiters.items.len(), seen.waiting), (0, (dead - SWEEP_LIMIT) as u64));
    assert_eq!(seen.waiters.next, None);
    let transfer = TransferRequest::new(lease, giver(), TransferTo::Waiter(id(dead)));
    let (reply, _) = crowd.run(|state, step| state.transfer(step, &transfer));
    assert_eq!(reply, Transfer::NotWaiting);
    assert_eq!(crowd.hear(dead - 1).0, Heard::Absent);
    let cancel = CancelRequest::new(key(), id(dead - 2));
    let (reply, step) = crowd.run(|state, step| state.cancel(step, &cancel));
    assert_eq!(reply, Cancellation::Absent);
    let lapsed = |change: &Change| matches!(change, Change::Lapsed(_));
    assert!(step.effects.changes.iter().all(lapsed), "a dead waiter cannot cancel");
    let evict = EvictRequest::waiter(key(), id(dead - 3), giver(), reason());
    let (reply, step) = crowd.run(|state, step| state.evict(step, &evict));
    assert!(reply.is_empty());
    assert_eq!(told(&step), (vec![], vec![]));
}

/// A transfer that names an owner reaches a waiter of this owner, and none of another.
#[test]
fn transfer_to_an_owner_reaches_its_own_waiter_only() {
    let (mut crowd, lease) = Crowd::held(1, |request| request);
    for (number, expected) in [(1, None), (0, Some(id(1)))] {
        let (owner, metadata) = (owner(number), Default::default());
        let to = TransferTo::Owner { owner, request: id(1), metadata };
        let transfer = TransferRequest::new(lease.clone(), giver(), to);
        let (reply, _) = crowd.run(|state, step| state.transfer(step, &transfer));
        let receiver = match reply {
            Transfer::Transferred(lease) => Some(lease.request),
            Transfer::NotWaiting => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(receiver, expected);
    }
}

/// A silent head is dropped first, then the longest silent.
#[test]
fn longest_silent_waiters_are_dropped_first() {
    let patience = |request: AcquireRequest| {
        let number = request.id.to_bits() - id(0).to_bits();
        request.queueing(keep_alive(if number.is_multiple_of(2) { 11 } else { 10 }))
    };
    let dropped = |step: &Step| {
        let lapsed = |change: &Change| match change {
            Change::Lapsed(waiter) => waiter.request,
            other => panic!("{other:?}"),
        };
        step.effects.changes.iter().map(lapsed).collect::<Vec<_>>()
    };
    let (mut crowd, _) = Crowd::held(100, patience);
    crowd.elapse(20);
    let (_, step) = crowd.hear(0);
    assert_eq!(dropped(&step), ids(1..65), "one head after the other");
    let (mut crowd, _) = Crowd::held(100, patience);
    crowd.elapse(5);
    assert!(matches!(crowd.hear(1).0, Heard::Queued(_)), "the head alone is alive later on");
    crowd.elapse(7);
    let (_, step) = crowd.hear(0);
    let odd = (3..101).step_by(2);
    let expected: Vec<_> = odd.chain((2..101).step_by(2)).take(SWEEP_LIMIT).map(id).collect();
    assert_eq!(dropped(&step), expected);
    assert_eq!(crowd.state.waiters(crowd.now).count(), 1);
}

/// While dead heads are left, a position says that the next look may change it.
#[test]
fn dead_heads_make_the_present_the_next_change() {
    let (mut crowd, _) = Crowd::held(100, |request| request);
    crowd.elapse(10);
    let late = member(200).queueing(keep_alive(10));
    let Acquisition::Queued(position) = crowd.acquire(&late) else { panic!("a place") };
    assert_eq!((position.position, position.waiting), (37, 37));
    assert_eq!(position.next_change_at, Some(crowd.now));
    let Heard::Queued(position) = crowd.hear(200).0 else { panic!("a place") };
    assert_eq!((position.position, position.waiting, position.next_change_at), (1, 1, None));
}

#[test]
fn leases_that_are_over_count_nowhere() {
    let over = 5 * SWEEP_LIMIT;
    let readers = || {
        let (mut crowd, leases) = Crowd::readers(over);
        crowd.elapse(1);
        (crowd, leases)
    };
    let (mut crowd, leases) = readers();
    let last = leases[over - 1].clone();
    assert_eq!(crowd.state.leases(crowd.now).count(), 0);
    assert_eq!(crowd.state.lease_of(last.request, crowd.now), None);
    assert_eq!(crowd.release(last.clone()).0, Release::NotHeld);
    let renew = RenewRequest::new(last.clone(), Ttl::Never);
    assert_eq!(crowd.run(|state, step| state.renew(step, &renew)).0, Renewal::NotHeld);
    let to = TransferTo::Waiter(id(1));
    let transfer = TransferRequest::new(last, giver(), to);
    assert_eq!(crowd.run(|state, step| state.transfer(step, &transfer)).0, Transfer::NotHeld);
    let (mut crowd, _) = readers();
    assert_eq!(crowd.hear(over - 1).0, Heard::Absent);
    let cancel = CancelRequest::new(key(), id(over - 2));
    let (reply, step) = crowd.run(|state, step| state.cancel(step, &cancel));
    assert_eq!(reply, Cancellation::Absent);
    let expired = |change: &Change| matches!(change, Change::Expired(_));
    assert!(step.effects.changes.iter().all(expired), "a lease that is over is not released");
    let (mut crowd, leases) = readers();
    let last = leases[over - 1].clone();
    for (evict, ended) in [
        (EvictRequest::all(key(), giver(), reason()), over),
        (EvictRequest::lease(last, giver(), reason()), 0),
    ] {
        let (reply, step) = crowd.run(|state, step| state.evict(step, &evict));
        assert!(reply.is_empty() && !reply.more);
        assert_eq!(step.effects.changes.len(), ended, "all end in one step");
        assert!(step.effects.notices.is_empty());
    }
    let query = InspectQuery::new(key());
    let (seen, _) = crowd.run(|state, step| state.inspect(step, &query));
    let seen = seen.expect("no cursor");
    assert_eq!((seen.holders, seen.leases), (0, vec![]));
    let lease = granted(crowd.acquire(&member(1000)));
    assert_eq!(lease.mode, Mode::Exclusive, "the key is free");
}

/// A clock that jumps back revives no lease beside one of another mode.
#[test]
fn leases_that_were_over_stay_over_when_the_clock_jumps_back() {
    let (mut crowd, _) = Crowd::readers(5 * SWEEP_LIMIT);
    crowd.elapse(1);
    let lease = granted(crowd.acquire(&member(1000)));
    crowd.now = Timestamp::from_micros(crowd.now.as_micros() - 1_000_000);
    let alive: Vec<_> = crowd.state.leases(crowd.now).map(|lease| lease.request).collect();
    assert_eq!(alive, [lease.request]);
}

/// Dead waiters that a step leaves are dropped by a living one, which is notified to ask.
#[test]
fn living_waiter_behind_many_dead_is_notified_to_ask() {
    let (mut crowd, lease) = Crowd::held(100, |request| request);
    crowd.elapse(5);
    let late = member(200).queueing(keep_alive(10)).with_mailbox(MAILBOX);
    assert!(matches!(crowd.acquire(&late), Acquisition::Queued(_)));
    crowd.elapse(5);
    let (released, step) = crowd.release(lease);
    assert_eq!((released, told(&step)), (Release::Released, (vec![], vec![id(200)])));
    assert!(matches!(crowd.hear(200).0, Heard::Granted(_)));
}

/// Permits of leases that are over are free at once.
#[test]
fn over_leases_hold_no_permits() {
    let permits = 2 * SWEEP_LIMIT;
    let mode = Mode::Shared { limit: NonZeroU32::new(permits as u32) };
    let mut crowd = Crowd::new();
    for number in 0..permits {
        granted(crowd.acquire(&member(number).with_mode(mode).with_ttl(ttl(1))));
    }
    crowd.elapse(1);
    let again = granted(crowd.acquire(&member(permits - 1).with_mode(mode).with_ttl(ttl(30))));
    assert_eq!(again.granted_at, crowd.now, "the lease that is over is no lease");
    let (_, step) = crowd.hear(permits - 1);
    let expired = |change: &Change| match change {
        Change::Expired(lease) => lease.request != id(permits - 1),
        _ => false,
    };
    assert!(step.effects.changes.iter().all(expired));
    assert_eq!(crowd.state.leases(crowd.now).collect::<Vec<_>>(), [&again]);
    for number in 200..200 + permits - 1 {
        granted(crowd.acquire(&member(number).with_mode(mode).with_ttl(ttl(30))));
    }
    assert!(matches!(crowd.acquire(&member(999).with_mode(mode)), Acquisition::Held(_)));
}

/// A command grants a bounded number; the next head is notified to ask, and its hear continues.
#[test]
fn grants_are_bounded_and_the_next_head_is_notified_to_ask() {
    let readers = 2 * SWEEP_LIMIT + 10;
    let (mut crowd, lease) = Crowd::held(readers, |request| request.with_mode(Mode::READER));
    let (released, step) = crowd.release(lease);
    assert_eq!(released, Release::Released);
    assert_eq!(told(&step), (ids(1..65), vec![id(65)]));
    assert_eq!(grants(&step), SWEEP_LIMIT);
    assert!(step.is_spent());
    let Heard::Granted(_) = crowd.hear(64).0 else { panic!("the 64th is granted") };
    // That hearing granted the next: the 65th only claims.
    assert_eq!(crowd.state.leases(crowd.now).count(), 2 * SWEEP_LIMIT);
    let (heard, step) = crowd.hear(65);
    assert!(matches!(heard, Heard::Granted(_)));
    assert_eq!(told(&step), (ids(129..139), vec![]));
    assert!(!step.is_spent());
    assert_eq!(crowd.state.leases(crowd.now).count(), readers);
    assert!(!crowd.state.has_waiters());
}

/// The position of a head that fits and waits for the next step may change at the present time.
#[test]
fn head_that_fits_is_answered_to_ask_again_immediately() {
    let readers = SWEEP_LIMIT + 2;
    let (mut crowd, lease) = Crowd::held(readers, |request| request.with_mode(Mode::READER));
    let mut step = crowd.step();
    let released = crowd.state.release(&mut step, &ReleaseRequest::new(lease));
    assert_eq!(released, Release::Released);
    let late = member(500).with_mode(Mode::READER).queueing(keep_alive(10));
    let Acquisition::Queued(position) = crowd.state.acquire(&mut step, &late) else {
        panic!("a place behind the readers that were not granted yet")
    };
    let expected = QueuePosition::new(3, 3);
    assert_eq!((position.position, position.waiting), (expected.position, expected.waiting));
    assert_eq!(position.next_change_at, Some(crowd.now));
    assert_eq!(position.holders, SWEEP_LIMIT as u64);
}

/// Commands that share a step share its bounds, also on several keys.
#[test]
fn commands_that_share_a_step_share_its_bounds() {
    let readers = SWEEP_LIMIT - 4;
    let of_one = |request: AcquireRequest| request.with_mode(Mode::READER);
    let (mut one, first) = Crowd::held(readers, of_one);
    let (mut other, second) = Crowd::held(readers, of_one);
    let mut step = one.step();
    let reply = one.state.release(&mut step, &ReleaseRequest::new(first));
    assert_eq!((reply, grants(&step)), (Release::Released, readers));
    assert!(!step.is_spent());
    let reply = other.state.release(&mut step, &ReleaseRequest::new(second));
    assert_eq!((reply, grants(&step)), (Release::Released, SWEEP_LIMIT));
    assert!(step.is_spent());
    assert_eq!(told(&step).1, [id(5)], "the head of the other key");
}

/// Unwanted changes are not recorded, and notices are sent all the same.
#[test]
fn changes_are_recorded_only_when_wanted() {
    let (mut crowd, lease) = Crowd::held(1, |request| request);
    let mut step = Step::new(crowd.now, crowd.last_token, ChangeKinds::NONE);
    let _ = crowd.state.release(&mut step, &ReleaseRequest::new(lease));
    assert_eq!(step.effects.changes, []);
    assert_eq!(told(&step), (vec![id(1)], vec![]));
}

#[test]
fn eviction_of_all_ends_a_bounded_number_and_says_whether_more_are_left() {
    let (mut crowd, leases) = Crowd::readers(2 * EVICT_LIMIT);
    let waiter = member(900).queueing(keep_alive(10));
    assert!(matches!(crowd.acquire(&waiter), Acquisition::Queued(_)));
    let evict = EvictRequest::all(key(), giver(), reason());
    let mut evict = || crowd.run(|state, step| state.evict(step, &evict));
    let (first, step) = evict();
    assert!(first.more);
    assert_eq!(step.effects.notices.len(), EVICT_LIMIT, "each is told");
    assert_eq!(grants(&step), 0);
    let (second, step) = evict();
    assert!(!second.more, "exactly as many as fit");
    assert_eq!(grants(&step), 1, "the key goes on when the last is gone");
    let evicted: Vec<_> =
        first.leases.iter().chain(&second.leases).map(|lease| lease.name()).collect();
    assert_eq!(evicted, leases, "the first to end first");
    assert_eq!(evict().0.leases.len(), 1, "the waiter's own");
    assert!(evict().0.is_empty());
}

/// A newcomer joins a queue only while it is shorter than it allows, itself included.
#[test]
fn queue_limit_counts_the_newcomer() {
    let (mut crowd, _) = Crowd::held(2, |request| request);
    let limited = |number, limit| {
        member(number).with_on_held(lock_core::OnHeld::Queue {
            keep_alive: keep_alive(10),
            queue_limit: NonZeroU32::new(limit),
        })
    };
    let Acquisition::QueueFull(position) = crowd.acquire(&limited(10, 2)) else { panic!("full") };
    assert_eq!((position.position, position.waiting), (3, 2));
    assert!(matches!(crowd.acquire(&limited(10, 3)), Acquisition::Queued(_)));
}

#[test]
fn inspection_is_paged_past_waiters_that_left() {
    let (mut crowd, lease) = Crowd::held(5, |request| match request.id == id(3) {
        // The ranks of some are below zero.
        true => request.with_head_start(HeadStart::parse(HeadStart::MAX).expect("the longest")),
        false => request,
    });
    crowd.elapse(1);
    let mut query = InspectQuery::new(key()).with_limit(NonZeroU32::MIN);
    let mut shown = Vec::new();
    for number in [3, 1, 2, 4, 5] {
        let (page, _) = crowd.run(|state, step| state.inspect(step, &query));
        let page = page.expect("a cursor of the machine");
        shown.extend(page.waiters.items.iter().map(|waiter| waiter.request));
        // The last one shown goes, and the next page begins behind it all the same.
        let cancel = CancelRequest::new(key(), id(number));
        assert_eq!(crowd.run(|state, step| state.cancel(step, &cancel)).0, Cancellation::Dequeued);
        match page.waiters.next {
            Some(next) => query = query.clone().after(next),
            None => assert_eq!(number, 5),
        }
    }
    assert_eq!(shown, [3, 1, 2, 4, 5].map(id));
    assert_eq!(crowd.release(lease).0, Release::Released);
}

/// People who debug see the waiters in their order.
#[test]
fn debug_output_shows_the_queue_in_order() {
    let (crowd, _) = Crowd::held(3, |request| match request.id == id(2) {
        true => request.with_head_start(HeadStart::parse(HeadStart::MAX).expect("the longest")),
        false => request,
    });
    let text = format!("{:?}", crowd.state);
    let at = |number| text.find(&format!("AcquireRequest {{ id: {}", id(number)));
    assert!(at(2).is_some() && at(2) < at(1) && at(1) < at(3), "{text}");
}

#[test]
fn foreign_cursors_are_refused() {
    let (mut crowd, _) = Crowd::held(1, |request| request);
    for text in ["", "1", "1.2", "x.1.00000000000000000000000000000001", "1.1.1", "1.x.1"] {
        let query = InspectQuery::new(key()).after(Cursor::new(text.to_owned()));
        let (refused, _) = crowd.run(|state, step| state.inspect(step, &query));
        assert_eq!(refused.expect_err("no cursor of ours").field(), "cursor");
        let of = WaitsOf::Owner(owner(0));
        let cursor = query.cursor.as_ref();
        let (refused, _) = crowd.run(|state, step| state.waits_of(step, &of, cursor, 10));
        assert_eq!(refused.expect_err("no cursor of ours").field(), "cursor");
    }
}

/// The leases that share a key stand in the order of their tokens, whatever ends and is renewed.
#[test]
fn leases_are_walked_in_the_order_of_their_tokens() {
    let tokens = |crowd: &Crowd, after| {
        let leases = crowd.state.leases_after(after, crowd.now);
        leases.map(|lease| lease.token).collect::<Vec<_>>()
    };
    let (mut crowd, leases) = Crowd::readers(5);
    let all: Vec<_> = leases.iter().map(|lease| lease.token).collect();
    assert_eq!(tokens(&crowd, None), all);
    for (at, token) in all.iter().enumerate() {
        assert_eq!(tokens(&crowd, Some(*token)), all[at + 1..]);
    }
    let renew = RenewRequest::new(leases[3].clone(), ttl(100));
    let _ = crowd.run(|state, step| state.renew(step, &renew));
    assert_eq!(crowd.release(leases[1].clone()).0, Release::Released);
    assert_eq!(tokens(&crowd, None), [all[0], all[2], all[3], all[4]]);
    assert_eq!(tokens(&crowd, Some(all[1])), all[2..], "behind one that is gone");
    let again = granted(crowd.acquire(&member(1).with_mode(Mode::READER).with_ttl(ttl(100))));
    assert_eq!(tokens(&crowd, Some(all[3])), [all[4], again.token]);
    crowd.elapse(1);
    assert_eq!(tokens(&crowd, None), [all[3], again.token], "what is over is not there");
    for lease in [again.name(), leases[3].clone()] {
        assert_eq!(crowd.release(lease).0, Release::Released);
    }
    assert!(crowd.state.is_idle());
    // One that is alone is in no order, and the next beside it brings it into one.
    for count in 1..=2 {
        let (crowd, leases) = Crowd::readers(count);
        let (first, last) = (leases[0].token, leases[count - 1].token);
        assert_eq!(tokens(&crowd, None).len(), count);
        assert_eq!(tokens(&crowd, FencingToken::new(first.get() - 1)).len(), count);
        assert_eq!(tokens(&crowd, Some(first)).len(), count - 1);
        assert_eq!(tokens(&crowd, Some(last)), []);
    }
}

/// One page looks at no more than a thousand waiters, so it may be empty while it names a next.
#[test]
fn pages_of_waits_look_at_a_bounded_number() {
    let waiters = 1_000 + 1;
    let (mut crowd, _) = Crowd::held(waiters, |mut request| {
        if request.id == id(waiters) {
            request.owner = owner(1);
        }
        request
    });
    let of = WaitsOf::Owner(owner(1));
    let (page, _) = crowd.run(|state, step| state.waits_of(step, &of, None, 10));
    let page = page.expect("no cursor");
    assert_eq!(page.items, []);
    let next = page.next.expect("the last waiter was not looked at");
    let (page, _) = crowd.run(|state, step| state.waits_of(step, &of, Some(&next), 10));
    let page = page.expect("a cursor of the machine");
    assert_eq!((page.items.len(), page.next), (1, None));
    assert_eq!(page.items[0].request, id(waiters));
}
