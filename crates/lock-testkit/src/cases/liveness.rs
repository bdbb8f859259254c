//! Liveness: the dead, waiting or granted, hold nobody up for longer than their keep-alive.

use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition, Ttl};

use super::expect_eq;
use crate::World;

/// A keep-alive that is over soon.
const SHORT: Duration = Duration::from_secs(1);

/// A waiting request for `key` that may be silent for a short time only.
fn brief(owner: &str) -> AcquireRequest {
    World::ask("key", owner).queueing(World::keep_alive(SHORT))
}

/// Hands `key` to the waiting request by a release, and answers how long that lasts at first.
async fn window(world: &World, waiter: &AcquireRequest) -> Duration {
    let held = world.granted(&World::ask("key", "alice")).await;
    world.queued(waiter).await;
    world.released(&held).await;
    let lease = world.only_lease("key").await;
    expect_eq!((lease.request, lease.ttl), (waiter.id, waiter.ttl));
    lease.remaining(lease.granted_at).expect("an unclaimed lease ends")
}

/// A waiter that is silent for its keep-alive is out of the queue, also when it is not the next,
/// and joins at its end.
pub async fn silent_waiter_loses_its_place(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let (first, other) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    let silent = brief("dave");
    for waiter in [&first, &silent, &other] {
        world.queued(waiter).await;
    }
    world.elapse(SHORT).await;
    expect_eq!(world.waiting("key").await, [first.id, other.id]);
    expect_eq!(world.queued(&other).await.position, 2);
    expect_eq!(world.queued(&silent).await.position, 3);
}

/// A silent head of the queue is passed over when the key is released.
pub async fn dead_head_is_skipped(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let living = World::queueing("key", "carol");
    world.queued(&brief("bob")).await;
    world.queued(&living).await;
    world.elapse(SHORT).await;
    world.released(&held).await;
    expect_eq!(world.holding("key").await, [living.id]);
    expect_eq!(world.waiting("key").await, []);
}

/// However many silent waiters stand before it, a living one has the key after a few asks.
pub async fn many_dead_heads_are_skipped(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    for number in 0..200 {
        world.queued(&brief(&format!("owner-{number}"))).await;
    }
    let living = World::queueing("key", "bob");
    world.queued(&living).await;
    world.elapse(SHORT).await;
    world.released(&held).await;
    for _ in 0..10 {
        let answer = world.acquire(&living).await;
        match answer.value {
            Acquisition::Granted(lease) => {
                expect_eq!(world.inspect("key").await.leases, vec![lease.clone()]);
                return;
            }
            Acquisition::Queued(position) => {
                expect_eq!((position.holders, position.holder), (0, None));
                expect_eq!(position.next_change_at, Some(answer.observed_at));
            }
            other => panic!("expected a grant or a place, got {other:?}"),
        }
    }
    panic!("ten asks did not clear away the dead");
}

/// A waiter before another, that must be heard of within two short times.
async fn first_of_two(world: &World) -> AcquireRequest {
    world.granted(&World::ask("key", "alice")).await;
    let first = World::ask("key", "bob").queueing(World::keep_alive(SHORT * 2));
    world.queued(&first).await;
    expect_eq!(world.queued(&World::queueing("key", "carol")).await.position, 2);
    first
}

/// A waiter that is heard in time keeps its place for as long as it likes.
pub async fn heard_waiter_keeps_its_place(world: World) {
    let first = first_of_two(&world).await;
    for _ in 0..4 {
        world.elapse(SHORT).await;
        let position = world.heard_waiting(&first).await;
        expect_eq!((position.position, position.waiting), (1, 2));
    }
}

/// A waiter that asks again in time keeps its place for as long as it likes.
pub async fn asking_again_keeps_the_place(world: World) {
    let first = first_of_two(&world).await;
    for _ in 0..4 {
        world.elapse(SHORT).await;
        let position = world.queued(&first).await;
        expect_eq!((position.position, position.waiting), (1, 2));
    }
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
