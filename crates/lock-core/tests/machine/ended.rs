//! Marks: how long they last, how many there are, and what they refuse.

use std::time::Duration;

use lock_core::machine::{KeyState, MARK_LIMIT, MARK_MAX_SPAN, MARK_SPAN, SWEEP_LIMIT, Step};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, ChangeKinds, End, EvictRequest,
    HearRequest, Heard, KeepAlive, Lease, RequestId, Timestamp, Transfer, TransferRequest,
    TransferTo, Ttl,
};

use crate::action::{giver, key, owner, reason};

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const MICRO: Duration = Duration::from_micros(1);

fn id(number: usize) -> RequestId {
    RequestId::from_bits(number as u128)
}

fn member(number: usize) -> AcquireRequest {
    AcquireRequest::new(id(number), key(), owner(0))
}

fn at<R>(
    state: &mut KeyState,
    now: Timestamp,
    command: impl FnOnce(&mut KeyState, &mut Step) -> R,
) -> R {
    command(state, &mut Step::new(now, None, ChangeKinds::ALL))
}

fn granted(state: &mut KeyState, now: Timestamp, request: &AcquireRequest) -> Lease {
    match at(state, now, |state, step| state.acquire(step, request)) {
        Acquisition::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn heard(state: &KeyState, now: Timestamp, number: usize) -> Heard {
    let request = HearRequest::new(key(), id(number));
    at(&mut state.clone(), now, |state, step| state.hear(step, &request))
}

fn cancel_early(state: &mut KeyState, now: Timestamp, number: usize) -> Cancellation {
    let request = CancelRequest::new(key(), id(number)).with_answer_outstanding(true);
    at(state, now, |state, step| state.cancel(step, &request))
}

fn evicted() -> End {
    End::Evicted { by: giver(), reason: reason() }
}

/// The request is marked for exactly this long.
fn check_mark(state: &KeyState, number: usize, end: &End, span: Duration) {
    let last = heard(state, Timestamp::from_micros(START.after(span).as_micros() - 1), number);
    assert_eq!(last, Heard::Ended(end.clone()), "just before {span:?}");
    assert_eq!(heard(state, START.after(span), number), Heard::Absent, "after {span:?}");
    let mut state = state.clone();
    let reply =
        at(&mut state, START.after(span), |state, step| state.acquire(step, &member(number)));
    assert!(!matches!(reply, Acquisition::Ended(_)), "{reply:?}");
}

#[test]
fn limits_are_as_documented() {
    assert_eq!(MARK_SPAN, Duration::from_secs(300));
    assert_eq!(MARK_MAX_SPAN, Duration::from_secs(3600));
    assert_eq!(MARK_LIMIT, 1024);
}

#[test]
fn mark_of_a_lease_lasts_as_long_as_the_lease_would_have() {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    for (ttl, span) in [
        (Ttl::parse(minutes(1)).expect("valid"), minutes(5)),
        (Ttl::parse(minutes(5) + MICRO).expect("valid"), minutes(5) + 1000 * MICRO),
        (Ttl::parse(minutes(20)).expect("valid"), minutes(20)),
        (Ttl::parse(minutes(61)).expect("valid"), minutes(60)),
        (Ttl::Never, minutes(60)),
    ] {
        let mut state = KeyState::default();
        let _ = granted(&mut state, START, &member(1).with_ttl(ttl));
        let evict = EvictRequest::all(key(), giver(), reason());
        let reply = at(&mut state, START, |state, step| state.evict(step, &evict));
        assert_eq!(reply.leases.len(), 1);
        check_mark(&state, 1, &evicted(), span);
    }
}

#[test]
fn mark_of_a_waiter_lasts_as_long_as_its_place_would_have() {
    for (seconds, span) in [(10, 300), (600, 600), (7200, 3600)] {
        let mut state = KeyState::default();
        let _ = granted(&mut state, START, &member(1).with_ttl(Ttl::Never));
        let keep_alive = KeepAlive::parse(Duration::from_secs(seconds)).expect("valid");
        let waiter = member(2).queueing(keep_alive);
        let reply = at(&mut state, START, |state, step| state.acquire(step, &waiter));
        assert!(matches!(reply, Acquisition::Queued(_)));
        let evict = EvictRequest::waiter(key(), id(2), giver(), reason());
        let reply = at(&mut state, START, |state, step| state.evict(step, &evict));
        assert_eq!(reply.waiter.map(|waiter| waiter.request), Some(id(2)));
        check_mark(&state, 2, &evicted(), Duration::from_secs(span));
    }
}

#[test]
fn mark_of_a_cancel_lasts_five_minutes() {
    let mut state = KeyState::default();
    assert_eq!(cancel_early(&mut state, START, 1), Cancellation::Absent);
    check_mark(&state, 1, &End::Cancelled, MARK_SPAN);
    let mut state = KeyState::default();
    let _ = granted(&mut state, START, &member(1).with_ttl(Ttl::Never));
    assert_eq!(cancel_early(&mut state, START, 1), Cancellation::Released);
    check_mark(&state, 1, &End::Cancelled, MARK_SPAN);
}

#[test]
fn giver_of_a_transfer_is_marked() {
    let mut state = KeyState::default();
    let lease = granted(&mut state, START, &member(1));
    let to = TransferTo::Owner { owner: owner(1), request: id(2), metadata: Default::default() };
    let transfer = TransferRequest::new(lease.name(), giver(), to);
    let _ = at(&mut state, START, |state, step| state.transfer(step, &transfer));
    check_mark(&state, 1, &End::Transferred { by: giver(), to: owner(1) }, MARK_SPAN);
}

/// A request that was ended, by force or by a cancel, is handed nothing while its mark lasts.
#[test]
fn marked_request_is_handed_nothing() {
    let mut state = KeyState::default();
    let _ = granted(&mut state, START, &member(1));
    let evict = EvictRequest::all(key(), giver(), reason());
    let _ = at(&mut state, START, |state, step| state.evict(step, &evict));
    let _ = cancel_early(&mut state, START, 2);
    let held = granted(&mut state, START, &member(3).with_ttl(Ttl::Never));
    let hand = |state: &mut KeyState, now, receiver| {
        let (owner, request) = (owner(0), id(receiver));
        let to = TransferTo::Owner { owner, request, metadata: Default::default() };
        let transfer = TransferRequest::new(held.name(), giver(), to);
        at(state, now, |state, step| state.transfer(step, &transfer))
    };
    let last = Timestamp::from_micros(START.after(MARK_SPAN).as_micros() - 1);
    for receiver in [1, 2] {
        assert_eq!(hand(&mut state, last, receiver), Transfer::NotWaiting);
        assert_eq!(state.leases(last).collect::<Vec<_>>(), [&held]);
        let reply = hand(&mut state.clone(), START.after(MARK_SPAN), receiver);
        assert!(matches!(reply, Transfer::Transferred(_)), "{reply:?}");
    }
}

/// Of two ends the first is reported, for as long as the longer of both.
#[test]
fn second_end_lengthens_the_mark_and_leaves_the_first() {
    let mut state = KeyState::default();
    let _ = granted(&mut state, START, &member(1));
    let evict = EvictRequest::all(key(), giver(), reason());
    let _ = at(&mut state, START, |state, step| state.evict(step, &evict));
    let later = START.after(Duration::from_secs(60));
    assert_eq!(cancel_early(&mut state, later, 1), Cancellation::Absent);
    check_mark(&state, 1, &evicted(), MARK_SPAN + Duration::from_secs(60));
    // An expired mark has no effect any more.
    let later = START.after(MARK_SPAN + Duration::from_secs(60));
    let _ = cancel_early(&mut state, later, 1);
    assert_eq!(heard(&state, later, 1), Heard::Ended(End::Cancelled));
}

/// The first to end goes first, and each of the others stays.
#[test]
fn marks_beyond_the_limit_drop_the_first_to_end() {
    let mut state = KeyState::default();
    let now = |number: usize| START.after(MICRO * (10_000 - number as u32));
    for number in 0..MARK_LIMIT {
        let _ = cancel_early(&mut state, now(number), number);
    }
    let last = START.after(MICRO * 20_000);
    let ended = Heard::Ended(End::Cancelled);
    for number in 0..MARK_LIMIT {
        assert_eq!(heard(&state, last, number), ended, "all {MARK_LIMIT} are kept");
    }
    let _ = cancel_early(&mut state, last, 5_000);
    assert_eq!(heard(&state, last, 5_000), ended);
    assert_eq!(heard(&state, last, MARK_LIMIT - 1), Heard::Absent, "the first to end");
    assert_eq!(heard(&state, last, MARK_LIMIT - 2), ended);
    // One that is there already needs no room.
    let _ = cancel_early(&mut state, last, 5_000);
    assert_eq!(heard(&state, last, MARK_LIMIT - 2), ended);
}

/// Marks that are over are dropped a bounded number a step, and count nowhere meanwhile.
#[test]
fn over_marks_are_dropped_in_bounded_steps() {
    let mut state = KeyState::default();
    let marks = 3 * SWEEP_LIMIT;
    for number in 0..marks {
        let _ = cancel_early(&mut state, START, number);
    }
    let later = START.after(MARK_SPAN);
    assert_eq!(heard(&state, later, marks - 1), Heard::Absent);
    for step_number in 1..=3 {
        assert!(!state.is_idle(), "before step {step_number}");
        let mut step = Step::new(later, None, ChangeKinds::ALL);
        state.settle(&mut step);
        assert!(step.is_spent());
    }
    assert!(state.is_idle());
    // A step that drops fewer than it may is not spent.
    let _ = cancel_early(&mut state, START, 1);
    let mut step = Step::new(later, None, ChangeKinds::ALL);
    state.settle(&mut step);
    assert!(state.is_idle() && !step.is_spent());
    // An undropped mark that is over gives way to the next of the same request.
    for number in 0..marks {
        let _ = cancel_early(&mut state, START, number);
    }
    let last = marks - 1;
    let mut step = Step::new(later, None, ChangeKinds::ALL);
    let _ = granted_in(&mut state, &mut step, last);
    let evict = EvictRequest::all(key(), giver(), reason());
    let _ = state.evict(&mut step, &evict);
    assert_eq!(heard(&state, later, last), Heard::Ended(evicted()));
}

fn granted_in(state: &mut KeyState, step: &mut Step, number: usize) -> Lease {
    match state.acquire(step, &member(number)) {
        Acquisition::Granted(lease) => lease,
        other => panic!("{other:?}"),
    }
}
