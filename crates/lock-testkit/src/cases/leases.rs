//! Leases: each lasts exactly as long as was asked, on the store's clock.

use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition, Lease, LeaseTime, Metadata, Mode, Release, Ttl};

use crate::World;

/// The shortest time that tells a clock that moves from one that does not.
const MOMENT: Duration = Duration::from_millis(1);

/// Asks for the key of the lease: it must be held before the lease ends, and granted from then on.
async fn ends_on_time(world: &World, lease: &Lease, asked: &AcquireRequest) {
    match world.acquire(asked).await {
        Acquisition::Granted(next) => assert!(Some(next.granted_at) >= lease.expires_at),
        Acquisition::Held(place) => {
            assert!(Some(place.observed_at) < lease.expires_at);
            assert_eq!(place.holder.as_ref(), Some(lease));
        }
        other => panic!("expected a grant or a refusal, got {other:?}"),
    }
}

/// A lease of this length, which must end that long after its grant.
async fn lease_for(world: &World, ttl: Duration) -> (AcquireRequest, Lease) {
    let asked = World::ask("key", "alice").with_ttl(World::ttl(ttl));
    let lease = world.granted(&asked).await;
    assert_eq!(lease.expires_at, Some(lease.granted_at.after(ttl)));
    (asked, lease)
}

/// A lease lasts until the last moment of its ttl.
pub async fn lease_lasts_until_its_ttl(world: World) {
    let ttl = Duration::from_secs(1);
    let (_, lease) = lease_for(&world, ttl).await;
    world.elapse(ttl - MOMENT).await;
    ends_on_time(&world, &lease, &World::ask("key", "bob")).await;
}

/// When its ttl has passed, a lease is over, and anybody may have the key.
pub async fn lease_ends_at_its_ttl(world: World) {
    let ttl = Duration::from_millis(500);
    let (asked, _) = lease_for(&world, ttl).await;
    world.elapse(ttl).await;
    world.free("key").await;
    world.granted(&World::ask("key", "bob")).await;
    assert_eq!(world.release(&asked).await, Release::NotHeld);
}

/// A lease of one millisecond is granted, and ends after one millisecond.
pub async fn shortest_ttl_is_honoured(world: World) {
    let (_, lease) = lease_for(&world, LeaseTime::MIN).await;
    let second = World::ask("key", "bob").with_ttl(World::ttl(LeaseTime::MIN));
    ends_on_time(&world, &lease, &second).await;
    world.elapse(LeaseTime::MIN).await;
    world.granted(&World::ask("key", "carol")).await;
}

/// A lease of 366 days is granted, is held, and tells its end exactly.
pub async fn longest_ttl_is_honoured(world: World) {
    let (asked, lease) = lease_for(&world, LeaseTime::MAX).await;
    world.elapse(Duration::from_secs(1)).await;
    let place = world.refused(&World::ask("key", "bob")).await;
    assert_eq!(place.holder, Some(lease));
    let renewed = world.renewed(&asked).await;
    assert!(renewed.expires_at >= Some(place.observed_at.after(LeaseTime::MAX)));
}

/// A lease that never ends has no end to tell, and is held until it is released.
pub async fn never_ending_lease_does_not_end(world: World) {
    let asked = World::ask("key", "alice").with_ttl(Ttl::Never);
    let lease = world.granted(&asked).await;
    assert_eq!((lease.ttl, lease.expires_at), (Ttl::Never, None));
    world.elapse(Duration::from_secs(2)).await;
    assert_eq!(world.refused(&World::ask("key", "bob")).await.holder, Some(lease.clone()));
    assert_eq!(world.renewed(&asked).await, lease);
    assert_eq!(world.release(&asked).await, Release::Released);
    world.granted(&World::ask("key", "bob")).await;
}

/// A key whose lease ran out goes to the waiter, and not to who asks first after that.
pub async fn expired_lease_goes_to_the_waiter(world: World) {
    let ttl = Duration::from_millis(500);
    let (_, over) = lease_for(&world, ttl).await;
    let waiter = World::queueing("key", "bob");
    assert_eq!(world.queued(&waiter).await.holder, Some(over.clone()));
    world.elapse(ttl).await;

    let place = world.refused(&World::ask("key", "carol")).await;
    let next = place.holder.expect("the waiter holds");
    assert_eq!(next.request, waiter.request);
    assert!(next.token > over.token);
    assert!(Some(next.granted_at) >= over.expires_at);
    assert_eq!(world.granted(&waiter).await.token, next.token);
}

/// A lease tells everything that was asked, to its holder and to all who look.
pub async fn lease_tells_what_was_asked(world: World) {
    let before = world.inspect("key").await.observed_at;
    let metadata = Metadata::parse([("plan", "terraform"), ("pr", "12")]).expect("valid metadata");
    let asked = World::ask("key", "alice")
        .with_mode(Mode::semaphore(3).expect("three permits"))
        .with_ttl(World::ttl(Duration::from_millis(12_345)))
        .with_head_start(World::head_start(Duration::from_secs(1)))
        .with_metadata(metadata);
    let lease = world.granted(&asked).await;

    assert_eq!((&lease.key, &lease.owner), (&asked.key, &asked.owner));
    assert_eq!((lease.request, lease.mode, lease.ttl), (asked.request, asked.mode, asked.ttl));
    assert_eq!(lease.metadata, asked.metadata);
    assert_eq!(lease.expires_at, Some(lease.granted_at.after(Duration::from_millis(12_345))));
    let seen = world.inspect("key").await;
    assert!(before <= lease.granted_at && lease.granted_at <= seen.observed_at);
    assert_eq!(seen.leases, vec![lease]);
}

/// A lease of 900 milliseconds ends after 900 milliseconds and not after a second.
pub async fn sub_second_ttl_is_not_rounded_up(world: World) {
    let ttl = Duration::from_millis(900);
    let (_, lease) = lease_for(&world, ttl).await;
    world.elapse(ttl - MOMENT).await;
    ends_on_time(&world, &lease, &World::ask("key", "bob").with_ttl(World::ttl(MOMENT))).await;
    world.elapse(MOMENT).await;
    world.granted(&World::ask("key", "carol")).await;
}
