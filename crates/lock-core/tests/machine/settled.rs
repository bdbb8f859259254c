//! Information in a state for stores that settle idle keys.

use std::time::Duration;

use lock_core::machine::{KeyState, MARK_SPAN, Step};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, ChangeKinds, HearRequest, Heard,
    KeepAlive, Mode, RequestId, Timestamp, Ttl,
};

use crate::action::{key, owner};

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const SECOND: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(10);

fn at<R>(
    state: &mut KeyState,
    now: Timestamp,
    command: impl FnOnce(&mut KeyState, &mut Step) -> R,
) -> R {
    command(state, &mut Step::new(now, None, ChangeKinds::ALL))
}

fn id(number: u128) -> RequestId {
    RequestId::from_bits(number)
}

fn reader(number: u128) -> AcquireRequest {
    let ttl = Ttl::parse(SECOND).expect("a valid ttl");
    AcquireRequest::new(id(number), key(), owner(0)).with_mode(Mode::READER).with_ttl(ttl)
}

/// So many readers, whose leases last a second.
fn readers(count: u128) -> KeyState {
    let mut state = KeyState::default();
    for number in 0..count {
        let reply = at(&mut state, START, |state, step| state.acquire(step, &reader(number)));
        assert!(matches!(reply, Acquisition::Granted(_)));
    }
    state
}

fn wait(state: &mut KeyState, now: Timestamp, number: u128) {
    let keep_alive = KeepAlive::parse(KEEP_ALIVE).expect("a valid keep-alive");
    let writer = AcquireRequest::new(id(number), key(), owner(0)).queueing(keep_alive);
    let reply = at(state, now, |state, step| state.acquire(step, &writer));
    assert!(matches!(reply, Acquisition::Queued(_)));
}

fn cancel(state: &mut KeyState, number: u128, answer_outstanding: bool) -> Cancellation {
    let request = CancelRequest::new(key(), id(number));
    let request = request.with_answer_outstanding(answer_outstanding);
    at(state, START, |state, step| state.cancel(step, &request))
}

fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.as_micros() - 1)
}

#[test]
fn leases_are_settled_until_the_first_ends() {
    assert!(KeyState::default().is_settled(START));
    for count in [1, 3] {
        let mut state = readers(count);
        let end = START.after(SECOND);
        assert!(state.is_settled(just_before(end)));
        assert!(!state.is_settled(end));
        at(&mut state, end, KeyState::settle);
        assert!(state.is_settled(end) && state.is_idle());
    }
}

#[test]
fn waiters_and_marks_are_never_settled() {
    let mut state = readers(1);
    wait(&mut state, START, 1);
    assert!(!state.is_settled(START));
    assert_eq!(cancel(&mut state, 1, false), Cancellation::Dequeued);
    assert!(state.is_settled(START));
    assert_eq!(cancel(&mut state, 1, true), Cancellation::Absent);
    assert!(!state.is_settled(START), "a mark");
    assert_eq!(cancel(&mut state, 0, false), Cancellation::Released);
    assert!(!state.is_settled(START), "nothing but a mark");
    at(&mut state, START.after(MARK_SPAN), KeyState::settle);
    assert!(state.is_settled(START));
}

/// A queue is abandoned when the waiter that lives longest has been dead for so long.
#[test]
fn queue_is_abandoned_when_all_have_been_dead_for_long() {
    let span = Duration::from_secs(100);
    assert!(readers(1).is_abandoned(START, span), "nobody waits");
    let mut state = readers(1);
    for number in [1, 2] {
        wait(&mut state, START, number);
    }
    let heard_at = START.after(SECOND / 2);
    let hear = HearRequest::new(key(), id(2));
    let heard = at(&mut state, heard_at, |state, step| state.hear(step, &hear));
    assert!(matches!(heard, Heard::Queued(_)));
    let end = heard_at.after(KEEP_ALIVE).after(span);
    for early in [START, heard_at, START.after(KEEP_ALIVE).after(span), just_before(end)] {
        assert!(!state.is_abandoned(early, span), "at {early:?}");
    }
    assert!(state.is_abandoned(end, span));
}
