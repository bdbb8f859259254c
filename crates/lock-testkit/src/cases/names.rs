//! Names: a command names its lease, and touches no other of the same request.

use lock_core::{
    AcquireRequest, Lease, Metadata, Release, Renewal, RequestId, Transfer, TransferTo,
};

use super::expect_eq;
use crate::TestContext;

/// Two leases of one request, of which the first is over, and the request.
async fn twice(context: &TestContext) -> (AcquireRequest, Lease, Lease) {
    let request = TestContext::ask("key", "alice");
    let first = context.granted(&request).await;
    context.released(&first).await;
    let next = context.granted(&request).await;
    assert!(next.token > first.token, "{} follows {}", next.token, first.token);
    (request, first, next)
}

/// A renewal that names an earlier lease of the request that holds changes nothing.
pub async fn late_renewal_does_not_touch_the_next_lease(context: TestContext) {
    let (_, first, next) = twice(&context).await;
    expect_eq!(context.renew(&first, TestContext::ttl(TestContext::BRIEF)).await, Renewal::NotHeld);
    expect_eq!(context.only_lease("key").await, next);
}

/// A release that names an earlier lease of the request that holds changes nothing.
pub async fn late_release_does_not_touch_the_next_lease(context: TestContext) {
    let (_, first, next) = twice(&context).await;
    expect_eq!(context.release(&first).await, Release::NotHeld);
    expect_eq!(context.only_lease("key").await, next);
}

/// A transfer that names an earlier lease of the request that holds changes nothing.
pub async fn late_transfer_does_not_touch_the_next_lease(context: TestContext) {
    let (_, first, next) = twice(&context).await;
    let (owner, request) = (TestContext::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
    expect_eq!(context.transfer(&first, to).await, Transfer::NotHeld);
    expect_eq!(context.only_lease("key").await, next);
}

/// An eviction that names an earlier lease of the request that holds changes nothing.
pub async fn late_eviction_does_not_touch_the_next_lease(context: TestContext) {
    let (request, first, next) = twice(&context).await;
    assert!(context.evict_lease(&first).await.is_empty(), "nothing is there to evict");
    expect_eq!(context.only_lease("key").await, next);
    expect_eq!(context.granted(&request).await, next);
}
