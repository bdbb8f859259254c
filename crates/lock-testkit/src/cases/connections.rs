//! Connections: a command takes effect in the store, and all connections see that.
//!
//! What a case builds on, both connections ask for, so that only the command that it is about has
//! to be seen by the other.

use std::time::Duration;

use lock_core::{AcquireRequest, Cancellation, Lease, Release, TransferTo};

use super::expect_eq;
use crate::World;

/// The claim window of a waiter, long after the end of a brief lease.
const WINDOW: Duration = Duration::from_secs(2);

/// Both connections ask for the request, which holds.
async fn both_hold(both: [&World; 2], request: &AcquireRequest) -> Lease {
    let held = both[0].granted(request).await;
    expect_eq!(both[1].granted(request).await, held);
    held
}

/// Both connections ask for a request that holds `key` and for one that waits for it.
async fn both_hold_and_wait(both: [&World; 2]) -> (Lease, AcquireRequest) {
    let waiter = World::queueing("key", "bob");
    let held = both_hold(both, &World::ask("key", "alice")).await;
    for world in both {
        expect_eq!(world.queued(&waiter).await.position, 1);
    }
    (held, waiter)
}

/// A lease that one connection is granted is in the way of another.
pub async fn another_connection_sees_an_acquire(world: World) {
    let elsewhere = world.elsewhere().await;
    elsewhere.free("key").await;
    let held = world.granted(&World::ask("key", "alice")).await;
    expect_eq!(elsewhere.only_lease("key").await, held);
    expect_eq!(elsewhere.refused(&World::ask("key", "bob")).await.holders, 1);
}

/// A request that one connection queues stands before those of another.
pub async fn another_connection_sees_a_waiter(world: World) {
    let elsewhere = world.elsewhere().await;
    both_hold([&world, &elsewhere], &World::ask("key", "alice")).await;
    let waiter = World::queueing("key", "bob");
    world.queued(&waiter).await;
    expect_eq!(elsewhere.only_waiter("key").await.request, waiter.id);
    expect_eq!(elsewhere.queued(&World::queueing("key", "carol")).await.position, 2);
}

/// A waiter that one connection hears is alive for another.
pub async fn another_connection_sees_a_hearing(world: World) {
    let elsewhere = world.elsewhere().await;
    let (_, waiter) = both_hold_and_wait([&world, &elsewhere]).await;
    let silent_at = elsewhere.only_waiter("key").await.silent_at;
    world.elapse(World::BRIEF).await;
    world.heard_waiting(&waiter).await;
    let heard = elsewhere.only_waiter("key").await;
    assert!(heard.silent_at >= silent_at.after(World::BRIEF), "not heard since: {heard:?}");
}

/// A lease that one connection claims outlasts its claim window for another.
pub async fn another_connection_sees_a_claim(world: World) {
    let elsewhere = world.elsewhere().await;
    let both = [&world, &elsewhere];
    let waiter = World::ask("key", "bob").queueing(World::keep_alive(WINDOW));
    both_hold(both, &World::ask("key", "alice").with_ttl(World::ttl(World::BRIEF))).await;
    for connection in both {
        connection.queued(&waiter).await;
    }
    world.elapse(World::BRIEF).await;
    let claimed = world.heard_granted(&waiter).await;
    world.elapse(WINDOW).await;
    expect_eq!(elsewhere.only_lease("key").await, claimed);
}

/// A lease that one connection renews lasts longer for another.
pub async fn another_connection_sees_a_renewal(world: World) {
    let elsewhere = world.elsewhere().await;
    let request = World::ask("key", "alice").with_ttl(World::ttl(World::BRIEF));
    let held = both_hold([&world, &elsewhere], &request).await;
    let renewed = world.renewed_for(&held, World::ttl(World::TTL)).await;
    expect_eq!(elsewhere.only_lease("key").await, renewed);
    world.elapse(World::BRIEF).await;
    expect_eq!(elsewhere.refused(&World::ask("key", "bob")).await.holders, 1);
}

/// A lease that one connection releases is over for another.
pub async fn another_connection_sees_a_release(world: World) {
    let elsewhere = world.elsewhere().await;
    let held = both_hold([&world, &elsewhere], &World::ask("key", "alice")).await;
    expect_eq!(world.release(&held).await, Release::Released);
    elsewhere.free("key").await;
    elsewhere.granted(&World::ask("key", "bob")).await;
}

/// A waiter that one connection cancels has left the queue for another.
pub async fn another_connection_sees_a_cancel(world: World) {
    let elsewhere = world.elsewhere().await;
    let (held, waiter) = both_hold_and_wait([&world, &elsewhere]).await;
    expect_eq!(world.cancel(&waiter).await, Cancellation::Dequeued);
    expect_eq!(elsewhere.waiting("key").await, []);
    elsewhere.released(&held).await;
    elsewhere.free("key").await;
}

/// A lease that one connection hands over is the receiver's for another.
pub async fn another_connection_sees_a_transfer(world: World) {
    let elsewhere = world.elsewhere().await;
    let (held, waiter) = both_hold_and_wait([&world, &elsewhere]).await;
    let given = world.transferred(&held, TransferTo::Waiter(waiter.id)).await;
    expect_eq!(elsewhere.only_lease("key").await, given);
    expect_eq!(elsewhere.waiting("key").await, []);
}

/// A lease that one connection evicts is over for another.
pub async fn another_connection_sees_an_eviction(world: World) {
    let elsewhere = world.elsewhere().await;
    let held = both_hold([&world, &elsewhere], &World::ask("key", "alice")).await;
    world.evicted_lease(&held).await;
    elsewhere.free("key").await;
    elsewhere.granted(&World::ask("key", "bob")).await;
}

/// A waiter that one connection evicts has left the queue for another.
pub async fn another_connection_sees_an_evicted_waiter(world: World) {
    let elsewhere = world.elsewhere().await;
    let (_, waiter) = both_hold_and_wait([&world, &elsewhere]).await;
    world.evicted_waiter(&waiter).await;
    expect_eq!(elsewhere.waiting("key").await, []);
    expect_eq!(elsewhere.ended(&waiter).await, World::end_by_eviction());
}

/// A request that each of its commands sends by another connection waits, holds and is released.
pub async fn any_connection_continues_a_request(world: World) {
    let (held, waiter) = world.holder_and_waiter().await;
    expect_eq!(world.elsewhere().await.queued(&waiter).await.position, 1);
    expect_eq!(world.elsewhere().await.heard_waiting(&waiter).await.position, 1);
    world.elsewhere().await.released(&held).await;
    let claimed = world.elsewhere().await.heard_granted(&waiter).await;
    expect_eq!(world.elsewhere().await.granted(&waiter).await, claimed);
    let renewed = world.elsewhere().await.renewed(&claimed).await;
    expect_eq!(world.elsewhere().await.only_lease("key").await, renewed);
    expect_eq!(world.elsewhere().await.cancel(&waiter).await, Cancellation::Released);
    expect_eq!(world.elsewhere().await.release(&renewed).await, Release::NotHeld);
    world.free("key").await;
}
