//! Renewal: a lease lasts longer for the request that holds it, and for nobody else.

use std::time::Duration;

use lock_core::{AcquireRequest, Release, RenewRequest, Renewal, RequestId, Ttl};

use crate::World;

/// A ttl of this many milliseconds.
fn millis(count: u64) -> Ttl {
    World::ttl(Duration::from_millis(count))
}

/// A renewed lease lasts its ttl from the renewal, exactly.
pub async fn renewal_extends_the_lease(world: World) {
    let ttl = Duration::from_secs(2);
    let asked = World::ask("key", "alice").with_ttl(World::ttl(ttl));
    let lease = world.granted(&asked).await;
    world.elapse(ttl / 2).await;

    let before = world.inspect("key").await.observed_at;
    let renewed = world.renewed(&asked).await;
    let after = world.inspect("key").await.observed_at;
    assert!(renewed.expires_at >= Some(before.after(ttl)));
    assert!(renewed.expires_at <= Some(after.after(ttl)));
    assert_eq!(renewed, lease.with_expires_at(renewed.expires_at));

    world.elapse(ttl / 2).await;
    assert_eq!(world.refused(&World::ask("key", "bob")).await.holder, Some(renewed));
    world.elapse(ttl / 2).await;
    world.granted(&World::ask("key", "bob")).await;
}

/// The ttl of a renewal counts from then on, longer or shorter than the one before.
pub async fn renewal_can_change_the_ttl(world: World) {
    let asked = World::ask("key", "alice").with_ttl(millis(1000));
    world.granted(&asked).await;
    let longer = world.renewed(&asked.clone().with_ttl(millis(5000))).await;
    assert_eq!(longer.ttl, millis(5000));
    world.elapse(Duration::from_millis(1500)).await;
    assert_eq!(world.granted(&asked).await, longer);

    let endless = world.renewed(&asked.clone().with_ttl(Ttl::Never)).await;
    assert_eq!((endless.ttl, endless.expires_at), (Ttl::Never, None));
    let shorter = world.renewed(&asked.clone().with_ttl(millis(300))).await;
    assert_eq!(shorter.ttl, millis(300));
    world.elapse(Duration::from_millis(300)).await;
    world.free("key").await;
}

/// A lease that is over is not revived by a renewal that comes late.
pub async fn late_renewal_does_not_revive(world: World) {
    let asked = World::ask("key", "alice").with_ttl(millis(300));
    world.granted(&asked).await;
    world.elapse(Duration::from_millis(300)).await;
    assert_eq!(world.renew(&asked).await, Renewal::NotHeld);
    world.free("key").await;
    world.granted(&World::ask("key", "bob")).await;
}

/// A renewal by another request, even of the same owner, changes nothing.
pub async fn renewal_by_another_request_is_refused(world: World) {
    let lease = world.granted(&World::ask("key", "alice")).await;
    let (namesake, waiter) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    world.queued(&waiter).await;
    for other in [&namesake, &waiter] {
        assert_eq!(world.renew(&other.clone().with_ttl(millis(1))).await, Renewal::NotHeld);
    }
    world.elapse(Duration::from_millis(10)).await;
    assert_eq!(world.inspect("key").await.leases, vec![lease]);
    assert_eq!(world.waiting("key").await, vec![waiter.request]);
}

/// A renewal never outlives the release.
pub async fn renewal_after_release_is_refused(world: World) {
    let asked = World::ask("key", "alice");
    world.granted(&asked).await;
    assert_eq!(world.release(&asked).await, Release::Released);
    assert_eq!(world.renew(&asked).await, Renewal::NotHeld);
    world.free("key").await;
}

/// A batch is answered one for one in its order, and the held are renewed beside those that are
/// not.
pub async fn renewals_are_answered_in_order(world: World) {
    let asked: Vec<AcquireRequest> =
        (0..30).map(|number| World::ask(&format!("key-{number}"), "alice")).collect();
    for held in asked.iter().step_by(3) {
        world.granted(held).await;
    }
    let ttl_of = |number: usize| millis(60_000 + number as u64);
    let renewal = |(number, held): (usize, &AcquireRequest)| {
        RenewRequest::new(held.key.clone(), held.request, ttl_of(number))
    };
    let renewals: Vec<RenewRequest> = asked.iter().enumerate().map(renewal).collect();
    let answers = world.store().renew(&renewals).await;
    assert_eq!(answers.len(), 30);
    for (number, (held, answer)) in asked.iter().zip(answers).enumerate() {
        match answer.expect("renew answers") {
            Renewal::Renewed(lease) if number % 3 == 0 => {
                assert_eq!((&lease.key, lease.request), (&held.key, held.request));
                assert_eq!(lease.ttl, ttl_of(number));
                assert_eq!(world.inspect(held.key.as_str()).await.leases, vec![lease]);
            }
            Renewal::NotHeld if number % 3 != 0 => world.free(held.key.as_str()).await,
            other => panic!("unexpected answer to renewal {number}: {other:?}"),
        }
    }
    assert!(world.store().renew(&[]).await.is_empty());
}

/// A renewed lease is the same lease: its token stays.
pub async fn renewal_keeps_the_token(world: World) {
    let asked = World::ask("key", "alice");
    let lease = world.granted(&asked).await;
    for _ in 0..3 {
        world.elapse(Duration::from_millis(10)).await;
        let renewed = world.renewed(&asked).await;
        assert_eq!((renewed.token, renewed.granted_at), (lease.token, lease.granted_at));
    }
    assert_eq!(world.granted(&asked).await.token, lease.token);
}

/// A renewal that comes late leaves the lease of the next holder as it is.
pub async fn late_renewal_does_not_touch_the_successor(world: World) {
    let asked = World::ask("key", "alice").with_ttl(millis(300));
    world.granted(&asked).await;
    world.elapse(Duration::from_millis(300)).await;
    let successor = World::ask("key", "alice");
    let lease = world.granted(&successor).await;
    assert_ne!(lease.request, asked.request);

    assert_eq!(world.renew(&asked.clone().with_ttl(millis(1))).await, Renewal::NotHeld);
    let unknown = RenewRequest::new(asked.key.clone(), RequestId::random(), millis(1));
    let answers = world.store().renew(&[unknown]).await;
    assert!(matches!(answers[..], [Ok(Renewal::NotHeld)]));
    world.elapse(Duration::from_millis(10)).await;
    assert_eq!(world.inspect("key").await.leases, vec![lease]);
}
