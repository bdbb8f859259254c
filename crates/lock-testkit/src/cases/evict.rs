//! Eviction: an operator ends leases or a waiter.

use std::slice;

use lock_core::{AcquireRequest, Mode, Release, Renewal, Ttl};

use super::expect_eq;
use crate::World;

fn reader(owner: &str) -> AcquireRequest {
    World::ask("key", owner).with_mode(Mode::READER)
}

/// An evicted lease is over, and the eviction tells which it was.
pub async fn eviction_ends_the_lease(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let eviction = world.evict("key").await;
    expect_eq!((eviction.leases, eviction.more), (vec![held.clone()], false));
    world.free("key").await;
    let next = world.granted(&World::ask("key", "bob")).await;
    assert!(next.token > held.token, "{} follows {}", next.token, held.token);
}

/// The key of an evicted lease goes to the next waiter in the same step, and not when somebody
/// looks.
pub async fn eviction_grants_to_the_next(world: World) {
    let ((_, bob), carol) = (world.holder_and_waiter().await, World::queueing("key", "carol"));
    world.queued(&carol).await;
    expect_eq!(world.evict("key").await.leases.len(), 1);
    world.elapse(World::BRIEF).await;
    let seen = world.look("key").await;
    assert!(seen.value.leases[0].age(seen.observed_at) >= World::BRIEF, "{seen:?}");
    expect_eq!(world.holding("key").await, [bob.id]);
    expect_eq!(world.waiting("key").await, [carol.id]);
}

/// The eviction of one lease leaves the others alone; one of all takes them.
pub async fn eviction_of_one_lease_spares_the_others(world: World) {
    let (alice, bob, carol) = (reader("alice"), reader("bob"), reader("carol"));
    let mut spared = vec![world.granted(&alice).await];
    let evicted = world.granted(&bob).await;
    spared.push(world.granted(&carol).await);
    expect_eq!(world.evict_lease(&evicted).await.leases, slice::from_ref(&evicted));
    let mut seen = world.inspect("key").await.leases;
    seen.sort_by_key(|lease| lease.token);
    expect_eq!(seen, spared);
    let mut rest = world.evict("key").await.leases;
    rest.sort_by_key(|lease| lease.token);
    expect_eq!(rest, spared);
    world.free("key").await;
}

/// The eviction of a waiter tells which it was, and leaves the holder and the other waiters alone;
/// those behind it that fit are granted.
pub async fn eviction_of_a_waiter_spares_the_others(world: World) {
    let held = world.granted(&reader("alice")).await;
    let (writer, second) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    let third = World::queueing("key", "dave");
    for waiter in [&writer, &second, &third] {
        world.queued(waiter).await;
    }
    let waiters = world.inspect("key").await.waiters.items;
    let eviction = world.evict_waiter(&second).await;
    expect_eq!((eviction.leases, eviction.waiter), (vec![], Some(waiters[1].clone())));
    expect_eq!(world.only_lease("key").await, held);
    expect_eq!(world.waiting("key").await, [writer.id, third.id]);
    let reader = World::queueing("key", "erin").with_mode(Mode::READER);
    world.dequeued(&third).await;
    world.queued(&reader).await;
    expect_eq!(world.evict_waiter(&writer).await.waiter, Some(waiters[0].clone()));
    expect_eq!(world.inspect("key").await.holders, 2);
}

/// An evicted holder cannot renew, whether or not the key went on to another.
pub async fn evicted_holder_cannot_renew(world: World) {
    let late = world.granted(&World::ask("key", "alice")).await;
    expect_eq!(world.evict("key").await.leases.len(), 1);
    expect_eq!(world.renew(&late, late.ttl).await, Renewal::Ended(World::end_by_eviction()));
    world.free("key").await;
    let held = world.granted(&World::ask("key", "bob")).await;
    expect_eq!(world.renew(&late, late.ttl).await, Renewal::Ended(World::end_by_eviction()));
    expect_eq!(world.only_lease("key").await, held);
}

/// An evicted holder that releases late does not end the lease of its successor.
pub async fn evicted_holder_cannot_release_the_successor(world: World) {
    let (late, bob) = world.holder_and_waiter().await;
    expect_eq!(world.evict("key").await.leases.len(), 1);
    let held = world.granted(&bob).await;
    expect_eq!(world.release(&late).await, Release::Ended(World::end_by_eviction()));
    expect_eq!(world.only_lease("key").await, held);
}

/// Where there is no lease to take nothing is taken: a waiter is no lease, and a holder no waiter.
pub async fn eviction_of_a_free_key_takes_nothing(world: World) {
    assert!(world.evict("key").await.is_empty(), "a free key has nothing to take");
    world.free("key").await;
    let (held, bob) = world.holder_and_waiter().await;
    for request in [&bob, &World::ask("key", "alice")] {
        let name = World::name_of(request, &held);
        assert!(world.evict_lease(&name).await.is_empty(), "{request:?} holds nothing");
    }
    let holder = World::ask("key", "alice");
    let mut holder_as_waiter = holder.clone();
    holder_as_waiter.id = held.request;
    for request in [&holder, &holder_as_waiter] {
        assert!(world.evict_waiter(request).await.is_empty(), "{request:?} does not wait");
    }
    expect_eq!(world.only_lease("key").await, held);
    expect_eq!(world.waiting("key").await, [bob.id]);
}

/// A lease that never ends by itself ends by eviction.
pub async fn eviction_ends_a_never_ending_lease(world: World) {
    let held = world.granted(&World::ask("key", "alice").with_ttl(Ttl::Never)).await;
    let bob = World::queueing("key", "bob").with_ttl(Ttl::Never);
    world.queued(&bob).await;
    expect_eq!(world.evict_lease(&held).await.leases, slice::from_ref(&held));
    expect_eq!(world.granted(&bob).await.expires_at, None);
    expect_eq!(world.evict("key").await.leases.len(), 1);
    world.free("key").await;
}
