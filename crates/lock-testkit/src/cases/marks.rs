//! Marks: a request that was ended by force is told so, and takes no lock any more.

mod span;

use lock_core::{
    AcquireRequest, Cancellation, End, Heard, Metadata, Release, Renewal, Transfer, TransferTo,
};

use super::expect_eq;
use crate::World;

pub use span::*;

/// A request that held the key and was evicted, its lease, and the end that it must be told.
async fn evicted(world: &World) -> (AcquireRequest, lock_core::Lease, End) {
    let request = World::ask("key", "alice");
    let held = world.granted(&request).await;
    world.evicted_lease(&held).await;
    (request, held, World::end_by_eviction())
}

/// A request whose lease was evicted neither holds nor waits when it asks again.
pub async fn evicted_request_takes_no_lock(world: World) {
    let (request, _, end) = evicted(&world).await;
    expect_eq!(world.ended(&request).await, end);
    let patient = request.queueing(World::keep_alive(World::KEEP_ALIVE));
    expect_eq!(world.ended(&patient).await, end);
    world.free("key").await;
}

/// A waiter that was evicted neither joins the queue nor holds when it asks again.
pub async fn evicted_waiter_does_not_join_again(world: World) {
    let (held, waiter) = world.holder_and_waiter().await;
    world.evicted_waiter(&waiter).await;
    expect_eq!(world.ended(&waiter).await, World::end_by_eviction());
    expect_eq!(world.waiting("key").await, []);
    world.released(&held).await;
    expect_eq!(world.ended(&waiter).await, World::end_by_eviction());
    world.free("key").await;
}

/// A renewal of a lease that was evicted is answered with the end.
pub async fn renewal_tells_the_end(world: World) {
    let (_, held, end) = evicted(&world).await;
    expect_eq!(world.renew(&held, held.ttl).await, Renewal::Ended(end));
    world.free("key").await;
}

/// A release of a lease that was evicted is answered with the end.
pub async fn release_tells_the_end(world: World) {
    let (_, held, end) = evicted(&world).await;
    expect_eq!(world.release(&held).await, Release::Ended(end));
    world.free("key").await;
}

/// A transfer of a lease that was evicted is answered with the end.
pub async fn transfer_tells_the_end(world: World) {
    let (_, held, end) = evicted(&world).await;
    let waiter = World::queueing("key", "carol");
    world.granted(&World::ask("key", "bob")).await;
    world.queued(&waiter).await;
    let to = TransferTo::Waiter(waiter.id);
    expect_eq!(world.transfer(&held, to).await, Transfer::Ended(end));
    expect_eq!(world.waiting("key").await, [waiter.id]);
}

/// A hearing of a request that was evicted, holding or waiting, is answered with the end.
pub async fn hear_tells_the_end(world: World) {
    let (request, _, end) = evicted(&world).await;
    expect_eq!(world.hear(&request).await.value, Heard::Ended(end.clone()));
    let (_, waiter) = world.holder_and_waiter().await;
    world.evicted_waiter(&waiter).await;
    expect_eq!(world.hear(&waiter).await.value, Heard::Ended(end));
    expect_eq!(world.waiting("key").await, []);
}

/// The request that handed its lease over is told to whom, whatever it sends.
pub async fn giver_of_a_transfer_is_told_the_end(world: World) {
    let giver = World::ask("key", "alice");
    let held = world.granted(&giver).await;
    let waiter = World::queueing("key", "bob");
    world.queued(&waiter).await;
    world.transferred(&held, TransferTo::Waiter(waiter.id)).await;
    let end = End::Transferred { by: World::owner("alice"), to: World::owner("bob") };
    expect_eq!(world.renew(&held, held.ttl).await, Renewal::Ended(end.clone()));
    expect_eq!(world.release(&held).await, Release::Ended(end.clone()));
    expect_eq!(world.hear(&giver).await.value, Heard::Ended(end.clone()));
    expect_eq!(world.ended(&giver).await, end);
    expect_eq!(world.holding("key").await, [waiter.id]);
}

/// A mark of one request is not told to another of the same owner and session, and does not keep
/// it from the key.
pub async fn mark_spares_other_requests(world: World) {
    let (marked, _, _) = evicted(&world).await;
    let other = World::queueing("key", "alice").with_session(marked.session);
    expect_eq!(world.hear(&other).await.value, Heard::Absent);
    let held = world.granted(&other).await;
    expect_eq!(world.renewed(&held).await.token, held.token);
    let third = World::queueing("key", "alice").with_session(marked.session);
    expect_eq!(world.queued(&third).await.position, 1);
    world.released(&held).await;
    expect_eq!(world.heard_granted(&third).await.request, third.id);
}

/// Nothing is transferred to a request that was ended, and the giver goes on holding.
pub async fn marked_request_is_handed_nothing(world: World) {
    let (evicted, _, _) = evicted(&world).await;
    let cancelled = World::ask("key", "bob");
    expect_eq!(world.cancel_unanswered(&cancelled).await, Cancellation::Absent);
    let held = world.granted(&World::ask("key", "carol")).await;
    for marked in [&evicted, &cancelled] {
        let (owner, request) = (marked.owner.clone(), marked.id);
        let to = TransferTo::Owner { owner, request, metadata: Metadata::default() };
        expect_eq!(world.transfer(&held, to).await, Transfer::NotWaiting);
        expect_eq!(world.only_lease("key").await, held);
    }
}

/// An acquire that arrives after its cancel takes no lock, whatever had become of the request
/// before.
pub async fn late_acquire_takes_no_lock(world: World) {
    let unknown = World::queueing("key", "alice");
    expect_eq!(world.cancel_unanswered(&unknown).await, Cancellation::Absent);
    expect_eq!(world.ended(&unknown).await, End::Cancelled);
    world.free("key").await;
    let (_, waiter) = world.holder_and_waiter().await;
    expect_eq!(world.cancel_unanswered(&waiter).await, Cancellation::Dequeued);
    expect_eq!(world.ended(&waiter).await, End::Cancelled);
    expect_eq!(world.waiting("key").await, []);
    let holder = World::ask("other", "alice");
    world.granted(&holder).await;
    expect_eq!(world.cancel_unanswered(&holder).await, Cancellation::Released);
    expect_eq!(world.ended(&holder).await, End::Cancelled);
    world.free("other").await;
}
