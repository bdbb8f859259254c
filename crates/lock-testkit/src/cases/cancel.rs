//! Cancel: a request that was given up neither waits nor holds, whatever had become of it.

use std::task::{Context, Waker};
use std::time::Duration;

use lock_core::{Cancellation, Mode};

use super::expect_eq;
use crate::World;

/// A waiter that cancelled is never granted the key.
pub async fn cancelled_waiter_is_not_granted(world: World) {
    let (held, waiter) = world.holder_and_waiter().await;
    expect_eq!(world.cancel(&waiter).await, Cancellation::Dequeued);
    expect_eq!(world.waiting("key").await, []);
    world.released(&held).await;
    world.free("key").await;
}

/// A cancel that comes after the grant releases the lease, claimed or not, and grants the key on.
pub async fn cancel_of_a_granted_request_releases(world: World) {
    let (holder, first) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    world.granted(&holder).await;
    world.queued(&first).await;
    let second = World::queueing("key", "carol");
    world.queued(&second).await;
    expect_eq!(world.cancel(&holder).await, Cancellation::Released);
    expect_eq!(world.holding("key").await, [first.id]);
    expect_eq!(world.cancel(&first).await, Cancellation::Released);
    expect_eq!(world.holding("key").await, [second.id]);
    expect_eq!(world.granted(&second).await.request, second.id);
    expect_eq!(world.cancel(&second).await, Cancellation::Released);
    world.free("key").await;
}

/// A cancel of a request that neither waits nor holds changes nothing.
pub async fn cancel_of_an_unknown_request_is_absent(world: World) {
    expect_eq!(world.cancel(&World::ask("key", "alice")).await, Cancellation::Absent);
    world.free("key").await;
    let (held, waiter) = world.holder_and_waiter().await;
    expect_eq!(world.cancel(&World::ask("key", "alice")).await, Cancellation::Absent);
    expect_eq!(world.cancel(&World::ask("key", "bob")).await, Cancellation::Absent);
    expect_eq!(world.only_lease("key").await, held);
    expect_eq!(world.waiting("key").await, [waiter.id]);
}

/// When a head of the queue that does not fit cancels, those behind it that fit are granted in the
/// same step, and not when somebody looks.
pub async fn cancelled_head_lets_the_next_fit(world: World) {
    let reader = |owner| World::queueing("key", owner).with_mode(Mode::READER);
    let (first, second, third) = (reader("alice"), reader("carol"), reader("dave"));
    let writer = World::queueing("key", "bob");
    world.granted(&first).await;
    for waiter in [&writer, &second, &third] {
        world.queued(waiter).await;
    }
    expect_eq!(world.cancel(&writer).await, Cancellation::Dequeued);
    world.elapse(World::BRIEF).await;
    let seen = world.look("key").await;
    expect_eq!((seen.value.holders, seen.value.waiting), (3, 0));
    for lease in &seen.value.leases {
        assert!(lease.age(seen.observed_at) >= World::BRIEF, "granted late: {lease:?}");
    }
    for reader in [&first, &second, &third] {
        expect_eq!(world.granted(reader).await.request, reader.id);
    }
}

/// A cancel that follows an acquire whose answer nobody waited for leaves nothing of it.
pub async fn dropped_acquire_can_be_cancelled(world: World) {
    let request = World::queueing("key", "alice");
    for is_held in [false, true] {
        let held = match is_held {
            true => Some(world.granted(&World::ask("key", "bob")).await),
            false => None,
        };
        let mut dropped = world.store().acquire(&request);
        drop(dropped.as_mut().poll(&mut Context::from_waker(Waker::noop())));
        drop(dropped);
        let undone = if is_held { Cancellation::Dequeued } else { Cancellation::Released };
        let outcome = world.cancel(&request).await;
        assert!([undone, Cancellation::Absent].contains(&outcome), "got {outcome:?}");
        world.elapse(Duration::from_millis(100)).await;
        if let Some(held) = held {
            expect_eq!(world.waiting("key").await, []);
            world.released(&held).await;
        }
        world.free("key").await;
        expect_eq!(world.cancel(&request).await, Cancellation::Absent);
    }
}

/// A cancel of one waiter leaves the places of the others, in their order.
pub async fn cancel_of_one_spares_the_others(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let waiters = World::patient(3);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    expect_eq!(world.cancel(&waiters[1]).await, Cancellation::Dequeued);
    expect_eq!(world.waiting("key").await, [waiters[0].id, waiters[2].id]);
    expect_eq!(world.only_lease("key").await, held);
    world.served(&held, &[&waiters[0], &waiters[2]]).await;
}
