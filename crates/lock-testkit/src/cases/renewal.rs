//! Renewal: a lease lasts longer for the request that holds it, and for nobody else.

use std::time::Duration;

use lock_core::{Holder, RenewRequest, Renewal, Ttl};

use super::expect_eq;
use crate::World;

/// A ttl of this many milliseconds.
fn millis(count: u64) -> Ttl {
    World::ttl(Duration::from_millis(count))
}

/// A renewed lease lasts its ttl from the renewal, exactly.
pub async fn renewal_extends_the_lease(world: World) {
    let ttl = Duration::from_secs(2);
    let lease = world.granted(&World::ask("key", "alice").with_ttl(World::ttl(ttl))).await;
    world.elapse(ttl / 2).await;

    let before = world.now().await;
    let renewed = world.renewed(&lease).await;
    let after = world.now().await;
    assert!(renewed.expires_at >= Some(before.after(ttl)), "too short: {renewed:?}");
    assert!(renewed.expires_at <= Some(after.after(ttl)), "too long: {renewed:?}");
    expect_eq!(world.only_lease("key").await, renewed);

    world.elapse(ttl / 2).await;
    let position = world.refused(&World::ask("key", "bob")).await;
    expect_eq!(position.holder, Some(Holder::from(&renewed)));
    world.elapse(ttl / 2).await;
    world.granted(&World::ask("key", "bob")).await;
}

/// The ttl of a renewal counts from then on, longer or shorter than the one before.
pub async fn renewal_can_change_the_ttl(world: World) {
    let request = World::ask("key", "alice").with_ttl(millis(1000));
    let lease = world.granted(&request).await;
    let longer = world.renewed_for(&lease, millis(5000)).await;
    world.elapse(Duration::from_millis(1500)).await;
    expect_eq!(world.granted(&request).await, longer);

    let endless = world.renewed_for(&lease, Ttl::Never).await;
    expect_eq!(endless.expires_at, None);
    expect_eq!(world.only_lease("key").await, endless);
    let shorter = world.renewed_for(&lease, millis(300)).await;
    expect_eq!(world.only_lease("key").await, shorter);
    world.elapse(Duration::from_millis(300)).await;
    world.free("key").await;
}

/// A lease that is over is not revived by a renewal that comes late.
pub async fn late_renewal_does_not_revive(world: World) {
    let late = world.granted(&World::ask("key", "alice").with_ttl(millis(300))).await;
    world.elapse(Duration::from_millis(300)).await;
    expect_eq!(world.renew(&late, late.ttl).await, Renewal::NotHeld);
    world.free("key").await;
    world.granted(&World::ask("key", "bob")).await;
}

/// A renewal by another request, even of the same owner and with the right token, changes nothing.
pub async fn renewal_by_another_request_is_refused(world: World) {
    let lease = world.granted(&World::ask("key", "alice")).await;
    let (namesake, waiter) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    world.queued(&waiter).await;
    for other in [&namesake, &waiter] {
        let name = World::name_of(other, &lease);
        expect_eq!(world.renew(&name, millis(1)).await, Renewal::NotHeld);
    }
    world.elapse(Duration::from_millis(10)).await;
    expect_eq!(world.only_lease("key").await, lease);
    expect_eq!(world.waiting("key").await, [waiter.id]);
}

/// A renewal never outlives the release.
pub async fn renewal_after_release_is_refused(world: World) {
    let lease = world.granted(&World::ask("key", "alice")).await;
    world.released(&lease).await;
    expect_eq!(world.renew(&lease, lease.ttl).await, Renewal::NotHeld);
    world.free("key").await;
}

/// A batch is answered one for one in its order, and the held are renewed beside those that are
/// not.
pub async fn renewals_are_answered_in_order(world: World) {
    let ttl_of = |number: usize| millis(60_000 + number as u64);
    let (mut leases, mut renewals) = (Vec::new(), Vec::new());
    for number in 0..30 {
        let request = World::ask(&format!("key-{number}"), "alice");
        let is_held = number % 3 == 0;
        let lease = if is_held { Some(world.granted(&request).await) } else { None };
        let name = lease.as_ref().map_or_else(|| World::unknown_lease(&request), |it| it.name());
        renewals.push(RenewRequest::new(name, ttl_of(number)));
        leases.push((request.key, lease));
    }
    let answers = world.store().renew(&renewals).await;
    expect_eq!(answers.len(), 30);
    for (number, ((key, lease), answer)) in leases.into_iter().zip(answers).enumerate() {
        match (answer.expect("renew answers").value, lease) {
            (Renewal::Renewed { expires_at }, Some(lease)) => {
                let mut renewed = lease.with_expires_at(expires_at);
                renewed.ttl = ttl_of(number);
                expect_eq!(world.only_lease(key.as_str()).await, renewed);
            }
            (Renewal::NotHeld, None) => world.free(key.as_str()).await,
            (other, _) => panic!("expected another answer to renewal {number}, got {other:?}"),
        }
    }
    assert!(world.store().renew(&[]).await.is_empty(), "nothing is answered with nothing");
}

/// A renewed lease is the same lease: its token and the time of its grant stay.
pub async fn renewal_keeps_the_token(world: World) {
    let request = World::ask("key", "alice");
    let lease = world.granted(&request).await;
    for _ in 0..3 {
        world.elapse(Duration::from_millis(10)).await;
        let renewed = world.renewed(&lease).await;
        expect_eq!(world.only_lease("key").await, renewed);
    }
    expect_eq!(world.granted(&request).await.token, lease.token);
}

/// A renewal that comes late leaves the lease of the next holder as it is.
pub async fn late_renewal_does_not_touch_the_successor(world: World) {
    let late = world.granted(&World::ask("key", "alice").with_ttl(millis(300))).await;
    world.elapse(Duration::from_millis(300)).await;
    let successor = World::ask("key", "alice");
    let lease = world.granted(&successor).await;
    expect_eq!(world.renew(&late, millis(1)).await, Renewal::NotHeld);
    let stranger = World::name_of(&World::ask("key", "alice"), &lease);
    expect_eq!(world.renew(&stranger, millis(1)).await, Renewal::NotHeld);
    world.elapse(Duration::from_millis(10)).await;
    expect_eq!(world.only_lease("key").await, lease);
}
