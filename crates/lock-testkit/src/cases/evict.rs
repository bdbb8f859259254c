//! Eviction: an operator ends leases or a waiter.

use std::slice;

use lock_core::{AcquireRequest, Mode, Release, Renewal, Ttl};

use super::expect_eq;
use crate::TestContext;

fn reader(owner: &str) -> AcquireRequest {
    TestContext::ask("key", owner).with_mode(Mode::READER)
}

/// An evicted lease is over, and the answer contains it.
pub async fn eviction_ends_the_lease(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let eviction = context.evict("key").await;
    expect_eq!((eviction.leases, eviction.more), (vec![held.clone()], false));
    context.free("key").await;
    let next = context.granted(&TestContext::ask("key", "bob")).await;
    assert!(next.token > held.token, "{} follows {}", next.token, held.token);
}

/// The key of an evicted lease goes to the next waiter in the same step, not at the next command.
pub async fn eviction_grants_to_the_next(context: TestContext) {
    let ((_, bob), carol) =
        (context.holder_and_waiter().await, TestContext::queueing("key", "carol"));
    context.queued(&carol).await;
    expect_eq!(context.evict("key").await.leases.len(), 1);
    context.elapse(TestContext::BRIEF).await;
    let seen = context.look("key").await;
    assert!(seen.value.leases[0].age(seen.observed_at) >= TestContext::BRIEF, "{seen:?}");
    expect_eq!(context.holding("key").await, [bob.id]);
    expect_eq!(context.waiting("key").await, [carol.id]);
}

/// The eviction of one lease leaves the others; an eviction of all ends them.
pub async fn eviction_of_one_lease_spares_the_others(context: TestContext) {
    let (alice, bob, carol) = (reader("alice"), reader("bob"), reader("carol"));
    let mut spared = vec![context.granted(&alice).await];
    let evicted = context.granted(&bob).await;
    spared.push(context.granted(&carol).await);
    expect_eq!(context.evict_lease(&evicted).await.leases, slice::from_ref(&evicted));
    let mut seen = context.inspect("key").await.leases;
    seen.sort_by_key(|lease| lease.token);
    expect_eq!(seen, spared);
    let mut rest = context.evict("key").await.leases;
    rest.sort_by_key(|lease| lease.token);
    expect_eq!(rest, spared);
    context.free("key").await;
}

/// The eviction of a waiter returns it, and leaves the holder and the other waiters; those behind
/// it that fit are granted.
pub async fn eviction_of_a_waiter_spares_the_others(context: TestContext) {
    let held = context.granted(&reader("alice")).await;
    let (writer, second) =
        (TestContext::queueing("key", "bob"), TestContext::queueing("key", "carol"));
    let third = TestContext::queueing("key", "dave");
    for waiter in [&writer, &second, &third] {
        context.queued(waiter).await;
    }
    let waiters = context.inspect("key").await.waiters.items;
    let eviction = context.evict_waiter(&second).await;
    expect_eq!((eviction.leases, eviction.waiter), (vec![], Some(waiters[1].clone())));
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.waiting("key").await, [writer.id, third.id]);
    let reader = TestContext::queueing("key", "erin").with_mode(Mode::READER);
    context.dequeued(&third).await;
    context.queued(&reader).await;
    expect_eq!(context.evict_waiter(&writer).await.waiter, Some(waiters[0].clone()));
    expect_eq!(context.inspect("key").await.holders, 2);
}

/// An evicted holder cannot renew, whether or not the key went on to another.
pub async fn evicted_holder_cannot_renew(context: TestContext) {
    let late = context.granted(&TestContext::ask("key", "alice")).await;
    expect_eq!(context.evict("key").await.leases.len(), 1);
    expect_eq!(
        context.renew(&late, late.ttl).await,
        Renewal::Ended(TestContext::end_by_eviction())
    );
    context.free("key").await;
    let held = context.granted(&TestContext::ask("key", "bob")).await;
    expect_eq!(
        context.renew(&late, late.ttl).await,
        Renewal::Ended(TestContext::end_by_eviction())
    );
    expect_eq!(context.only_lease("key").await, held);
}

/// An evicted holder that releases late does not end the lease of its successor.
pub async fn evicted_holder_cannot_release_the_successor(context: TestContext) {
    let (late, bob) = context.holder_and_waiter().await;
    expect_eq!(context.evict("key").await.leases.len(), 1);
    let held = context.granted(&bob).await;
    expect_eq!(context.release(&late).await, Release::Ended(TestContext::end_by_eviction()));
    expect_eq!(context.only_lease("key").await, held);
}

/// Evicting a lease that does not exist changes nothing: a waiter is not a lease, and a holder is
/// not a waiter.
pub async fn eviction_of_a_free_key_takes_nothing(context: TestContext) {
    assert!(context.evict("key").await.is_empty(), "a free key has nothing to take");
    context.free("key").await;
    let (held, bob) = context.holder_and_waiter().await;
    for request in [&bob, &TestContext::ask("key", "alice")] {
        let name = TestContext::name_of(request, &held);
        assert!(context.evict_lease(&name).await.is_empty(), "{request:?} holds nothing");
    }
    let holder = TestContext::ask("key", "alice");
    let mut holder_as_waiter = holder.clone();
    holder_as_waiter.id = held.request;
    for request in [&holder, &holder_as_waiter] {
        assert!(context.evict_waiter(request).await.is_empty(), "{request:?} does not wait");
    }
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.waiting("key").await, [bob.id]);
}

/// A lease that never expires ends by eviction.
pub async fn eviction_ends_a_never_ending_lease(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice").with_ttl(Ttl::Never)).await;
    let bob = TestContext::queueing("key", "bob").with_ttl(Ttl::Never);
    context.queued(&bob).await;
    expect_eq!(context.evict_lease(&held).await.leases, slice::from_ref(&held));
    expect_eq!(context.granted(&bob).await.expires_at, None);
    expect_eq!(context.evict("key").await.leases.len(), 1);
    context.free("key").await;
}
