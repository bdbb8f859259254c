//! Liveness: the dead, waiting or granted, hold nobody up for longer than their keep-alive.

use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition, Release, Ttl};

use crate::World;

/// A keep-alive that is over soon.
const SHORT: Duration = Duration::from_secs(1);

/// A waiting request for `key` that may be silent for a short time only.
fn brief(owner: &str) -> AcquireRequest {
    World::ask("key", owner).queueing(World::keep_alive(SHORT))
}

/// Hands `key` to the waiting request by a release, and answers how long that lasts at first.
async fn window(world: &World, waiter: &AcquireRequest) -> Duration {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    world.queued(waiter).await;
    assert_eq!(world.release(&holder).await, Release::Released);
    let lease = world.only_lease("key").await;
    assert_eq!((lease.request, lease.ttl), (waiter.request, waiter.ttl));
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
    assert_eq!(world.waiting("key").await, vec![first.request, other.request]);
    assert_eq!(world.queued(&other).await.position, 2);
    assert_eq!(world.queued(&silent).await.position, 3);
}

/// A silent head of the queue is passed over when the key is released.
pub async fn dead_head_is_skipped(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let living = World::queueing("key", "carol");
    world.queued(&brief("bob")).await;
    world.queued(&living).await;
    world.elapse(SHORT).await;
    assert_eq!(world.release(&holder).await, Release::Released);
    assert_eq!(world.holding("key").await, vec![living.request]);
    assert_eq!(world.waiting("key").await, vec![]);
}

/// However many silent waiters stand before it, a living one has the key after a few asks.
pub async fn many_dead_heads_are_skipped(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    for number in 0..200 {
        world.queued(&brief(&format!("owner-{number}"))).await;
    }
    let living = World::queueing("key", "bob");
    world.queued(&living).await;
    world.elapse(SHORT).await;
    assert_eq!(world.release(&holder).await, Release::Released);
    for _ in 0..10 {
        match world.acquire(&living).await {
            Acquisition::Granted(lease) => {
                assert_eq!(world.inspect("key").await.leases, vec![lease]);
                return;
            }
            Acquisition::Queued(place) => assert_eq!((place.holders, place.holder), (0, None)),
            other => panic!("expected a grant or a place, got {other:?}"),
        }
    }
    panic!("ten asks did not clear away the dead");
}

/// A waiter that is heard of in time keeps its place for as long as it likes.
pub async fn heard_waiter_keeps_its_place(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let keep_alive = World::keep_alive(SHORT * 2);
    let first = World::ask("key", "bob").queueing(keep_alive);
    world.queued(&first).await;
    assert_eq!(world.queued(&World::queueing("key", "carol")).await.position, 2);
    for _ in 0..4 {
        world.elapse(SHORT).await;
        let place = world.queued(&first).await;
        assert_eq!((place.position, place.waiting), (1, 2));
    }
}

/// A waiter that was granted and says nothing holds the key for its keep-alive and no longer.
pub async fn claim_window_ends_an_unclaimed_grant(world: World) {
    let (silent, next) = (brief("bob"), World::queueing("key", "carol"));
    assert_eq!(window(&world, &silent).await, SHORT);
    world.queued(&next).await;
    world.elapse(SHORT).await;
    assert_eq!(world.holding("key").await, vec![next.request]);
    let place = world.queued(&silent).await;
    assert_eq!((place.position, place.waiting), (1, 1));
}

/// The first renewal makes a lease that was handed to a waiter full length, as asking again would.
pub async fn renewal_claims_the_grant(world: World) {
    let waiter = brief("bob");
    assert_eq!(window(&world, &waiter).await, SHORT);
    let handed = world.only_lease("key").await;
    let claimed = world.renewed(&waiter).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(World::TTL)));
    assert_eq!(claimed, handed.with_expires_at(claimed.expires_at));
    world.elapse(SHORT).await;
    assert_eq!(world.granted(&waiter).await, claimed);
}

/// Asking again makes a lease that was handed to a waiter full length, once.
pub async fn asking_again_claims_the_grant(world: World) {
    let waiter = brief("bob");
    assert_eq!(window(&world, &waiter).await, SHORT);
    let handed = world.only_lease("key").await;
    let claimed = world.granted(&waiter).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(World::TTL)));
    assert_eq!(claimed, handed.with_expires_at(claimed.expires_at));
    world.elapse(SHORT).await;
    assert_eq!(world.granted(&waiter).await, claimed);
}

/// A lease that never ends does end while the waiter it was handed to has not claimed it.
pub async fn unclaimed_never_ending_lease_ends(world: World) {
    let silent = brief("bob").with_ttl(Ttl::Never);
    assert_eq!(window(&world, &silent).await, SHORT);
    world.elapse(SHORT).await;
    world.free("key").await;

    let living = brief("carol").with_ttl(Ttl::Never);
    assert_eq!(window(&world, &living).await, SHORT);
    assert_eq!(world.granted(&living).await.expires_at, None);
}

/// A lease shorter than the claim window is not made longer by it.
pub async fn short_ttl_bounds_the_claim_window(world: World) {
    let ttl = Duration::from_millis(300);
    let waiter = World::queueing("key", "bob").with_ttl(World::ttl(ttl));
    assert_eq!(window(&world, &waiter).await, ttl);
    world.elapse(ttl).await;
    world.free("key").await;
}
