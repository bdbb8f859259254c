//! The store's clock: it may stand still or jump, and order and tokens hold.

use std::time::Duration;

use lock_core::{AcquireRequest, Lease, RequestId, Ttl};

use crate::World;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Holds and releases the key once, and answers the lease that it was.
async fn turn(world: &World) -> Lease {
    let asked = World::ask("key", "alice");
    let lease = world.granted(&asked).await;
    world.released(&asked).await;
    lease
}

/// Each waiter is granted the key when the one before it releases, in the order given.
async fn take_turns(world: &World, first: &AcquireRequest, waiters: &[AcquireRequest]) {
    let order: Vec<RequestId> = waiters.iter().map(|asked| asked.request).collect();
    assert_eq!(world.waiting("key").await, order);
    let mut holder = first;
    for next in waiters {
        world.released(holder).await;
        assert_eq!(world.holding("key").await, [next.request]);
        holder = next;
    }
}

/// Tokens increase with every lease although no time passes in between.
pub async fn standing_clock_keeps_tokens_increasing(world: World) {
    let mut tokens = Vec::new();
    for _ in 0..100 {
        tokens.push(turn(&world).await.token);
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// Those who arrive at the same time are granted in the order of their arrival.
pub async fn standing_clock_keeps_arrival_order(world: World) {
    let first = World::ask("key", "first");
    world.granted(&first).await;
    let waiters: Vec<_> = (0..30).map(|n| World::queueing("key", &format!("owner {n}"))).collect();
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    take_turns(&world, &first, &waiters).await;
}

/// Tokens increase although the clock jumps back.
pub async fn jump_back_keeps_tokens_increasing(world: World) {
    let mut tokens = vec![turn(&world).await.token];
    for _ in 0..5 {
        if !world.set_back(HOUR).await {
            return;
        }
        tokens.extend([turn(&world).await.token, turn(&world).await.token]);
    }
    assert!(tokens.is_sorted_by(|one, next| one < next), "{tokens:?}");
}

/// Those who arrive after the clock jumped back stand behind those who were there before.
pub async fn jump_back_keeps_arrival_order(world: World) {
    let first = World::ask("key", "first").with_ttl(Ttl::Never);
    world.granted(&first).await;
    let waiters: Vec<_> = (0..6).map(|n| World::queueing("key", &format!("owner {n}"))).collect();
    for (waiter, position) in waiters.iter().zip(1..) {
        let newcomer = World::ask("key", "newcomer");
        assert_eq!(world.refused(&newcomer).await.position, position);
        assert_eq!(world.queued(waiter).await.position, position);
        if !world.set_back(HOUR).await {
            return;
        }
    }
    take_turns(&world, &first, &waiters).await;
}

/// A jump back ends no lease, and the next renewal counts from the clock as it is then.
pub async fn jump_back_does_not_end_leases(world: World) {
    let alice = World::ask("key", "alice");
    let held = world.granted(&alice).await;
    let bob = World::ask("key", "bob");
    if !world.set_back(HOUR).await {
        return;
    }
    assert_eq!(world.only_lease("key").await, held.clone());
    assert_eq!(world.refused(&bob).await.holder, Some(held.clone()));
    let renewed = world.renewed(&alice).await;
    assert_eq!((renewed.token, renewed.granted_at), (held.token, held.granted_at));
    assert!(renewed.expires_at < held.expires_at, "{renewed:?}");
    world.elapse(World::TTL).await;
    world.granted(&bob).await;
}

/// A jump forward ends the leases whose time it passes over, and no others; a jump back after
/// that revives none.
pub async fn jump_forward_ends_leases(world: World) {
    if !world.set_back(Duration::ZERO).await {
        return;
    }
    let over = world.granted(&World::ask("over", "alice")).await;
    let lasting = World::ask("lasting", "alice").with_ttl(World::ttl(3 * HOUR));
    let lasting = world.granted(&lasting).await;
    let never = world.granted(&World::ask("never", "alice").with_ttl(Ttl::Never)).await;
    world.elapse(2 * HOUR).await;
    world.free("over").await;
    world.set_back(2 * HOUR).await;
    world.free("over").await;
    assert_eq!(world.only_lease("lasting").await, lasting);
    assert_eq!(world.only_lease("never").await, never);
    assert!(world.granted(&World::ask("over", "bob")).await.token > over.token, "tokens increase");
}
