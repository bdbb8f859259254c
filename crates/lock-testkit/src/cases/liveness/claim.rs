//! The claim window: what a waiter is handed lasts for a short time until it is claimed.

use std::time::Duration;

use lock_core::{AcquireRequest, Ttl};

use super::{SHORT, brief};
use crate::World;
use crate::cases::expect_eq;

/// Hands `key` to the waiting request by a release, and answers how long that lasts at first.
async fn window(world: &World, waiter: &AcquireRequest) -> Duration {
    let held = world.granted(&World::ask("key", "alice")).await;
    world.queued(waiter).await;
    world.released(&held).await;
    let lease = world.only_lease("key").await;
    expect_eq!((lease.request, lease.ttl), (waiter.id, waiter.ttl));
    lease.remaining(lease.granted_at).expect("an unclaimed lease ends")
}

/// A waiter that was granted and says nothing holds the key for its keep-alive and no longer.
pub async fn claim_window_ends_an_unclaimed_grant(world: World) {
    let (silent, next) = (brief("bob"), World::queueing("key", "carol"));
    expect_eq!(window(&world, &silent).await, SHORT);
    world.queued(&next).await;
    world.elapse(SHORT).await;
    expect_eq!(world.holding("key").await, [next.id]);
    let position = world.queued(&silent).await;
    expect_eq!((position.position, position.waiting), (1, 1));
}

/// The first renewal makes a lease that was handed to a waiter full length, as asking again would.
pub async fn renewal_claims_the_grant(world: World) {
    let waiter = brief("bob");
    expect_eq!(window(&world, &waiter).await, SHORT);
    let handed = world.only_lease("key").await;
    let claimed = world.renewed(&handed).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(World::TTL)), "{claimed:?}");
    world.elapse(SHORT).await;
    expect_eq!(world.granted(&waiter).await, claimed);
}

/// A hearing makes a lease that was handed to a waiter full length, once.
pub async fn hearing_claims_the_grant(world: World) {
    let waiter = brief("bob");
    expect_eq!(window(&world, &waiter).await, SHORT);
    let claimed = world.heard_granted(&waiter).await;
    assert!(claimed.expires_at >= Some(claimed.granted_at.after(World::TTL)), "{claimed:?}");
    world.elapse(SHORT).await;
    expect_eq!(world.heard_granted(&waiter).await, claimed);
    expect_eq!(world.only_lease("key").await, claimed);
}

/// Asking again makes a lease that was handed to a waiter full length, once.
pub async fn asking_again_claims_the_grant(world: World) {
    let waiter = brief("bob");
    expect_eq!(window(&world, &waiter).await, SHORT);
    let handed = world.only_lease("key").await;
    let claimed = world.granted(&waiter).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(World::TTL)), "{claimed:?}");
    expect_eq!(claimed, handed.with_expires_at(claimed.expires_at));
    world.elapse(SHORT).await;
    expect_eq!(world.granted(&waiter).await, claimed);
}

/// A lease that never ends does end while the waiter it was handed to has not claimed it.
pub async fn unclaimed_never_ending_lease_ends(world: World) {
    let silent = brief("bob").with_ttl(Ttl::Never);
    expect_eq!(window(&world, &silent).await, SHORT);
    world.elapse(SHORT).await;
    world.free("key").await;

    let living = brief("carol").with_ttl(Ttl::Never);
    expect_eq!(window(&world, &living).await, SHORT);
    expect_eq!(world.granted(&living).await.expires_at, None);
}

/// A lease shorter than the claim window is not made longer by it.
pub async fn short_ttl_bounds_the_claim_window(world: World) {
    let ttl = Duration::from_millis(300);
    let waiter = World::queueing("key", "bob").with_ttl(World::ttl(ttl));
    expect_eq!(window(&world, &waiter).await, ttl);
    world.elapse(ttl).await;
    world.free("key").await;
}
