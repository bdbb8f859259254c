//! Inspection: who holds, who waits, and how the store is.

use std::time::Duration;

use lock_core::{AcquireRequest, Mode, Ttl, Waiter};

use crate::World;

fn brief(asked: AcquireRequest) -> AcquireRequest {
    asked.with_ttl(World::ttl(World::BRIEF)).queueing(World::keep_alive(World::BRIEF))
}

/// A key that nobody asked for, or that nobody holds any more, shows nothing.
pub async fn free_key_shows_nothing(world: World) {
    world.free("key").await;
    let alice = World::ask("key", "alice");
    let held = world.granted(&alice).await;
    world.released(&alice).await;
    world.free("key").await;
    assert!(world.inspect("key").await.observed_at >= held.granted_at, "the store's own time");
}

/// All holders are shown as they were granted, the first to end first.
pub async fn holders_are_shown(world: World) {
    let ask = |owner, ttl| World::ask("key", owner).with_mode(Mode::READER).with_ttl(ttl);
    let never = world.granted(&ask("alice", Ttl::Never)).await;
    let late = world.granted(&ask("bob", World::ttl(Duration::from_secs(40)))).await;
    let soon = world.granted(&ask("bob", World::ttl(Duration::from_secs(20)))).await;
    let seen = world.inspect("key").await;
    assert_eq!((seen.key, seen.holders, seen.waiting), (World::key("key"), 3, 0));
    assert_eq!(seen.leases, [soon, late, never]);
}

/// All waiters are shown with what they asked for, the next first.
pub async fn waiters_are_shown_in_order(world: World) {
    let (_, bob) = world.holder_and_waiter().await;
    let carol = World::queueing("key", "carol").with_mode(Mode::READER);
    let dave = World::queueing("key", "dave");
    let dave = dave.with_head_start(World::head_start(Duration::from_secs(60)));
    for asked in [&carol, &dave] {
        world.queued(asked).await;
    }
    let seen = world.inspect("key").await;
    assert_eq!((seen.holders, seen.waiting, seen.waiters.len()), (1, 3, 3));
    for (waiter, asked) in seen.waiters.iter().zip([dave, bob, carol]) {
        let (from, to) = (waiter.enqueued_at, waiter.enqueued_at.after(World::KEEP_ALIVE));
        let expected = Waiter::new(asked.key, asked.owner, asked.request, from, to);
        assert_eq!(*waiter, expected.with_terms(asked.mode, asked.head_start));
    }
}

/// How long a holder has held, a lease lasts and a waiter waits is told on the store's clock.
pub async fn ages_are_counted_on_the_stores_clock(world: World) {
    let (span, slack) = (Duration::from_secs(1), Duration::from_secs(10));
    let held = world.granted(&World::ask("key", "alice")).await;
    world.queued(&World::queueing("key", "bob")).await;
    world.elapse(span).await;
    let seen = world.inspect("key").await;
    let age = held.age(seen.observed_at);
    assert!(span <= age && age < span + slack, "held for {age:?}");
    assert_eq!(seen.leases[0].remaining(seen.observed_at), Some(World::TTL - age));
    let waited = seen.observed_at.since(seen.waiters[0].enqueued_at);
    assert!(span <= waited && waited <= age, "waited for {waited:?} of {age:?}");
}

/// Leases that are over and waiters that were silent for too long are not shown.
pub async fn the_dead_are_not_shown(world: World) {
    let held = world.granted(&World::ask("held", "alice")).await;
    world.queued(&brief(World::ask("held", "bob"))).await;
    world.granted(&brief(World::ask("over", "alice"))).await;
    world.elapse(World::BRIEF).await;
    world.free("over").await;
    assert_eq!(world.waits_of("bob").await, []);
    assert_eq!(world.only_lease("held").await, held);
    let seen = world.inspect("held").await;
    assert_eq!((seen.waiters, seen.waiting), (vec![], 0));
}

/// Looking at a key whose lease ran out grants it to the waiter, and shows that.
pub async fn inspection_grants_what_is_due(world: World) {
    world.granted(&brief(World::ask("key", "alice"))).await;
    let bob = World::queueing("key", "bob");
    world.queued(&bob).await;
    world.elapse(World::BRIEF).await;
    let seen = world.inspect("key").await;
    assert_eq!((seen.holders, seen.waiting, seen.leases.len()), (1, 0, 1));
    let lease = &seen.leases[0];
    assert_eq!((lease.request, &lease.owner), (bob.request, &bob.owner));
    assert_eq!(lease.expires_at, Some(lease.granted_at.after(World::KEEP_ALIVE)));
    assert_eq!(world.granted(&bob).await.token, lease.token);
}

/// Every request of an owner that waits is found, whatever key it waits for.
pub async fn waits_of_an_owner_are_found(world: World) {
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        world.granted(&World::ask(key, "alice")).await;
        for owner in ["bob", "bob2", "bob:a", "Bob", "b*b"] {
            world.queued(&World::queueing(key, owner)).await;
        }
        expected.push(world.inspect(key).await.waiters.remove(0));
    }
    world.granted(&World::ask("d", "bob")).await;
    assert_eq!(world.waits_of("bob").await, expected);
    assert_eq!(world.waits_of("alice").await, []);
}

/// A request is found among the waits of its owner until it is granted or leaves.
pub async fn waits_end_with_the_grant(world: World) {
    let pairs = ["cancelled", "evicted", "released", "kept"]
        .map(|key| (World::ask(key, "alice"), World::queueing(key, "bob")));
    for (held, waiting) in &pairs {
        world.granted(held).await;
        world.queued(waiting).await;
    }
    assert_eq!(world.waits_of("bob").await.len(), 4);
    world.dequeued(&pairs[0].1).await;
    assert_eq!(world.evict("evicted").await.leases.len(), 1);
    world.released(&pairs[2].0).await;
    assert_eq!(world.waits_of("bob").await, world.inspect("kept").await.waiters);
}

/// The store tells what it is, the same on every connection.
pub async fn health_is_told(world: World) {
    let health = world.store().health().await.expect("health answers");
    assert!(!health.store.is_empty(), "{health:?}");
    assert_eq!(world.connect().await.health().await.expect("health answers"), health);
}

/// The store offers what it is expected to, on every connection.
pub async fn capabilities_are_as_expected(world: World) {
    assert_eq!(world.store().capabilities(), world.expected());
    assert_eq!(world.connect().await.capabilities(), world.expected());
}

/// Fifty waiters are counted and shown, and those that leave are not.
pub async fn queue_of_many_is_counted(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let asked = World::patient(50);
    for asked in &asked {
        world.queued(asked).await;
    }
    assert_eq!(world.inspect("key").await.waiting, 50);
    for asked in asked.iter().step_by(5) {
        world.dequeued(asked).await;
    }
    assert_eq!(world.inspect("key").await.waiting, 40);
    let staying = asked.chunks(5).flat_map(|five| &five[1..]).map(|asked| asked.request);
    assert_eq!(world.waiting("key").await, staying.collect::<Vec<_>>());
}
