//! Requests: the same one sent again has one effect, whatever became of its answer.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{
    Acquisition, Cancellation, Metadata, OnHeld, Release, RequestId, Transfer, TransferTo,
};

use super::expect_eq;
use crate::World;

/// A request that holds is answered with its lease again, from any connection.
pub async fn same_request_gets_the_same_lease(world: World) {
    let request = World::ask("key", "alice");
    let lease = world.granted(&request).await;
    expect_eq!(world.granted(&request).await, lease);
    expect_eq!(world.elsewhere().await.granted(&request).await, lease);
    expect_eq!(world.only_lease("key").await, lease);
}

/// Asking again is no renewal: the lease ends when it would have ended.
pub async fn asking_again_does_not_extend_the_lease(world: World) {
    let ttl = Duration::from_secs(1);
    let request = World::ask("key", "alice").with_ttl(World::ttl(ttl));
    let lease = world.granted(&request).await;
    world.elapse(ttl / 2).await;
    expect_eq!(world.granted(&request).await, lease);
    world.elapse(ttl / 2).await;
    world.granted(&World::ask("key", "bob")).await;
}

/// A request that waits and asks again waits where it did, and only once.
pub async fn same_request_keeps_its_place(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let (first, second) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    for _ in 0..3 {
        expect_eq!(world.queued(&first).await.position, 1);
        expect_eq!(world.queued(&second).await.position, 2);
    }
    let refusing = first.clone().with_on_held(OnHeld::Refuse);
    expect_eq!(world.queued(&refusing).await.position, 1);
    expect_eq!(world.waiting("key").await, [first.id, second.id]);
}

/// A request that waited and asked many times is granted one lease, and is gone when that is.
pub async fn queued_request_is_granted_once(world: World) {
    let (held, second) = world.holder_and_waiter().await;
    for _ in 0..3 {
        world.queued(&second).await;
    }
    world.released(&held).await;
    let lease = world.granted(&second).await;
    expect_eq!(world.granted(&second).await, lease);
    world.released(&lease).await;
    world.free("key").await;
}

/// A release that is sent twice is answered by `NotHeld`, and spares the next holder.
pub async fn repeated_release_is_not_held(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    world.released(&held).await;
    expect_eq!(world.release(&held).await, Release::NotHeld);
    let lease = world.granted(&World::ask("key", "alice")).await;
    expect_eq!(world.release(&held).await, Release::NotHeld);
    expect_eq!(world.only_lease("key").await, lease);
}

/// A cancel that is sent twice finds nothing to do.
pub async fn repeated_cancel_changes_nothing(world: World) {
    let (holder, waiter) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    let lease = world.granted(&holder).await;
    world.queued(&waiter).await;
    expect_eq!(world.cancel(&waiter).await, Cancellation::Dequeued);
    expect_eq!(world.cancel(&waiter).await, Cancellation::Absent);
    expect_eq!(world.only_lease("key").await, lease);

    expect_eq!(world.cancel(&holder).await, Cancellation::Released);
    expect_eq!(world.cancel(&holder).await, Cancellation::Absent);
    world.free("key").await;
}

/// A transfer that is sent twice is answered by the one lease that it made.
pub async fn repeated_transfer_gives_the_same_lease(world: World) {
    let (held, waiter) = world.holder_and_waiter().await;
    let (owner, request) = (World::owner("carol"), RequestId::random());
    let to_owner = TransferTo::Owner { owner, request, metadata: Metadata::default() };

    let mut from = held;
    for to in [TransferTo::Waiter(waiter.id), to_owner] {
        let lease = world.transferred(&from, to.clone()).await;
        expect_eq!(world.transferred(&from, to.clone()).await, lease);
        let stranger = World::name_of(&World::ask("key", "alice"), &from);
        expect_eq!(world.transfer(&stranger, to).await, Transfer::NotHeld);
        expect_eq!(world.only_lease("key").await, lease);
        from = lease;
    }
}

/// A request whose answer was lost asks again and has the lease that it was granted, or one that
/// it is granted now, but never two.
pub async fn lost_answer_is_found_again(world: World) {
    let request = World::ask("key", "alice");
    let elsewhere = world.connect().await;
    let mut lost = elsewhere.acquire(&request);
    let polled = lost.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let lease = world.granted(&request).await;
    if let Poll::Ready(answer) = polled {
        let answer = answer.expect("acquire answers").value;
        expect_eq!(answer, Acquisition::Granted(lease.clone()));
    }
    drop(lost);
    expect_eq!(world.granted(&request).await, lease);
    expect_eq!(world.only_lease("key").await, lease);
}

/// Requests of one owner for one key hold and wait each for itself.
pub async fn each_request_stands_for_itself(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let (first, second) = (World::queueing("key", "alice"), World::queueing("key", "alice"));
    expect_eq!(world.queued(&first).await.position, 1);
    expect_eq!(world.queued(&second).await.position, 2);

    expect_eq!(world.release(&World::name_of(&first, &held)).await, Release::NotHeld);
    world.released(&held).await;
    expect_eq!(world.holding("key").await, [first.id]);
    expect_eq!(world.waiting("key").await, [second.id]);
    expect_eq!(world.cancel(&second).await, Cancellation::Dequeued);
    expect_eq!(world.holding("key").await, [first.id]);
}
