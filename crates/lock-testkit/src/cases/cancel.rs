//! Cancel: an abandoned request neither waits nor holds, in whatever state it was.

use std::task::{Context, Waker};
use std::time::Duration;

use lock_core::{Cancellation, Mode};

use super::expect_eq;
use crate::TestContext;

/// A waiter that cancelled is never granted the key.
pub async fn cancelled_waiter_is_not_granted(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    expect_eq!(context.cancel(&waiter).await, Cancellation::Dequeued);
    expect_eq!(context.waiting("key").await, []);
    context.released(&held).await;
    context.free("key").await;
}

/// A cancel that comes after the grant releases the lease, claimed or not, and grants the key on.
pub async fn cancel_of_a_granted_request_releases(context: TestContext) {
    let (holder, first) = (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    context.granted(&holder).await;
    context.queued(&first).await;
    let second = TestContext::queueing("key", "carol");
    context.queued(&second).await;
    expect_eq!(context.cancel(&holder).await, Cancellation::Released);
    expect_eq!(context.holding("key").await, [first.id]);
    expect_eq!(context.cancel(&first).await, Cancellation::Released);
    expect_eq!(context.holding("key").await, [second.id]);
    expect_eq!(context.granted(&second).await.request, second.id);
    expect_eq!(context.cancel(&second).await, Cancellation::Released);
    context.free("key").await;
}

/// A cancel of a request that neither waits nor holds changes nothing.
pub async fn cancel_of_an_unknown_request_is_absent(context: TestContext) {
    expect_eq!(context.cancel(&TestContext::ask("key", "alice")).await, Cancellation::Absent);
    context.free("key").await;
    let (held, waiter) = context.holder_and_waiter().await;
    expect_eq!(context.cancel(&TestContext::ask("key", "alice")).await, Cancellation::Absent);
    expect_eq!(context.cancel(&TestContext::ask("key", "bob")).await, Cancellation::Absent);
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.waiting("key").await, [waiter.id]);
}

/// When the head of the queue does not fit and cancels, the waiters behind it that fit are granted
/// in the same step, not at the next command.
pub async fn cancelled_head_lets_the_next_fit(context: TestContext) {
    let reader = |owner| TestContext::queueing("key", owner).with_mode(Mode::READER);
    let (first, second, third) = (reader("alice"), reader("carol"), reader("dave"));
    let writer = TestContext::queueing("key", "bob");
    context.granted(&first).await;
    for waiter in [&writer, &second, &third] {
        context.queued(waiter).await;
    }
    expect_eq!(context.cancel(&writer).await, Cancellation::Dequeued);
    context.elapse(TestContext::BRIEF).await;
    let seen = context.look("key").await;
    expect_eq!((seen.value.holders, seen.value.waiting), (3, 0));
    for lease in &seen.value.leases {
        assert!(lease.age(seen.observed_at) >= TestContext::BRIEF, "granted late: {lease:?}");
    }
    for reader in [&first, &second, &third] {
        expect_eq!(context.granted(reader).await.request, reader.id);
    }
}

/// A cancel leaves nothing of an acquire whose answer was not awaited.
pub async fn dropped_acquire_can_be_cancelled(context: TestContext) {
    let request = TestContext::queueing("key", "alice");
    for is_held in [false, true] {
        let held = match is_held {
            true => Some(context.granted(&TestContext::ask("key", "bob")).await),
            false => None,
        };
        let mut dropped = context.store().acquire(&request);
        drop(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        drop(dropped);
        let undone = if is_held { Cancellation::Dequeued } else { Cancellation::Released };
        let outcome = context.cancel(&request).await;
        assert!([undone, Cancellation::Absent].contains(&outcome), "got {outcome:?}");
        context.elapse(Duration::from_millis(100)).await;
        if let Some(held) = held {
            expect_eq!(context.waiting("key").await, []);
            context.released(&held).await;
        }
        context.free("key").await;
        expect_eq!(context.cancel(&request).await, Cancellation::Absent);
    }
}

/// A cancel of one waiter leaves the places of the others, in their order.
pub async fn cancel_of_one_spares_the_others(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let waiters = TestContext::patient(3);
    for waiter in &waiters {
        context.queued(waiter).await;
    }
    expect_eq!(context.cancel(&waiters[1]).await, Cancellation::Dequeued);
    expect_eq!(context.waiting("key").await, [waiters[0].id, waiters[2].id]);
    expect_eq!(context.only_lease("key").await, held);
    context.served(&held, &[&waiters[0], &waiters[2]]).await;
}
