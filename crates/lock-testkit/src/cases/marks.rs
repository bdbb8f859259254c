//! Marks: a request that was ended by force learns so, and takes no lock any more.

mod span;

use lock_core::{
    AcquireRequest, Cancellation, End, Heard, Metadata, Release, Renewal, Transfer, TransferTo,
};

use super::expect_eq;
use crate::TestContext;

pub use span::*;

/// An evicted holder's request, its lease, and the end that answers must report.
async fn evicted(context: &TestContext) -> (AcquireRequest, lock_core::Lease, End) {
    let request = TestContext::ask("key", "alice");
    let held = context.granted(&request).await;
    context.evicted_lease(&held).await;
    (request, held, TestContext::end_by_eviction())
}

/// A request whose lease was evicted neither holds nor waits when it asks again.
pub async fn evicted_request_takes_no_lock(context: TestContext) {
    let (request, _, end) = evicted(&context).await;
    expect_eq!(context.ended(&request).await, end);
    let patient = request.queueing(TestContext::keep_alive(TestContext::KEEP_ALIVE));
    expect_eq!(context.ended(&patient).await, end);
    context.free("key").await;
}

/// A waiter that was evicted neither joins the queue nor holds when it asks again.
pub async fn evicted_waiter_does_not_join_again(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    context.evicted_waiter(&waiter).await;
    expect_eq!(context.ended(&waiter).await, TestContext::end_by_eviction());
    expect_eq!(context.waiting("key").await, []);
    context.released(&held).await;
    expect_eq!(context.ended(&waiter).await, TestContext::end_by_eviction());
    context.free("key").await;
}

/// A renewal of a lease that was evicted is answered with the end.
pub async fn renewal_reports_the_end(context: TestContext) {
    let (_, held, end) = evicted(&context).await;
    expect_eq!(context.renew(&held, held.ttl).await, Renewal::Ended(end));
    context.free("key").await;
}

/// A release of a lease that was evicted is answered with the end.
pub async fn release_reports_the_end(context: TestContext) {
    let (_, held, end) = evicted(&context).await;
    expect_eq!(context.release(&held).await, Release::Ended(end));
    context.free("key").await;
}

/// A transfer of a lease that was evicted is answered with the end.
pub async fn transfer_reports_the_end(context: TestContext) {
    let (_, held, end) = evicted(&context).await;
    let waiter = TestContext::queueing("key", "carol");
    context.granted(&TestContext::ask("key", "bob")).await;
    context.queued(&waiter).await;
    let to = TransferTo::Waiter(waiter.id);
    expect_eq!(context.transfer(&held, to).await, Transfer::Ended(end));
    expect_eq!(context.waiting("key").await, [waiter.id]);
}

/// A hear of a request that was evicted, holding or waiting, is answered with the end.
pub async fn hear_reports_the_end(context: TestContext) {
    let (request, _, end) = evicted(&context).await;
    expect_eq!(context.hear(&request).await.value, Heard::Ended(end.clone()));
    let (_, waiter) = context.holder_and_waiter().await;
    context.evicted_waiter(&waiter).await;
    expect_eq!(context.hear(&waiter).await.value, Heard::Ended(end));
    expect_eq!(context.waiting("key").await, []);
}

/// The request that transferred its lease learns the receiver, whatever it sends.
pub async fn giver_of_a_transfer_learns_the_end(context: TestContext) {
    let giver = TestContext::ask("key", "alice");
    let held = context.granted(&giver).await;
    let waiter = TestContext::queueing("key", "bob");
    context.queued(&waiter).await;
    context.transferred(&held, TransferTo::Waiter(waiter.id)).await;
    let end = End::Transferred { by: TestContext::owner("alice"), to: TestContext::owner("bob") };
    expect_eq!(context.renew(&held, held.ttl).await, Renewal::Ended(end.clone()));
    expect_eq!(context.release(&held).await, Release::Ended(end.clone()));
    expect_eq!(context.hear(&giver).await.value, Heard::Ended(end.clone()));
    expect_eq!(context.ended(&giver).await, end);
    expect_eq!(context.holding("key").await, [waiter.id]);
}

/// A mark of one request does not affect another of the same owner and session.
pub async fn mark_affects_no_other_request(context: TestContext) {
    let (marked, _, _) = evicted(&context).await;
    let other = TestContext::queueing("key", "alice").with_session(marked.session);
    expect_eq!(context.hear(&other).await.value, Heard::Absent);
    let held = context.granted(&other).await;
    expect_eq!(context.renewed(&held).await.token, held.token);
    let third = TestContext::queueing("key", "alice").with_session(marked.session);
    expect_eq!(context.queued(&third).await.position, 1);
    context.released(&held).await;
    expect_eq!(context.heard_granted(&third).await.request, third.id);
}

/// Nothing is transferred to a request that was ended, and the giver keeps its lease.
pub async fn marked_request_receives_nothing(context: TestContext) {
    let (evicted, _, _) = evicted(&context).await;
    let cancelled = TestContext::ask("key", "bob");
    expect_eq!(context.cancel_unanswered(&cancelled).await, Cancellation::Absent);
    let held = context.granted(&TestContext::ask("key", "carol")).await;
    for marked in [&evicted, &cancelled] {
        let (owner, request) = (marked.owner.clone(), marked.id);
        let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
        expect_eq!(context.transfer(&held, to).await, Transfer::NotWaiting);
        expect_eq!(context.only_lease("key").await, held);
    }
}

/// An acquire that arrives after its cancel takes no lock, whatever state the request was in
/// before.
pub async fn late_acquire_takes_no_lock(context: TestContext) {
    let unknown = TestContext::queueing("key", "alice");
    expect_eq!(context.cancel_unanswered(&unknown).await, Cancellation::Absent);
    expect_eq!(context.ended(&unknown).await, End::Cancelled);
    context.free("key").await;
    let (_, waiter) = context.holder_and_waiter().await;
    expect_eq!(context.cancel_unanswered(&waiter).await, Cancellation::Dequeued);
    expect_eq!(context.ended(&waiter).await, End::Cancelled);
    expect_eq!(context.waiting("key").await, []);
    let holder = TestContext::ask("other", "alice");
    context.granted(&holder).await;
    expect_eq!(context.cancel_unanswered(&holder).await, Cancellation::Released);
    expect_eq!(context.ended(&holder).await, End::Cancelled);
    context.free("other").await;
}
