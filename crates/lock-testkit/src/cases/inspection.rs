//! Inspection: holders, waiters and the store's health.

mod waits;

use std::time::Duration;

use std::num::NonZeroU32;

use lock_core::{AcquireRequest, InspectQuery, Mode, SessionId, Ttl, Waiter};

use super::expect_eq;
use crate::TestContext;

pub use waits::*;

fn limit(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("a page holds something")
}

fn brief(request: AcquireRequest) -> AcquireRequest {
    request
        .with_ttl(TestContext::ttl(TestContext::BRIEF))
        .queueing(TestContext::keep_alive(TestContext::BRIEF))
}

/// A key that was never requested, or that has no holder any more, shows nothing.
pub async fn free_key_shows_nothing(context: TestContext) {
    context.free("key").await;
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    context.released(&held).await;
    context.free("key").await;
}

/// All holders are shown as they were granted, the first to end first, up to the limit.
pub async fn holders_are_shown(context: TestContext) {
    let ask = |owner, ttl| TestContext::ask("key", owner).with_mode(Mode::READER).with_ttl(ttl);
    let never = context.granted(&ask("alice", Ttl::Never)).await;
    let late = context.granted(&ask("bob", TestContext::ttl(Duration::from_secs(40)))).await;
    let soon = context.granted(&ask("bob", TestContext::ttl(Duration::from_secs(20)))).await;
    let seen = context.inspect("key").await;
    expect_eq!((seen.key, seen.holders, seen.waiting), (TestContext::key("key"), 3, 0));
    expect_eq!(seen.leases, [soon.clone(), late.clone(), never]);
    let two = InspectQuery::new(TestContext::key("key")).with_limit(limit(2));
    let seen = context.store().inspect(&two).await.expect("inspect answers").value;
    expect_eq!((seen.leases, seen.holders), (vec![soon, late], 3));
}

/// All waiters are shown with the terms of their requests, the next first.
pub async fn waiters_are_shown_in_order(context: TestContext) {
    let (_, bob) = context.holder_and_waiter().await;
    let carol = TestContext::queueing("key", "carol").with_mode(Mode::READER);
    let dave = TestContext::queueing("key", "dave").with_session(SessionId::random());
    let dave = dave.with_head_start(TestContext::head_start(Duration::from_secs(60)));
    for request in [&carol, &dave] {
        context.queued(request).await;
    }
    let seen = context.inspect("key").await;
    expect_eq!((seen.holders, seen.waiting, seen.waiters.items.len()), (1, 3, 3));
    for (waiter, request) in seen.waiters.items.iter().zip([dave, bob, carol]) {
        let (from, to) = (waiter.enqueued_at, waiter.enqueued_at.after(TestContext::KEEP_ALIVE));
        let expected = Waiter::new(request.key, request.owner, request.id, from, to)
            .with_session(request.session)
            .with_terms(request.mode, request.head_start);
        expect_eq!(*waiter, expected);
    }
}

/// The age of a holder, the end of a lease and the age of a wait are on the store's clock.
pub async fn ages_are_counted_on_the_stores_clock(context: TestContext) {
    let (span, slack) = (Duration::from_secs(1), Duration::from_secs(10));
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    context.queued(&TestContext::queueing("key", "bob")).await;
    context.elapse(span).await;
    let seen = context.look("key").await;
    let (now, seen) = (seen.observed_at, seen.value);
    let age = held.age(now);
    assert!(span <= age && age < span + slack, "held for {age:?}");
    expect_eq!(seen.leases[0].remaining(now), Some(TestContext::TTL - age));
    let waited = now.since(seen.waiters.items[0].enqueued_at);
    assert!(span <= waited && waited <= age, "waited for {waited:?} of {age:?}");
}

/// Leases that are over and waiters that were silent for too long are not shown.
pub async fn the_dead_are_not_shown(context: TestContext) {
    let held = context.granted(&TestContext::ask("held", "alice")).await;
    context.queued(&brief(TestContext::ask("held", "bob"))).await;
    context.granted(&brief(TestContext::ask("over", "alice"))).await;
    context.elapse(TestContext::BRIEF).await;
    context.free("over").await;
    expect_eq!(context.waits_of("bob").await, []);
    expect_eq!(context.only_lease("held").await, held);
    let seen = context.inspect("held").await;
    expect_eq!((seen.waiters.items, seen.waiting), (vec![], 0));
}

/// Inspection of a key whose lease expired grants it to the waiter, and shows that.
pub async fn inspection_grants_what_is_due(context: TestContext) {
    context.granted(&brief(TestContext::ask("key", "alice"))).await;
    let bob = TestContext::queueing("key", "bob");
    context.queued(&bob).await;
    context.elapse(TestContext::BRIEF).await;
    let seen = context.inspect("key").await;
    expect_eq!((seen.holders, seen.waiting, seen.leases.len()), (1, 0, 1));
    let lease = &seen.leases[0];
    expect_eq!((lease.request, &lease.owner), (bob.id, &bob.owner));
    expect_eq!(lease.expires_at, Some(lease.granted_at.after(TestContext::KEEP_ALIVE)));
    expect_eq!(context.granted(&bob).await.token, lease.token);
}

/// The store reports what it is, the same on every connection.
pub async fn health_is_reported(context: TestContext) {
    let health = context.store().health().await.expect("health answers");
    assert!(!health.store.is_empty(), "{health:?}");
    expect_eq!(context.connect().await.health().await.expect("health answers"), health);
}

/// The store has the expected capabilities, on every connection.
pub async fn capabilities_are_as_expected(context: TestContext) {
    expect_eq!(context.store().capabilities(), context.expected());
    expect_eq!(context.connect().await.capabilities(), context.expected());
}

/// Fifty waiters are counted and shown, and those that leave are not.
pub async fn queue_of_many_is_counted(context: TestContext) {
    context.granted(&TestContext::ask("key", "alice")).await;
    let requests = TestContext::patient(50);
    for request in &requests {
        context.queued(request).await;
    }
    expect_eq!(context.inspect("key").await.waiting, 50);
    for request in requests.iter().step_by(5) {
        context.dequeued(request).await;
    }
    expect_eq!(context.inspect("key").await.waiting, 40);
    let staying = requests.chunks(5).flat_map(|five| &five[1..]).map(|request| request.id);
    expect_eq!(context.waiting("key").await, staying.collect::<Vec<_>>());
}
