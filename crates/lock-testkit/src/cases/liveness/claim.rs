//! The claim window: a lease granted to a waiter is short until it is claimed.

use std::time::Duration;

use lock_core::{AcquireRequest, Ttl};

use super::{SHORT, brief};
use crate::TestContext;
use crate::cases::expect_eq;

/// Hands `key` to the waiting request by a release, and returns the first lifetime of its lease.
async fn window(context: &TestContext, waiter: &AcquireRequest) -> Duration {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    context.queued(waiter).await;
    context.released(&held).await;
    let lease = context.only_lease("key").await;
    expect_eq!((lease.request, lease.ttl), (waiter.id, waiter.ttl));
    lease.remaining(lease.granted_at).expect("an unclaimed lease ends")
}

/// A silent waiter that was granted holds the key for its keep-alive and no longer.
pub async fn claim_window_ends_an_unclaimed_grant(context: TestContext) {
    let (silent, next) = (brief("bob"), TestContext::queueing("key", "carol"));
    expect_eq!(window(&context, &silent).await, SHORT);
    context.queued(&next).await;
    context.elapse(SHORT).await;
    expect_eq!(context.holding("key").await, [next.id]);
    let position = context.queued(&silent).await;
    expect_eq!((position.position, position.waiting), (1, 1));
}

/// The first renewal makes a waiter's lease full length, as asking again would.
pub async fn renewal_claims_the_grant(context: TestContext) {
    let waiter = brief("bob");
    expect_eq!(window(&context, &waiter).await, SHORT);
    let handed = context.only_lease("key").await;
    let claimed = context.renewed(&handed).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(TestContext::TTL)), "{claimed:?}");
    context.elapse(SHORT).await;
    expect_eq!(context.granted(&waiter).await, claimed);
}

/// A hear makes a waiter's lease full length, once.
pub async fn hearing_claims_the_grant(context: TestContext) {
    let waiter = brief("bob");
    expect_eq!(window(&context, &waiter).await, SHORT);
    let claimed = context.heard_granted(&waiter).await;
    assert!(claimed.expires_at >= Some(claimed.granted_at.after(TestContext::TTL)), "{claimed:?}");
    context.elapse(SHORT).await;
    expect_eq!(context.heard_granted(&waiter).await, claimed);
    expect_eq!(context.only_lease("key").await, claimed);
}

/// Asking again makes a waiter's lease full length, once.
pub async fn asking_again_claims_the_grant(context: TestContext) {
    let waiter = brief("bob");
    expect_eq!(window(&context, &waiter).await, SHORT);
    let handed = context.only_lease("key").await;
    let claimed = context.granted(&waiter).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(TestContext::TTL)), "{claimed:?}");
    expect_eq!(claimed, handed.with_expires_at(claimed.expires_at));
    context.elapse(SHORT).await;
    expect_eq!(context.granted(&waiter).await, claimed);
}

/// A lease that never expires does end while the waiter it was granted to has not claimed it.
pub async fn unclaimed_never_ending_lease_ends(context: TestContext) {
    let silent = brief("bob").with_ttl(Ttl::Never);
    expect_eq!(window(&context, &silent).await, SHORT);
    context.elapse(SHORT).await;
    context.free("key").await;

    let living = brief("carol").with_ttl(Ttl::Never);
    expect_eq!(window(&context, &living).await, SHORT);
    expect_eq!(context.granted(&living).await.expires_at, None);
}

/// A lease shorter than the claim window is not made longer by it.
pub async fn short_ttl_bounds_the_claim_window(context: TestContext) {
    let ttl = Duration::from_millis(300);
    let waiter = TestContext::queueing("key", "bob").with_ttl(TestContext::ttl(ttl));
    expect_eq!(window(&context, &waiter).await, ttl);
    context.elapse(ttl).await;
    context.free("key").await;
}
