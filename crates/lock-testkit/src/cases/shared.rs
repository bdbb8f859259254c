//! Shared leases: readers and semaphores, and their turns with writers.

use std::time::Duration;

use lock_core::{AcquireRequest, Holder, Mode};

use super::expect_eq;
use crate::World;

fn semaphore(permits: u32) -> Mode {
    Mode::semaphore(permits).expect("the cases use at least one permit")
}

fn reader(owner: &str) -> AcquireRequest {
    World::ask("key", owner).with_mode(Mode::READER)
}

/// These two hold the key, and nobody else.
async fn hold(world: &World, both: [&AcquireRequest; 2]) {
    let mut seen = world.holding("key").await;
    seen.sort_by_key(|request| *request != both[0].id);
    expect_eq!(seen, both.map(|request| request.id));
}

/// Readers hold a key together, each with a lease and a token of its own.
pub async fn readers_share(world: World) {
    let mut held = Vec::new();
    for request in [reader("alice"), reader("bob"), reader("bob")] {
        held.push(world.granted(&request).await);
    }
    assert!(held.is_sorted_by(|one, next| one.token < next.token), "tokens increase: {held:?}");
    let mut seen = world.inspect("key").await;
    seen.leases.sort_by_key(|lease| lease.token);
    expect_eq!((seen.leases, seen.holders), (held, 3));
    let position = world.refused(&World::ask("key", "writer")).await;
    expect_eq!((position.holders, position.position, position.waiting), (3, 1, 0));
}

/// A writer waits until the last reader is gone.
pub async fn writer_waits_for_all_readers(world: World) {
    let first = world.granted(&reader("alice")).await;
    let last = world.granted(&reader("bob")).await;
    let writer = World::queueing("key", "writer");
    expect_eq!(world.queued(&writer).await.holders, 2);
    world.released(&first).await;
    let position = world.queued(&writer).await;
    expect_eq!((position.position, position.holders), (1, 1));
    expect_eq!(position.holder, Some(Holder::from(&last)));
    world.released(&last).await;
    expect_eq!(world.holding("key").await, [writer.id]);
}

/// A reader queues behind a waiting writer, although it could share with those who hold.
pub async fn reader_does_not_join_past_a_waiting_writer(world: World) {
    let (alice, writer) = (reader("alice"), World::queueing("key", "writer"));
    let held = world.granted(&alice).await;
    world.queued(&writer).await;
    let bob = World::queueing("key", "bob").with_mode(Mode::READER);
    let position = world.queued(&bob).await;
    expect_eq!((position.position, position.waiting, position.holders), (2, 2, 1));
    world.released(&held).await;
    let held = world.only_lease("key").await;
    expect_eq!(held.request, writer.id);
    world.released(&held).await;
    expect_eq!(world.holding("key").await, [bob.id]);
}

/// A reader of better rank than the waiting writer joins those who hold.
pub async fn better_ranked_reader_joins(world: World) {
    let (alice, writer) = (reader("alice"), World::queueing("key", "writer"));
    let held = world.granted(&alice).await;
    world.queued(&writer).await;
    let bob = reader("bob").with_head_start(World::head_start(Duration::from_secs(60)));
    let joined = world.granted(&bob).await;
    let position = world.queued(&writer).await;
    expect_eq!((position.position, position.waiting, position.holders), (1, 1, 2));
    world.released(&held).await;
    expect_eq!(world.only_lease("key").await, joined);
    world.released(&joined).await;
    expect_eq!(world.holding("key").await, [writer.id]);
}

/// A semaphore has as many holders as permits, and a released permit can be had again.
pub async fn semaphore_is_limited_to_its_permits(world: World) {
    let ask = |owner| World::ask("key", owner).with_mode(semaphore(3));
    let (held, dave) = (world.granted(&ask("alice")).await, ask("dave"));
    world.granted(&ask("bob")).await;
    world.granted(&ask("carol")).await;
    let position = world.refused(&dave).await;
    expect_eq!((position.holders, position.position, position.waiting), (3, 1, 0));
    world.released(&held).await;
    world.granted(&dave).await;
    expect_eq!(world.refused(&ask("erin")).await.holders, 3);
}

/// Requests that disagree about the number of permits never hold together.
pub async fn unlike_limits_take_turns(world: World) {
    let ask = |permits| World::queueing("key", "owner").with_mode(semaphore(permits));
    let (two, three) = (ask(2), ask(3));
    let first = world.granted(&two).await;
    expect_eq!(world.refused(&reader("reader")).await.holders, 1);
    let second = world.granted(&World::ask("key", "other").with_mode(semaphore(2))).await;
    expect_eq!(world.queued(&three).await.holders, 2);
    world.released(&first).await;
    expect_eq!(world.queued(&three).await.holders, 1);
    world.released(&second).await;
    expect_eq!(world.granted(&three).await.mode, semaphore(3));
}

/// All readers up to the next writer are granted together when the key is freed.
pub async fn queued_readers_are_granted_together(world: World) {
    let first = world.granted(&World::ask("key", "first")).await;
    let ask = |owner| World::queueing("key", owner).with_mode(Mode::READER);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(ask);
    let writer = World::queueing("key", "writer");
    for request in [&alice, &bob, &writer, &carol] {
        world.queued(request).await;
    }
    world.released(&first).await;
    world.elapse(World::BRIEF).await;
    let seen = world.inspect("key").await.leases;
    expect_eq!(seen[0].granted_at, seen[1].granted_at);
    hold(&world, [&alice, &bob]).await;
    expect_eq!(world.waiting("key").await, [writer.id, carol.id]);
}

/// A released permit goes to one waiter, the next.
pub async fn one_permit_is_handed_on(world: World) {
    let ask = |owner| World::queueing("key", owner).with_mode(semaphore(2));
    let (alice, bob, carol, dave) = (ask("alice"), ask("bob"), ask("carol"), ask("dave"));
    let held = world.granted(&alice).await;
    world.granted(&bob).await;
    for waiter in [&carol, &dave] {
        world.queued(waiter).await;
    }
    world.released(&held).await;
    hold(&world, [&bob, &carol]).await;
    expect_eq!(world.queued(&dave).await.position, 1);
}

/// A reader that is refused for a waiting writer learns of both the holder and the queue.
pub async fn refused_reader_sees_the_waiting_writer(world: World) {
    let held = world.granted(&reader("alice")).await;
    let writer = World::queueing("key", "writer");
    world.queued(&writer).await;
    let position = world.refused(&reader("bob")).await;
    expect_eq!((position.position, position.waiting, position.holders), (2, 1, 1));
    expect_eq!(position.holder, Some(Holder::from(&held)));
    expect_eq!(world.waiting("key").await, [writer.id]);
}
