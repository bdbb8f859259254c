//! Renewal: only the holding request prolongs its lease.

use std::time::Duration;

use lock_core::{Holder, RenewRequest, Renewal, Ttl};

use super::expect_eq;
use crate::TestContext;

/// A ttl of this many milliseconds.
fn millis(count: u64) -> Ttl {
    TestContext::ttl(Duration::from_millis(count))
}

/// A renewed lease lasts its ttl from the renewal, exactly.
pub async fn renewal_extends_the_lease(context: TestContext) {
    let ttl = Duration::from_secs(2);
    let lease =
        context.granted(&TestContext::ask("key", "alice").with_ttl(TestContext::ttl(ttl))).await;
    context.elapse(ttl / 2).await;

    let before = context.now().await;
    let renewed = context.renewed(&lease).await;
    let after = context.now().await;
    assert!(renewed.expires_at >= Some(before.after(ttl)), "too short: {renewed:?}");
    assert!(renewed.expires_at <= Some(after.after(ttl)), "too long: {renewed:?}");
    expect_eq!(context.only_lease("key").await, renewed);

    context.elapse(ttl / 2).await;
    let position = context.refused(&TestContext::ask("key", "bob")).await;
    expect_eq!(position.holder, Some(Holder::from(&renewed)));
    context.elapse(ttl / 2).await;
    context.granted(&TestContext::ask("key", "bob")).await;
}

/// The ttl of a renewal counts from the renewal, longer or shorter than the one before.
pub async fn renewal_can_change_the_ttl(context: TestContext) {
    let request = TestContext::ask("key", "alice").with_ttl(millis(1000));
    let lease = context.granted(&request).await;
    let longer = context.renewed_for(&lease, millis(5000)).await;
    context.elapse(Duration::from_millis(1500)).await;
    expect_eq!(context.granted(&request).await, longer);

    let endless = context.renewed_for(&lease, Ttl::Never).await;
    expect_eq!(endless.expires_at, None);
    expect_eq!(context.only_lease("key").await, endless);
    let shorter = context.renewed_for(&lease, millis(300)).await;
    expect_eq!(context.only_lease("key").await, shorter);
    context.elapse(Duration::from_millis(300)).await;
    context.free("key").await;
}

/// A late renewal does not revive a lease that is over.
pub async fn late_renewal_does_not_revive(context: TestContext) {
    let late = context.granted(&TestContext::ask("key", "alice").with_ttl(millis(300))).await;
    context.elapse(Duration::from_millis(300)).await;
    expect_eq!(context.renew(&late, late.ttl).await, Renewal::NotHeld);
    context.free("key").await;
    context.granted(&TestContext::ask("key", "bob")).await;
}

/// A renewal by another request, even of the same owner and with the right token, changes nothing.
pub async fn renewal_by_another_request_is_refused(context: TestContext) {
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    let (namesake, waiter) =
        (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    context.queued(&waiter).await;
    for other in [&namesake, &waiter] {
        let name = TestContext::name_of(other, &lease);
        expect_eq!(context.renew(&name, millis(1)).await, Renewal::NotHeld);
    }
    context.elapse(Duration::from_millis(10)).await;
    expect_eq!(context.only_lease("key").await, lease);
    expect_eq!(context.waiting("key").await, [waiter.id]);
}

/// A renewal never outlives the release.
pub async fn renewal_after_release_is_refused(context: TestContext) {
    let lease = context.granted(&TestContext::ask("key", "alice")).await;
    context.released(&lease).await;
    expect_eq!(context.renew(&lease, lease.ttl).await, Renewal::NotHeld);
    context.free("key").await;
}

/// A batch is answered one for one in its order: held leases are renewed among those that are not
/// held.
pub async fn renewals_are_answered_in_order(context: TestContext) {
    let ttl_of = |number: usize| millis(60_000 + number as u64);
    let (mut leases, mut renewals) = (Vec::new(), Vec::new());
    for number in 0..30 {
        let request = TestContext::ask(&format!("key-{number}"), "alice");
        let is_held = number % 3 == 0;
        let lease = if is_held { Some(context.granted(&request).await) } else { None };
        let name =
            lease.as_ref().map_or_else(|| TestContext::unknown_lease(&request), |it| it.name());
        renewals.push(RenewRequest::new(name, ttl_of(number)));
        leases.push((request.key, lease));
    }
    let answers = context.store().renew(&renewals).await;
    expect_eq!(answers.len(), 30);
    for (number, ((key, lease), answer)) in leases.into_iter().zip(answers).enumerate() {
        match (answer.expect("renew answers").value, lease) {
            (Renewal::Renewed { expires_at }, Some(lease)) => {
                let mut renewed = lease.with_expires_at(expires_at);
                renewed.ttl = ttl_of(number);
                expect_eq!(context.only_lease(key.as_str()).await, renewed);
            }
            (Renewal::NotHeld, None) => context.free(key.as_str()).await,
            (other, _) => panic!("expected another answer to renewal {number}, got {other:?}"),
        }
    }
    assert!(context.store().renew(&[]).await.is_empty(), "nothing is answered with nothing");
}

/// A renewed lease is the same lease: its token and the time of its grant stay.
pub async fn renewal_keeps_the_token(context: TestContext) {
    let request = TestContext::ask("key", "alice");
    let lease = context.granted(&request).await;
    for _ in 0..3 {
        context.elapse(Duration::from_millis(10)).await;
        let renewed = context.renewed(&lease).await;
        expect_eq!(context.only_lease("key").await, renewed);
    }
    expect_eq!(context.granted(&request).await.token, lease.token);
}

/// A late renewal does not touch the lease of the next holder.
pub async fn late_renewal_does_not_touch_the_successor(context: TestContext) {
    let late = context.granted(&TestContext::ask("key", "alice").with_ttl(millis(300))).await;
    context.elapse(Duration::from_millis(300)).await;
    let successor = TestContext::ask("key", "alice");
    let lease = context.granted(&successor).await;
    expect_eq!(context.renew(&late, millis(1)).await, Renewal::NotHeld);
    let stranger = TestContext::name_of(&TestContext::ask("key", "alice"), &lease);
    expect_eq!(context.renew(&stranger, millis(1)).await, Renewal::NotHeld);
    context.elapse(Duration::from_millis(10)).await;
    expect_eq!(context.only_lease("key").await, lease);
}
