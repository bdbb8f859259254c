//! Inspection: who holds, who waits, and how the store is.

use std::time::Duration;

use std::num::NonZeroU32;

use lock_core::{AcquireRequest, InspectQuery, Mode, SessionId, Ttl, Waiter, WaitsQuery};

use super::expect_eq;
use crate::World;

fn limit(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("a page holds something")
}

fn brief(request: AcquireRequest) -> AcquireRequest {
    request.with_ttl(World::ttl(World::BRIEF)).queueing(World::keep_alive(World::BRIEF))
}

/// A key that nobody request for, or that nobody holds any more, shows nothing.
pub async fn free_key_shows_nothing(world: World) {
    world.free("key").await;
    let held = world.granted(&World::ask("key", "alice")).await;
    world.released(&held).await;
    world.free("key").await;
}

/// All holders are shown as they were granted, the first to end first, up to the limit.
pub async fn holders_are_shown(world: World) {
    let ask = |owner, ttl| World::ask("key", owner).with_mode(Mode::READER).with_ttl(ttl);
    let never = world.granted(&ask("alice", Ttl::Never)).await;
    let late = world.granted(&ask("bob", World::ttl(Duration::from_secs(40)))).await;
    let soon = world.granted(&ask("bob", World::ttl(Duration::from_secs(20)))).await;
    let seen = world.inspect("key").await;
    expect_eq!((seen.key, seen.holders, seen.waiting), (World::key("key"), 3, 0));
    expect_eq!(seen.leases, [soon.clone(), late.clone(), never]);
    let two = InspectQuery::new(World::key("key")).with_limit(limit(2));
    let seen = world.store().inspect(&two).await.expect("inspect answers").value;
    expect_eq!((seen.leases, seen.holders), (vec![soon, late], 3));
}

/// All waiters are shown with what they request for, the next first.
pub async fn waiters_are_shown_in_order(world: World) {
    let (_, bob) = world.holder_and_waiter().await;
    let carol = World::queueing("key", "carol").with_mode(Mode::READER);
    let dave = World::queueing("key", "dave").with_session(SessionId::random());
    let dave = dave.with_head_start(World::head_start(Duration::from_secs(60)));
    for request in [&carol, &dave] {
        world.queued(request).await;
    }
    let seen = world.inspect("key").await;
    expect_eq!((seen.holders, seen.waiting, seen.waiters.items.len()), (1, 3, 3));
    for (waiter, request) in seen.waiters.items.iter().zip([dave, bob, carol]) {
        let (from, to) = (waiter.enqueued_at, waiter.enqueued_at.after(World::KEEP_ALIVE));
        let expected = Waiter::new(request.key, request.owner, request.id, from, to)
            .with_session(request.session)
            .with_terms(request.mode, request.head_start);
        expect_eq!(*waiter, expected);
    }
}

/// How long a holder has held, a lease lasts and a waiter waits is told on the store's clock.
pub async fn ages_are_counted_on_the_stores_clock(world: World) {
    let (span, slack) = (Duration::from_secs(1), Duration::from_secs(10));
    let held = world.granted(&World::ask("key", "alice")).await;
    world.queued(&World::queueing("key", "bob")).await;
    world.elapse(span).await;
    let seen = world.look("key").await;
    let (now, seen) = (seen.observed_at, seen.value);
    let age = held.age(now);
    assert!(span <= age && age < span + slack, "held for {age:?}");
    expect_eq!(seen.leases[0].remaining(now), Some(World::TTL - age));
    let waited = now.since(seen.waiters.items[0].enqueued_at);
    assert!(span <= waited && waited <= age, "waited for {waited:?} of {age:?}");
}

/// Leases that are over and waiters that were silent for too long are not shown.
pub async fn the_dead_are_not_shown(world: World) {
    let held = world.granted(&World::ask("held", "alice")).await;
    world.queued(&brief(World::ask("held", "bob"))).await;
    world.granted(&brief(World::ask("over", "alice"))).await;
    world.elapse(World::BRIEF).await;
    world.free("over").await;
    expect_eq!(world.waits_of("bob").await, []);
    expect_eq!(world.only_lease("held").await, held);
    let seen = world.inspect("held").await;
    expect_eq!((seen.waiters.items, seen.waiting), (vec![], 0));
}

/// Looking at a key whose lease ran out grants it to the waiter, and shows that.
pub async fn inspection_grants_what_is_due(world: World) {
    world.granted(&brief(World::ask("key", "alice"))).await;
    let bob = World::queueing("key", "bob");
    world.queued(&bob).await;
    world.elapse(World::BRIEF).await;
    let seen = world.inspect("key").await;
    expect_eq!((seen.holders, seen.waiting, seen.leases.len()), (1, 0, 1));
    let lease = &seen.leases[0];
    expect_eq!((lease.request, &lease.owner), (bob.id, &bob.owner));
    expect_eq!(lease.expires_at, Some(lease.granted_at.after(World::KEEP_ALIVE)));
    expect_eq!(world.granted(&bob).await.token, lease.token);
}

/// Every request of an owner that waits is found, whatever key it waits for.
pub async fn waits_of_an_owner_are_found(world: World) {
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        world.granted(&World::ask(key, "alice")).await;
        for owner in ["bob", "bob2", "bob:a", "Bob", "b*b"] {
            world.queued(&World::queueing(key, owner)).await;
        }
        expected.push(world.inspect(key).await.waiters.items.remove(0));
    }
    world.granted(&World::ask("d", "bob")).await;
    expect_eq!(world.waits_of("bob").await, expected);
    expect_eq!(world.waits_of("alice").await, []);
}

/// Every request of a session that waits is found, and none of another session of its owner.
pub async fn waits_of_a_session_are_found(world: World) {
    let session = SessionId::random();
    let mut expected = Vec::new();
    for key in ["a", "b", "c"] {
        world.granted(&World::ask(key, "alice").with_session(session)).await;
        world.queued(&World::queueing(key, "bob").with_session(session)).await;
        expected.push(world.only_waiter(key).await);
        world.queued(&World::queueing(key, "bob")).await;
        world.queued(&World::queueing(key, "bob").with_session(SessionId::random())).await;
    }
    expect_eq!(world.waits(WaitsQuery::new(session)).await, expected);
    expect_eq!(world.waits(WaitsQuery::new(SessionId::random())).await, []);
    expect_eq!(world.waits_of("bob").await.len(), 9);
}

/// Eleven waiters of an owner on three keys are each found once, on pages of one, four or all.
pub async fn waits_are_paged(world: World) {
    let mut expected = Vec::new();
    for (key, count) in [("a", 7), ("b", 1), ("c", 3)] {
        world.granted(&World::ask(key, "alice")).await;
        for _ in 0..count {
            world.queued(&World::queueing(key, "bob")).await;
            world.queued(&World::queueing(key, "carol")).await;
        }
        let waiters = world.inspect(key).await.waiters.items;
        expected.extend(waiters.into_iter().filter(|waiter| waiter.owner.as_str() == "bob"));
    }
    expected.sort_by_key(|waiter| (waiter.key.clone(), waiter.request));
    for size in [1, 4, 11, 100] {
        let query = WaitsQuery::new(World::owner("bob")).with_limit(limit(size));
        expect_eq!(world.waits(query).await, expected, "on pages of {size}");
    }
}

/// Nine waiters are each shown once and in order, on pages of one, four or all.
pub async fn waiters_are_paged(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let mut requests = Vec::new();
    for request in World::patient(9) {
        world.queued(&request).await;
        requests.push(request.id);
    }
    for size in [1, 4, 9, 100] {
        let mut query = InspectQuery::new(World::key("key")).with_limit(limit(size));
        let mut shown = Vec::new();
        loop {
            let seen = world.store().inspect(&query).await.expect("inspect answers").value;
            expect_eq!((seen.waiting, seen.leases.len()), (9, 1));
            assert!(seen.waiters.items.len() <= size as usize, "{seen:?}");
            shown.extend(seen.waiters.items.iter().map(|waiter| waiter.request));
            let Some(next) = seen.waiters.next else { break };
            query = query.after(next);
        }
        expect_eq!(shown, requests, "on pages of {size}");
    }
}

/// A request is found among the waits of its owner until it is granted or leaves.
pub async fn waits_end_with_the_grant(world: World) {
    let mut pairs = Vec::new();
    for key in ["cancelled", "evicted", "released", "thrown out", "kept"] {
        let waiter = World::queueing(key, "bob");
        let held = world.granted(&World::ask(key, "alice")).await;
        world.queued(&waiter).await;
        pairs.push((held, waiter));
    }
    expect_eq!(world.waits_of("bob").await.len(), 5);
    world.dequeued(&pairs[0].1).await;
    expect_eq!(world.evict("evicted").await.leases.len(), 1);
    world.released(&pairs[2].0).await;
    world.evicted_waiter(&pairs[3].1).await;
    expect_eq!(world.waits_of("bob").await, [world.only_waiter("kept").await]);
}

/// The store tells what it is, the same on every connection.
pub async fn health_is_told(world: World) {
    let health = world.store().health().await.expect("health answers");
    assert!(!health.store.is_empty(), "{health:?}");
    expect_eq!(world.connect().await.health().await.expect("health answers"), health);
}

/// The store offers what it is expected to, on every connection.
pub async fn capabilities_are_as_expected(world: World) {
    expect_eq!(world.store().capabilities(), world.expected());
    expect_eq!(world.connect().await.capabilities(), world.expected());
}

/// Fifty waiters are counted and shown, and those that leave are not.
pub async fn queue_of_many_is_counted(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let requests = World::patient(50);
    for request in &requests {
        world.queued(request).await;
    }
    expect_eq!(world.inspect("key").await.waiting, 50);
    for request in requests.iter().step_by(5) {
        world.dequeued(request).await;
    }
    expect_eq!(world.inspect("key").await.waiting, 40);
    let staying = requests.chunks(5).flat_map(|five| &five[1..]).map(|request| request.id);
    expect_eq!(world.waiting("key").await, staying.collect::<Vec<_>>());
}
