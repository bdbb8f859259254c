//! Shared leases: readers and semaphores, and their turns with writers.

use std::time::Duration;

use lock_core::{AcquireRequest, Mode};

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
    seen.sort_by_key(|request| *request != both[0].request);
    assert_eq!(seen, both.map(|asked| asked.request));
}

/// Readers hold a key together, each with a lease and a token of its own.
pub async fn readers_share(world: World) {
    let mut held = Vec::new();
    for asked in [reader("alice"), reader("bob"), reader("bob")] {
        held.push(world.granted(&asked).await);
    }
    assert!(held.is_sorted_by(|one, next| one.token < next.token), "tokens increase: {held:?}");
    let mut seen = world.inspect("key").await;
    seen.leases.sort_by_key(|lease| lease.token);
    assert_eq!((seen.leases, seen.holders), (held, 3));
    let place = world.refused(&World::ask("key", "writer")).await;
    assert_eq!((place.holders, place.position, place.waiting), (3, 1, 0));
}

/// A writer waits until the last reader is gone.
pub async fn writer_waits_for_all_readers(world: World) {
    let (alice, bob) = (reader("alice"), reader("bob"));
    world.granted(&alice).await;
    let last = world.granted(&bob).await;
    let writer = World::queueing("key", "writer");
    assert_eq!(world.queued(&writer).await.holders, 2);
    world.released(&alice).await;
    let place = world.queued(&writer).await;
    assert_eq!((place.position, place.holders, place.holder), (1, 1, Some(last)));
    world.released(&bob).await;
    assert_eq!(world.holding("key").await, [writer.request]);
}

/// A reader queues behind a waiting writer, although it could share with those who hold.
pub async fn reader_does_not_join_past_a_waiting_writer(world: World) {
    let (alice, writer) = (reader("alice"), World::queueing("key", "writer"));
    world.granted(&alice).await;
    world.queued(&writer).await;
    let bob = World::queueing("key", "bob").with_mode(Mode::READER);
    let place = world.queued(&bob).await;
    assert_eq!((place.position, place.waiting, place.holders), (2, 2, 1));
    world.released(&alice).await;
    assert_eq!(world.holding("key").await, [writer.request]);
    world.released(&writer).await;
    assert_eq!(world.holding("key").await, [bob.request]);
}

/// A reader of better rank than the waiting writer joins those who hold.
pub async fn better_ranked_reader_joins(world: World) {
    let (alice, writer) = (reader("alice"), World::queueing("key", "writer"));
    world.granted(&alice).await;
    world.queued(&writer).await;
    let bob = reader("bob").with_head_start(World::head_start(Duration::from_secs(60)));
    world.granted(&bob).await;
    let place = world.queued(&writer).await;
    assert_eq!((place.position, place.waiting, place.holders), (1, 1, 2));
    world.released(&alice).await;
    assert_eq!(world.holding("key").await, [bob.request]);
    world.released(&bob).await;
    assert_eq!(world.holding("key").await, [writer.request]);
}

/// A semaphore has as many holders as permits, and a released permit can be had again.
pub async fn semaphore_is_limited_to_its_permits(world: World) {
    let ask = |owner| World::ask("key", owner).with_mode(semaphore(3));
    let (alice, dave) = (ask("alice"), ask("dave"));
    for asked in [&alice, &ask("bob"), &ask("carol")] {
        world.granted(asked).await;
    }
    let place = world.refused(&dave).await;
    assert_eq!((place.holders, place.position, place.waiting), (3, 1, 0));
    world.released(&alice).await;
    world.granted(&dave).await;
    assert_eq!(world.refused(&ask("erin")).await.holders, 3);
}

/// Requests that disagree about the number of permits never hold together.
pub async fn unlike_limits_take_turns(world: World) {
    let ask = |permits| World::queueing("key", "owner").with_mode(semaphore(permits));
    let (two, three) = (ask(2), ask(3));
    world.granted(&two).await;
    assert_eq!(world.refused(&reader("reader")).await.holders, 1);
    let other = World::ask("key", "other").with_mode(semaphore(2));
    world.granted(&other).await;
    assert_eq!(world.queued(&three).await.holders, 2);
    world.released(&two).await;
    assert_eq!(world.queued(&three).await.holders, 1);
    world.released(&other).await;
    assert_eq!(world.granted(&three).await.mode, semaphore(3));
}

/// All readers up to the next writer are granted together when the key is freed.
pub async fn queued_readers_are_granted_together(world: World) {
    let first = World::ask("key", "first");
    world.granted(&first).await;
    let ask = |owner| World::queueing("key", owner).with_mode(Mode::READER);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(ask);
    let writer = World::queueing("key", "writer");
    for asked in [&alice, &bob, &writer, &carol] {
        world.queued(asked).await;
    }
    world.released(&first).await;
    world.elapse(World::BRIEF).await;
    let seen = world.inspect("key").await.leases;
    assert_eq!(seen[0].granted_at, seen[1].granted_at);
    hold(&world, [&alice, &bob]).await;
    assert_eq!(world.waiting("key").await, [writer.request, carol.request]);
}

/// A released permit goes to one waiter, the next.
pub async fn one_permit_is_handed_on(world: World) {
    let ask = |owner| World::queueing("key", owner).with_mode(semaphore(2));
    let (alice, bob, carol, dave) = (ask("alice"), ask("bob"), ask("carol"), ask("dave"));
    world.granted(&alice).await;
    world.granted(&bob).await;
    world.queued(&carol).await;
    world.queued(&dave).await;
    world.released(&alice).await;
    hold(&world, [&bob, &carol]).await;
    assert_eq!(world.queued(&dave).await.position, 1);
}

/// A reader that is refused for a waiting writer learns of both the holder and the queue.
pub async fn refused_reader_sees_the_waiting_writer(world: World) {
    let held = world.granted(&reader("alice")).await;
    let writer = World::queueing("key", "writer");
    world.queued(&writer).await;
    let place = world.refused(&reader("bob")).await;
    assert_eq!((place.position, place.waiting), (2, 1));
    assert_eq!((place.holders, place.holder), (1, Some(held)));
    assert_eq!(world.waiting("key").await, [writer.request]);
}
