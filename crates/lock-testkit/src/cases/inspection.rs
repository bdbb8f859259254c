//! Inspection: who holds, who waits, and how the store is.

mod waits;

use std::time::Duration;

use std::num::NonZeroU32;

use lock_core::{AcquireRequest, InspectQuery, Mode, SessionId, Ttl, Waiter};

use super::expect_eq;
use crate::World;

pub use waits::*;

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
