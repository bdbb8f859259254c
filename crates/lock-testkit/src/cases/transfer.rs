//! Transfer: a holder hands its lease to a named receiver, past the queue.

use std::time::Duration;

use lock_core::{
    AcquireRequest, End, Inspection, Metadata, Mode, Release, Renewal, RequestId, SessionId,
    Transfer, TransferTo,
};

use super::expect_eq;
use crate::TestContext;

fn to_waiter(request: &AcquireRequest) -> TransferTo {
    TransferTo::Waiter(request.id)
}

fn to_owner(owner: &str) -> TransferTo {
    let (owner, request) = (TestContext::owner(owner), RequestId::random());
    TransferTo::Owner { owner, request, metadata: gift() }
}

fn gift() -> Metadata {
    Metadata::parse([("from", "alice")]).expect("valid metadata")
}

/// The holders and waiters of the key are unchanged.
async fn is_still(context: &TestContext, before: Inspection) {
    let after = context.inspect("key").await;
    expect_eq!((after.leases, after.waiters), (before.leases, before.waiters));
}

/// A transfer reaches a waiter past those before it, on that waiter's own terms.
pub async fn transfer_to_a_waiter_passes_the_queue(context: TestContext) {
    let (held, bob) = context.holder_and_waiter().await;
    let ttl = TestContext::ttl(Duration::from_secs(45));
    let carol = TestContext::queueing("key", "carol").with_ttl(ttl).with_metadata(gift());
    context.queued(&carol).await;
    let lease = context.transferred(&held, to_waiter(&carol)).await;
    expect_eq!((&lease.owner, lease.request), (&carol.owner, carol.id));
    expect_eq!(lease.session, carol.session);
    expect_eq!((lease.ttl, &lease.metadata), (ttl, &carol.metadata));
    expect_eq!(context.only_lease("key").await, lease);
    expect_eq!(context.waiting("key").await, [bob.id]);
}

/// A transfer gives an owner that did not ask a lease of the giver's ttl and mode.
pub async fn transfer_to_an_owner_that_does_not_wait(context: TestContext) {
    let span = Duration::from_secs(45);
    let alice =
        TestContext::ask("key", "alice").with_mode(Mode::READER).with_ttl(TestContext::ttl(span));
    let held = context.granted(&alice).await;
    let to = to_owner("dave");
    let dave = AcquireRequest::new(to.request(), alice.key.clone(), TestContext::owner("dave"));
    let lease = context.transferred(&held, to).await;
    expect_eq!((&lease.key, &lease.owner, lease.request), (&dave.key, &dave.owner, dave.id));
    expect_eq!(lease.session, SessionId::from(dave.id));
    expect_eq!((lease.mode, lease.ttl, &lease.metadata), (alice.mode, alice.ttl, &gift()));
    expect_eq!(lease.expires_at, Some(lease.granted_at.after(span)));
    expect_eq!(context.only_lease("key").await, lease);
    context.renewed(&lease).await;
    context.released(&lease).await;
}

/// Only the holding request can transfer; others, including the next waiter, change nothing.
pub async fn transfer_by_another_request_is_refused(context: TestContext) {
    let (held, bob) = context.holder_and_waiter().await;
    let before = context.inspect("key").await;
    let stranger = TestContext::name_of(&TestContext::ask("key", "alice"), &held);
    expect_eq!(context.transfer(&stranger, to_waiter(&bob)).await, Transfer::NotHeld);
    let waiting = TestContext::name_of(&bob, &held);
    expect_eq!(context.transfer(&waiting, to_owner("bob")).await, Transfer::NotHeld);
    is_still(&context, before).await;
}

/// A transfer to a request that does not wait is refused, and the giver keeps its lease.
pub async fn transfer_to_an_absent_waiter_changes_nothing(context: TestContext) {
    let (held, bob) = context.holder_and_waiter().await;
    let carol = TestContext::queueing("key", "carol");
    context.queued(&carol).await;
    context.dequeued(&carol).await;
    let before = context.inspect("key").await;
    for to in [to_waiter(&carol), to_waiter(&TestContext::ask("key", "bob"))] {
        expect_eq!(context.transfer(&held, to).await, Transfer::NotWaiting);
    }
    is_still(&context, before).await;
    expect_eq!(context.queued(&bob).await.position, 1);
}

/// After a transfer the giver can neither renew nor release nor transfer again.
pub async fn giver_holds_nothing_after_transfer(context: TestContext) {
    let (held, bob) = context.holder_and_waiter().await;
    let lease = context.transferred(&held, to_waiter(&bob)).await;
    let end = End::Transferred { by: held.owner.clone(), to: bob.owner.clone() };
    expect_eq!(context.renew(&held, held.ttl).await, Renewal::Ended(end.clone()));
    expect_eq!(context.release(&held).await, Release::Ended(end.clone()));
    expect_eq!(context.transfer(&held, to_owner("carol")).await, Transfer::Ended(end));
    expect_eq!(context.only_lease("key").await, lease);
}

/// A lease that is transferred to a waiter lasts the claim window, until the waiter claims it.
pub async fn lease_transferred_to_a_waiter_must_be_claimed(context: TestContext) {
    let (alice, window) = (TestContext::ask("key", "alice"), Duration::from_secs(1));
    let brief = |owner| TestContext::ask("key", owner).queueing(TestContext::keep_alive(window));
    let (bob, carol) = (brief("bob"), brief("carol"));
    let held = context.granted(&alice).await;
    context.queued(&bob).await;
    let lease = context.transferred(&held, to_waiter(&bob)).await;
    expect_eq!(lease.expires_at, Some(lease.granted_at.after(window)));
    let claimed = context.granted(&bob).await;
    assert!(claimed.expires_at >= Some(lease.granted_at.after(TestContext::TTL)), "{claimed:?}");
    context.queued(&carol).await;
    context.transferred(&claimed, to_waiter(&carol)).await;
    context.elapse(window).await;
    context.free("key").await;
}

/// A transfer to a waiter of another mode is refused.
pub async fn transfer_needs_the_same_mode(context: TestContext) {
    let (held, writer) = context.holder_and_waiter().await;
    let reader = TestContext::queueing("key", "reader").with_mode(Mode::READER);
    context.queued(&reader).await;
    let before = context.inspect("key").await;
    expect_eq!(context.transfer(&held, to_waiter(&reader)).await, Transfer::NotWaiting);
    is_still(&context, before).await;
    context.transferred(&held, to_waiter(&writer)).await;
    expect_eq!(context.waiting("key").await, [reader.id]);
}

/// A transfer to a request that already holds is refused.
pub async fn transfer_to_a_holder_changes_nothing(context: TestContext) {
    let ask = |owner| TestContext::ask("key", owner).with_mode(Mode::READER);
    let (alice, bob) = (ask("alice"), ask("bob"));
    let held = context.granted(&alice).await;
    context.granted(&bob).await;
    let before = context.inspect("key").await;
    for to in [to_waiter(&bob), to_waiter(&alice)] {
        expect_eq!(context.transfer(&held, to).await, Transfer::AlreadyHolds);
    }
    is_still(&context, before).await;
}
