//! Leases: each lasts exactly as long as requested, on the store's clock.

use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, Holder, Lease, LeaseTime, Metadata, Mode, Release, SessionId,
    Timed, Ttl,
};

use super::expect_eq;
use crate::TestContext;

/// The shortest time that distinguishes a moving clock from one that stands still.
const MOMENT: Duration = Duration::from_millis(1);

/// Acquires the key of the lease, which must be refused before the lease ends and granted from then
/// on.
async fn ends_on_time(context: &TestContext, lease: &Lease, request: &AcquireRequest) {
    let Timed { observed_at, value, .. } = context.acquire(request).await;
    match value {
        Acquisition::Granted(next) => {
            assert!(Some(next.granted_at) >= lease.expires_at, "{next:?} before the end");
        }
        Acquisition::Held(position) => {
            assert!(Some(observed_at) < lease.expires_at, "{lease:?} after its end");
            expect_eq!(position.holder, Some(Holder::from(lease)));
        }
        other => panic!("expected a grant or a refusal, got {other:?}"),
    }
}

/// A lease of this ttl, which must end that long after its grant.
async fn lease_for(context: &TestContext, ttl: Duration) -> Lease {
    let lease =
        context.granted(&TestContext::ask("key", "alice").with_ttl(TestContext::ttl(ttl))).await;
    expect_eq!(lease.expires_at, Some(lease.granted_at.after(ttl)));
    lease
}

/// A lease lasts until the last moment of its ttl.
pub async fn lease_lasts_until_its_ttl(context: TestContext) {
    let ttl = Duration::from_secs(1);
    let lease = lease_for(&context, ttl).await;
    context.elapse(ttl - MOMENT).await;
    ends_on_time(&context, &lease, &TestContext::ask("key", "bob")).await;
}

/// A lease is over when its ttl has passed, and the key is free.
pub async fn lease_ends_at_its_ttl(context: TestContext) {
    let ttl = Duration::from_millis(500);
    let over = lease_for(&context, ttl).await;
    context.elapse(ttl).await;
    context.free("key").await;
    context.granted(&TestContext::ask("key", "bob")).await;
    expect_eq!(context.release(&over).await, Release::NotHeld);
}

/// A lease of one millisecond is granted, and ends after one millisecond.
pub async fn shortest_ttl_is_honoured(context: TestContext) {
    let lease = lease_for(&context, LeaseTime::MIN).await;
    let second = TestContext::ask("key", "bob").with_ttl(TestContext::ttl(LeaseTime::MIN));
    ends_on_time(&context, &lease, &second).await;
    context.elapse(LeaseTime::MIN).await;
    context.granted(&TestContext::ask("key", "carol")).await;
}

/// A lease of 366 days is granted and held, and its end is exact.
pub async fn longest_ttl_is_honoured(context: TestContext) {
    let lease = lease_for(&context, LeaseTime::MAX).await;
    context.elapse(Duration::from_secs(1)).await;
    let position = context.refused(&TestContext::ask("key", "bob")).await;
    expect_eq!(position.holder, Some(Holder::from(&lease)));
    let before = context.now().await;
    let renewed = context.renewed(&lease).await;
    assert!(renewed.expires_at >= Some(before.after(LeaseTime::MAX)), "too short: {renewed:?}");
    expect_eq!(context.only_lease("key").await, renewed);
}

/// A lease that never expires has no end, and is held until it is released.
pub async fn never_ending_lease_does_not_end(context: TestContext) {
    let request = TestContext::ask("key", "alice").with_ttl(Ttl::Never);
    let lease = context.granted(&request).await;
    expect_eq!((lease.ttl, lease.expires_at), (Ttl::Never, None));
    context.elapse(Duration::from_secs(2)).await;
    expect_eq!(
        context.refused(&TestContext::ask("key", "bob")).await.holder,
        Some(Holder::from(&lease))
    );
    expect_eq!(context.renewed(&lease).await, lease);
    context.released(&lease).await;
    context.granted(&TestContext::ask("key", "bob")).await;
}

/// A key whose lease expired goes to the waiter, not to the first newcomer after that.
pub async fn expired_lease_goes_to_the_waiter(context: TestContext) {
    let ttl = Duration::from_millis(500);
    let over = lease_for(&context, ttl).await;
    let waiter = TestContext::queueing("key", "bob");
    expect_eq!(context.queued(&waiter).await.holder, Some(Holder::from(&over)));
    context.elapse(ttl).await;

    let position = context.refused(&TestContext::ask("key", "carol")).await;
    let next = position.holder.expect("the waiter holds");
    expect_eq!((&next.owner, next.session), (&waiter.owner, waiter.session));
    assert!(next.token > over.token, "{} follows {}", next.token, over.token);
    assert!(Some(next.granted_at) >= over.expires_at, "{next:?} before the end of {over:?}");
    expect_eq!(context.granted(&waiter).await.token, next.token);
}

/// A lease repeats everything that was requested, in the answer and in inspections.
pub async fn lease_repeats_the_request(context: TestContext) {
    let before = context.now().await;
    let metadata = Metadata::parse([("plan", "terraform"), ("pr", "12")]).expect("valid metadata");
    let request = TestContext::ask("key", "alice")
        .with_session(SessionId::random())
        .with_mode(Mode::semaphore(3).expect("three permits"))
        .with_ttl(TestContext::ttl(Duration::from_millis(12_345)))
        .with_head_start(TestContext::head_start(Duration::from_secs(1)))
        .with_metadata(metadata);
    let lease = context.granted(&request).await;

    expect_eq!((&lease.key, &lease.owner), (&request.key, &request.owner));
    expect_eq!((lease.request, lease.session), (request.id, request.session));
    expect_eq!((lease.mode, lease.ttl), (request.mode, request.ttl));
    expect_eq!(lease.metadata, request.metadata);
    expect_eq!(lease.expires_at, Some(lease.granted_at.after(Duration::from_millis(12_345))));
    let after = context.now().await;
    assert!(before <= lease.granted_at && lease.granted_at <= after, "{before:?} {lease:?}");
    expect_eq!(context.only_lease("key").await, lease);
}

/// A lease of 900 milliseconds ends after 900 milliseconds and not after a second.
pub async fn sub_second_ttl_is_not_rounded_up(context: TestContext) {
    let ttl = Duration::from_millis(900);
    let lease = lease_for(&context, ttl).await;
    context.elapse(ttl - MOMENT).await;
    ends_on_time(
        &context,
        &lease,
        &TestContext::ask("key", "bob").with_ttl(TestContext::ttl(MOMENT)),
    )
    .await;
    context.elapse(MOMENT).await;
    context.granted(&TestContext::ask("key", "carol")).await;
}
