//! Requests: one that is sent again has one effect, whatever happened to its answer.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{
    Acquisition, Cancellation, Metadata, OnHeld, Release, RequestId, Transfer, TransferTo,
};

use super::expect_eq;
use crate::TestContext;

/// A request that holds is answered with its lease again, from any connection.
pub async fn same_request_gets_the_same_lease(context: TestContext) {
    let request = TestContext::ask("key", "alice");
    let lease = context.granted(&request).await;
    expect_eq!(context.granted(&request).await, lease);
    expect_eq!(context.elsewhere().await.granted(&request).await, lease);
    expect_eq!(context.only_lease("key").await, lease);
}

/// Asking again is no renewal: the lease ends when it would have ended.
pub async fn asking_again_does_not_extend_the_lease(context: TestContext) {
    let ttl = Duration::from_secs(1);
    let request = TestContext::ask("key", "alice").with_ttl(TestContext::ttl(ttl));
    let lease = context.granted(&request).await;
    context.elapse(ttl / 2).await;
    expect_eq!(context.granted(&request).await, lease);
    context.elapse(ttl / 2).await;
    context.granted(&TestContext::ask("key", "bob")).await;
}

/// A waiting request that asks again keeps its position, and waits only once.
pub async fn same_request_keeps_its_place(context: TestContext) {
    context.granted(&TestContext::ask("key", "alice")).await;
    let (first, second) =
        (TestContext::queueing("key", "bob"), TestContext::queueing("key", "carol"));
    for _ in 0..3 {
        expect_eq!(context.queued(&first).await.position, 1);
        expect_eq!(context.queued(&second).await.position, 2);
    }
    let refusing = first.clone().with_on_held(OnHeld::Refuse);
    expect_eq!(context.queued(&refusing).await.position, 1);
    expect_eq!(context.waiting("key").await, [first.id, second.id]);
}

/// A waiting request that asked many times is granted one lease, and is gone with it.
pub async fn queued_request_is_granted_once(context: TestContext) {
    let (held, second) = context.holder_and_waiter().await;
    for _ in 0..3 {
        context.queued(&second).await;
    }
    context.released(&held).await;
    let lease = context.granted(&second).await;
    expect_eq!(context.granted(&second).await, lease);
    context.released(&lease).await;
    context.free("key").await;
}

/// A release that is sent twice is answered with `NotHeld`, and does not affect the next holder.
pub async fn repeated_release_is_not_held(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    context.released(&held).await;
    expect_eq!(context.release(&held).await, Release::NotHeld);
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    expect_eq!(context.release(&held).await, Release::NotHeld);
    expect_eq!(context.only_lease("key").await, lease);
}

/// A cancel that is sent twice finds nothing to do.
pub async fn repeated_cancel_changes_nothing(context: TestContext) {
    let (holder, waiter) = (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    let lease = context.granted(&holder).await;
    context.queued(&waiter).await;
    expect_eq!(context.cancel(&waiter).await, Cancellation::Dequeued);
    expect_eq!(context.cancel(&waiter).await, Cancellation::Absent);
    expect_eq!(context.only_lease("key").await, lease);

    expect_eq!(context.cancel(&holder).await, Cancellation::Released);
    expect_eq!(context.cancel(&holder).await, Cancellation::Absent);
    context.free("key").await;
}

/// A transfer that is sent twice is answered with the one lease that it made.
pub async fn repeated_transfer_gives_the_same_lease(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    let (owner, request) = (TestContext::owner("carol"), RequestId::random());
    let to_owner = TransferTo::Owner { owner, request, metadata: Metadata::default() };

    let mut from = held;
    for to in [TransferTo::Waiter(waiter.id), to_owner] {
        let lease = context.transferred(&from, to.clone()).await;
        expect_eq!(context.transferred(&from, to.clone()).await, lease);
        let stranger = TestContext::name_of(&TestContext::ask("key", "alice"), &from);
        expect_eq!(context.transfer(&stranger, to).await, Transfer::NotHeld);
        expect_eq!(context.only_lease("key").await, lease);
        from = lease;
    }
}

/// A request whose answer was lost asks again and gets the lease of its grant, old or new, but
/// never two.
pub async fn lost_answer_is_found_again(context: TestContext) {
    let request = TestContext::ask("key", "alice");
    let elsewhere = context.connect().await;
    let mut lost = elsewhere.acquire(&request);
    let polled = lost.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let lease = context.granted(&request).await;
    if let Poll::Ready(answer) = polled {
        let answer = answer.expect("acquire answers").value;
        expect_eq!(answer, Acquisition::Granted(lease.clone()));
    }
    drop(lost);
    expect_eq!(context.granted(&request).await, lease);
    expect_eq!(context.only_lease("key").await, lease);
}

/// Requests of one owner for one key hold and wait separately.
pub async fn each_request_stands_for_itself(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let (first, second) =
        (TestContext::queueing("key", "alice"), TestContext::queueing("key", "alice"));
    expect_eq!(context.queued(&first).await.position, 1);
    expect_eq!(context.queued(&second).await.position, 2);

    expect_eq!(context.release(&TestContext::name_of(&first, &held)).await, Release::NotHeld);
    context.released(&held).await;
    expect_eq!(context.holding("key").await, [first.id]);
    expect_eq!(context.waiting("key").await, [second.id]);
    expect_eq!(context.cancel(&second).await, Cancellation::Dequeued);
    expect_eq!(context.holding("key").await, [first.id]);
}
