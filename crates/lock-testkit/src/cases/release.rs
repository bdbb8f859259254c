//! Release: only the request that holds ends its lease.

use std::time::Duration;

use lock_core::{Cancellation, Metadata, Mode, Release, Renewal, RequestId, Transfer, TransferTo};

use super::expect_eq;
use crate::TestContext;

/// A release by another request, even of the same owner and with the right token, changes nothing.
pub async fn release_by_another_request_is_refused(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    for owner in ["alice", "bob"] {
        let name = TestContext::name_of(&TestContext::ask("key", owner), &held);
        expect_eq!(context.release(&name).await, Release::NotHeld);
    }
    expect_eq!(context.only_lease("key").await, held);
    context.released(&held).await;
}

/// A release after the lease expired does not touch the lease of the next holder.
pub async fn late_release_does_not_touch_the_successor(context: TestContext) {
    let ttl = Duration::from_millis(300);
    let late =
        context.granted(&TestContext::ask("key", "alice").with_ttl(TestContext::ttl(ttl))).await;
    context.elapse(ttl).await;
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    expect_eq!(context.release(&late).await, Release::NotHeld);
    expect_eq!(context.only_lease("key").await, lease);
}

/// A lease that is over can be neither released nor cancelled, evicted, renewed or transferred,
/// even if no command touched its key since.
pub async fn over_lease_cannot_be_used(context: TestContext) {
    let requests = ["released", "cancelled", "evicted", "renewed", "transferred"]
        .map(|key| TestContext::ask(key, "alice").with_ttl(TestContext::ttl(TestContext::BRIEF)))
        .map(|request| request.with_mode(Mode::READER));
    let mut leases = Vec::new();
    for request in &requests {
        leases.push(context.granted(request).await);
        let mut twin = request.clone();
        twin.id = RequestId::random();
        context.granted(&twin).await;
    }
    context.elapse(TestContext::BRIEF).await;
    expect_eq!(context.release(&leases[0]).await, Release::NotHeld);
    expect_eq!(context.cancel(&requests[1]).await, Cancellation::Absent);
    expect_eq!(context.evict("evicted").await.leases, []);
    expect_eq!(context.renew(&leases[3], leases[3].ttl).await, Renewal::NotHeld);
    let (owner, request) = (TestContext::owner("bob"), RequestId::random());
    let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
    expect_eq!(context.transfer(&leases[4], to).await, Transfer::NotHeld);
    for request in &requests {
        context.free(request.key.as_str()).await;
    }
}

/// A request that waits has nothing to release, and goes on waiting.
pub async fn waiting_request_cannot_release(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    let name = TestContext::name_of(&waiter, &held);
    expect_eq!(context.release(&name).await, Release::NotHeld);
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.waiting("key").await, [waiter.id]);
}

/// A release of a key without a holder is answered with `NotHeld`.
pub async fn release_of_a_free_key_is_not_held(context: TestContext) {
    let request = TestContext::ask("key", "alice");
    expect_eq!(context.release(&TestContext::unknown_lease(&request)).await, Release::NotHeld);
    let held = context.granted(&request).await;
    context.released(&held).await;
    let name = TestContext::name_of(&TestContext::ask("key", "bob"), &held);
    expect_eq!(context.release(&name).await, Release::NotHeld);
    context.free("key").await;
}
