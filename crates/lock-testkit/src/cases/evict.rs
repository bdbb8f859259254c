//! Eviction: an operator takes leases away.

use lock_core::{AcquireRequest, Mode, Release, Renewal, Ttl};

use crate::World;

fn reader(owner: &str) -> AcquireRequest {
    World::ask("key", owner).with_mode(Mode::READER)
}

/// An evicted lease is over, and the eviction tells which it was.
pub async fn eviction_ends_the_lease(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    assert_eq!(world.evict("key").await.leases, std::slice::from_ref(&held));
    world.free("key").await;
    let next = world.granted(&World::ask("key", "bob")).await;
    assert!(next.token > held.token, "{} follows {}", next.token, held.token);
}

/// The key of an evicted lease goes to the next waiter in the same step, and not when somebody
/// looks.
pub async fn eviction_grants_to_the_next(world: World) {
    let ((_, bob), carol) = (world.holder_and_waiter().await, World::queueing("key", "carol"));
    world.queued(&carol).await;
    assert_eq!(world.evict("key").await.leases.len(), 1);
    world.elapse(World::BRIEF).await;
    let seen = world.inspect("key").await;
    assert!(seen.leases[0].age(seen.observed_at) >= World::BRIEF, "{seen:?}");
    assert_eq!(world.holding("key").await, [bob.request]);
    assert_eq!(world.waiting("key").await, [carol.request]);
}

/// The eviction of one request leaves the other leases alone; one without a request takes all.
pub async fn eviction_of_one_request_spares_the_others(world: World) {
    let (alice, bob, carol) = (reader("alice"), reader("bob"), reader("carol"));
    let mut spared = vec![world.granted(&alice).await];
    let evicted = world.granted(&bob).await;
    spared.push(world.granted(&carol).await);
    assert_eq!(world.evict_only(&bob).await.leases, [evicted]);
    let mut seen = world.inspect("key").await.leases;
    seen.sort_by_key(|lease| lease.token);
    assert_eq!(seen, spared);
    let mut rest = world.evict("key").await.leases;
    rest.sort_by_key(|lease| lease.token);
    assert_eq!(rest, spared);
    world.free("key").await;
}

/// An evicted holder cannot renew, whether or not the key went on to another.
pub async fn evicted_holder_cannot_renew(world: World) {
    let (alice, bob) = (World::ask("key", "alice"), World::ask("key", "bob"));
    world.granted(&alice).await;
    assert_eq!(world.evict("key").await.leases.len(), 1);
    assert_eq!(world.renew(&alice).await, Renewal::NotHeld);
    world.free("key").await;
    let held = world.granted(&bob).await;
    assert_eq!(world.renew(&alice).await, Renewal::NotHeld);
    assert_eq!(world.only_lease("key").await, held);
}

/// An evicted holder that releases late does not end the lease of its successor.
pub async fn evicted_holder_cannot_release_the_successor(world: World) {
    let (alice, bob) = world.holder_and_waiter().await;
    assert_eq!(world.evict("key").await.leases.len(), 1);
    let held = world.granted(&bob).await;
    assert_eq!(world.release(&alice).await, Release::NotHeld);
    assert_eq!(world.only_lease("key").await, held);
}

/// Where there is no lease to take nothing is taken, and a waiter is not evicted.
pub async fn eviction_of_a_free_key_takes_nothing(world: World) {
    assert_eq!(world.evict("key").await.leases, []);
    world.free("key").await;
    let held = world.granted(&World::ask("key", "alice")).await;
    let bob = World::queueing("key", "bob");
    world.queued(&bob).await;
    for absent in [&bob, &World::ask("key", "alice")] {
        assert_eq!(world.evict_only(absent).await.leases, []);
    }
    assert_eq!(world.only_lease("key").await, held);
    assert_eq!(world.waiting("key").await, [bob.request]);
}

/// A lease that never ends by itself ends by eviction.
pub async fn eviction_ends_a_never_ending_lease(world: World) {
    let alice = World::ask("key", "alice").with_ttl(Ttl::Never);
    let held = world.granted(&alice).await;
    let bob = World::queueing("key", "bob").with_ttl(Ttl::Never);
    world.queued(&bob).await;
    assert_eq!(world.evict_only(&alice).await.leases, [held]);
    assert_eq!(world.granted(&bob).await.expires_at, None);
    assert_eq!(world.evict("key").await.leases.len(), 1);
    world.free("key").await;
}
