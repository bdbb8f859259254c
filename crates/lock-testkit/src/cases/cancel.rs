//! Cancel: a request that was given up neither waits nor holds, whatever had become of it.

use std::task::{Context, Waker};
use std::time::Duration;

use lock_core::{Cancellation, Mode, Release};

use crate::World;

/// A waiter that cancelled is never granted the key.
pub async fn cancelled_waiter_is_not_granted(world: World) {
    let (holder, waiter) = world.holder_and_waiter().await;
    assert_eq!(world.cancel(&waiter).await, Cancellation::Dequeued);
    assert_eq!(world.waiting("key").await, vec![]);
    assert_eq!(world.release(&holder).await, Release::Released);
    world.free("key").await;
}

/// A cancel that comes after the grant releases the lease, claimed or not, and grants the key on.
pub async fn cancel_of_a_granted_request_releases(world: World) {
    let (holder, first) = world.holder_and_waiter().await;
    let second = World::queueing("key", "carol");
    world.queued(&second).await;
    assert_eq!(world.cancel(&holder).await, Cancellation::Released);
    assert_eq!(world.holding("key").await, vec![first.request]);
    assert_eq!(world.cancel(&first).await, Cancellation::Released);
    assert_eq!(world.holding("key").await, vec![second.request]);
    assert_eq!(world.granted(&second).await.request, second.request);
    assert_eq!(world.cancel(&second).await, Cancellation::Released);
    world.free("key").await;
}

/// A cancel of a request that neither waits nor holds changes nothing.
pub async fn cancel_of_an_unknown_request_is_absent(world: World) {
    assert_eq!(world.cancel(&World::ask("key", "alice")).await, Cancellation::Absent);
    world.free("key").await;
    let (holder, waiter) = world.holder_and_waiter().await;
    assert_eq!(world.cancel(&World::ask("key", "alice")).await, Cancellation::Absent);
    assert_eq!(world.cancel(&World::ask("key", "bob")).await, Cancellation::Absent);
    assert_eq!(world.holding("key").await, vec![holder.request]);
    assert_eq!(world.waiting("key").await, vec![waiter.request]);
}

/// When a head of the queue that does not fit cancels, those behind it that fit are granted and
/// woken.
pub async fn cancelled_head_lets_the_next_fit(world: World) {
    let reader = |owner| World::queueing("key", owner).with_mode(Mode::READER);
    let (first, second, third) = (reader("alice"), reader("carol"), reader("dave"));
    let writer = World::queueing("key", "bob");
    world.granted(&first).await;
    for waiter in [&writer, &second, &third] {
        world.queued(waiter).await;
    }
    let patience = Duration::from_secs(2);
    let sleeper = World::news(world.connect().await, second.clone(), patience);
    let sleeper = tokio::spawn(sleeper);
    world.elapse(Duration::from_millis(100)).await;
    assert_eq!(world.cancel(&writer).await, Cancellation::Dequeued);
    let woken = sleeper.await.expect("the task ends").map(|lease| lease.request);
    if world.expected().pushes_grants {
        assert_eq!(woken, Some(second.request));
    }
    let seen = world.inspect("key").await;
    assert_eq!((seen.holders, seen.waiting), (3, 0));
    for reader in [&first, &second, &third] {
        assert_eq!(world.granted(reader).await.request, reader.request);
    }
}

/// A cancel that follows an acquire whose answer nobody waited for leaves nothing of it.
pub async fn dropped_acquire_can_be_cancelled(world: World) {
    let asked = World::queueing("key", "alice");
    for is_held in [false, true] {
        let holder = World::ask("key", "bob");
        if is_held {
            world.granted(&holder).await;
        }
        let mut dropped = world.store().acquire(&asked);
        drop(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        drop(dropped);
        let undone = if is_held { Cancellation::Dequeued } else { Cancellation::Released };
        assert!([undone, Cancellation::Absent].contains(&world.cancel(&asked).await));
        world.elapse(Duration::from_millis(100)).await;
        if is_held {
            assert_eq!(world.waiting("key").await, vec![]);
            assert_eq!(world.release(&holder).await, Release::Released);
        }
        world.free("key").await;
        assert_eq!(world.cancel(&asked).await, Cancellation::Absent);
    }
}

/// A cancel of one waiter leaves the places of the others, in their order.
pub async fn cancel_of_one_spares_the_others(world: World) {
    let holder = World::ask("key", "alice");
    let lease = world.granted(&holder).await;
    let waiters = World::patient(3);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    assert_eq!(world.cancel(&waiters[1]).await, Cancellation::Dequeued);
    assert_eq!(world.waiting("key").await, vec![waiters[0].request, waiters[2].request]);
    assert_eq!(world.only_lease("key").await, lease);
    world.served(&holder, &[&waiters[0], &waiters[2]]).await;
}
