//! Requests: the same one sent again has one effect, whatever became of its answer.

use std::task::{Context, Poll, Waker};
use std::time::Duration;

use lock_core::{
    Acquisition, Cancellation, Metadata, OnHeld, Release, RequestId, Transfer, TransferTo,
};

use crate::World;

/// A request that holds is answered with its lease again, from any connection.
pub async fn same_request_gets_the_same_lease(world: World) {
    let asked = World::ask("key", "alice");
    let lease = world.granted(&asked).await;
    assert_eq!(world.granted(&asked).await, lease);
    let elsewhere = world.connect().await.acquire(&asked).await.expect("acquire answers");
    assert_eq!(elsewhere, Acquisition::Granted(lease.clone()));
    assert_eq!(world.inspect("key").await.leases, vec![lease]);
}

/// Asking again is no renewal: the lease ends when it would have ended.
pub async fn asking_again_does_not_extend_the_lease(world: World) {
    let ttl = Duration::from_secs(1);
    let asked = World::ask("key", "alice").with_ttl(World::ttl(ttl));
    let lease = world.granted(&asked).await;
    world.elapse(ttl / 2).await;
    assert_eq!(world.granted(&asked).await, lease);
    world.elapse(ttl / 2).await;
    world.granted(&World::ask("key", "bob")).await;
}

/// A request that waits and asks again waits where it did, and only once.
pub async fn same_request_keeps_its_place(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let (first, second) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    for _ in 0..3 {
        assert_eq!(world.queued(&first).await.position, 1);
        assert_eq!(world.queued(&second).await.position, 2);
    }
    let refusing = first.clone().with_on_held(OnHeld::Refuse);
    assert_eq!(world.queued(&refusing).await.position, 1);
    assert_eq!(world.waiting("key").await, vec![first.request, second.request]);
}

/// A request that waited and asked many times is granted one lease, and is gone when that is.
pub async fn queued_request_is_granted_once(world: World) {
    let (first, second) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    world.granted(&first).await;
    for _ in 0..3 {
        world.queued(&second).await;
    }
    assert_eq!(world.release(&first).await, Release::Released);
    let lease = world.granted(&second).await;
    assert_eq!(world.granted(&second).await, lease);
    assert_eq!(world.release(&second).await, Release::Released);
    world.free("key").await;
}

/// A release that is sent twice is answered by `NotHeld`, and spares the next holder.
pub async fn repeated_release_is_not_held(world: World) {
    let asked = World::ask("key", "alice");
    world.granted(&asked).await;
    assert_eq!(world.release(&asked).await, Release::Released);
    assert_eq!(world.release(&asked).await, Release::NotHeld);
    let lease = world.granted(&World::ask("key", "alice")).await;
    assert_eq!(world.release(&asked).await, Release::NotHeld);
    assert_eq!(world.inspect("key").await.leases, vec![lease]);
}

/// A cancel that is sent twice finds nothing to do.
pub async fn repeated_cancel_changes_nothing(world: World) {
    let (holder, waiter) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    let lease = world.granted(&holder).await;
    world.queued(&waiter).await;
    assert_eq!(world.cancel(&waiter).await, Cancellation::Dequeued);
    assert_eq!(world.cancel(&waiter).await, Cancellation::Absent);
    assert_eq!(world.inspect("key").await.leases, vec![lease]);

    assert_eq!(world.cancel(&holder).await, Cancellation::Released);
    assert_eq!(world.cancel(&holder).await, Cancellation::Absent);
    world.free("key").await;
}

/// A transfer that is sent twice is answered by the one lease that it made.
pub async fn repeated_transfer_gives_the_same_lease(world: World) {
    let (giver, waiter) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    world.granted(&giver).await;
    world.queued(&waiter).await;
    let (owner, request) = (World::owner("carol"), RequestId::random());
    let to_owner = TransferTo::Owner { owner, request, metadata: Metadata::default() };

    for (from, to) in [(&giver, TransferTo::Waiter(waiter.request)), (&waiter, to_owner)] {
        let first = world.transfer(from, to.clone()).await;
        let Transfer::Transferred(lease) = &first else { panic!("expected a lease: {first:?}") };
        assert_eq!(world.transfer(from, to.clone()).await, first);
        let stranger = World::ask("key", "alice");
        assert_eq!(world.transfer(&stranger, to).await, Transfer::NotHeld);
        assert_eq!(world.inspect("key").await.leases, vec![lease.clone()]);
    }
}

/// A request whose answer was lost asks again and has the lease that it was granted, or one that
/// it is granted now, but never two.
pub async fn lost_answer_is_found_again(world: World) {
    let asked = World::ask("key", "alice");
    let elsewhere = world.connect().await;
    let mut lost = elsewhere.acquire(&asked);
    let polled = lost.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    let lease = world.granted(&asked).await;
    if let Poll::Ready(answer) = polled {
        assert_eq!(answer.expect("acquire answers"), Acquisition::Granted(lease.clone()));
    }
    drop(lost);
    assert_eq!(world.granted(&asked).await, lease);
    assert_eq!(world.inspect("key").await.leases, vec![lease]);
}

/// Requests of one owner for one key hold and wait each for itself.
pub async fn each_request_stands_for_itself(world: World) {
    let holder = World::ask("key", "alice");
    let (first, second) = (World::queueing("key", "alice"), World::queueing("key", "alice"));
    world.granted(&holder).await;
    assert_eq!(world.queued(&first).await.position, 1);
    assert_eq!(world.queued(&second).await.position, 2);

    assert_eq!(world.release(&first).await, Release::NotHeld);
    assert_eq!(world.release(&holder).await, Release::Released);
    assert_eq!(world.holding("key").await, vec![first.request]);
    assert_eq!(world.waiting("key").await, vec![second.request]);
    assert_eq!(world.cancel(&second).await, Cancellation::Dequeued);
    assert_eq!(world.holding("key").await, vec![first.request]);
}
