//! Shared leases: readers and semaphores, and their turns with writers.

use std::time::Duration;

use lock_core::{AcquireRequest, Holder, Mode};

use super::expect_eq;
use crate::TestContext;

fn semaphore(permits: u32) -> Mode {
    Mode::semaphore(permits).expect("the cases use at least one permit")
}

fn reader(owner: &str) -> AcquireRequest {
    TestContext::ask("key", owner).with_mode(Mode::READER)
}

/// Only these two hold the key.
async fn hold(context: &TestContext, both: [&AcquireRequest; 2]) {
    let mut seen = context.holding("key").await;
    seen.sort_by_key(|request| *request != both[0].id);
    expect_eq!(seen, both.map(|request| request.id));
}

/// Readers hold a key together, each with a lease and a token of its own.
pub async fn readers_share(context: TestContext) {
    let mut held = Vec::new();
    for request in [reader("alice"), reader("bob"), reader("bob")] {
        held.push(context.granted(&request).await);
    }
    assert!(held.is_sorted_by(|one, next| one.token < next.token), "tokens increase: {held:?}");
    let mut seen = context.inspect("key").await;
    seen.leases.sort_by_key(|lease| lease.token);
    expect_eq!((seen.leases, seen.holders), (held, 3));
    let position = context.refused(&TestContext::ask("key", "writer")).await;
    expect_eq!((position.holders, position.position, position.waiting), (3, 1, 0));
}

/// A writer waits until the last reader is gone.
pub async fn writer_waits_for_all_readers(context: TestContext) {
    let first = context.granted(&reader("alice")).await;
    let last = context.granted(&reader("bob")).await;
    let writer = TestContext::queueing("key", "writer");
    expect_eq!(context.queued(&writer).await.holders, 2);
    context.released(&first).await;
    let position = context.queued(&writer).await;
    expect_eq!((position.position, position.holders), (1, 1));
    expect_eq!(position.holder, Some(Holder::from(&last)));
    context.released(&last).await;
    expect_eq!(context.holding("key").await, [writer.id]);
}

/// A reader queues behind a waiting writer, although it could share with the holders.
pub async fn reader_does_not_join_past_a_waiting_writer(context: TestContext) {
    let (alice, writer) = (reader("alice"), TestContext::queueing("key", "writer"));
    let held = context.granted(&alice).await;
    context.queued(&writer).await;
    let bob = TestContext::queueing("key", "bob").with_mode(Mode::READER);
    let position = context.queued(&bob).await;
    expect_eq!((position.position, position.waiting, position.holders), (2, 2, 1));
    context.released(&held).await;
    let held = context.only_lease("key").await;
    expect_eq!(held.request, writer.id);
    context.released(&held).await;
    expect_eq!(context.holding("key").await, [bob.id]);
}

/// A reader of better rank than the waiting writer joins the holders.
pub async fn better_ranked_reader_joins(context: TestContext) {
    let (alice, writer) = (reader("alice"), TestContext::queueing("key", "writer"));
    let held = context.granted(&alice).await;
    context.queued(&writer).await;
    let bob = reader("bob").with_head_start(TestContext::head_start(Duration::from_secs(60)));
    let joined = context.granted(&bob).await;
    let position = context.queued(&writer).await;
    expect_eq!((position.position, position.waiting, position.holders), (1, 1, 2));
    context.released(&held).await;
    expect_eq!(context.only_lease("key").await, joined);
    context.released(&joined).await;
    expect_eq!(context.holding("key").await, [writer.id]);
}

/// A semaphore has as many holders as permits, and a released permit can be acquired again.
pub async fn semaphore_is_limited_to_its_permits(context: TestContext) {
    let ask = |owner| TestContext::ask("key", owner).with_mode(semaphore(3));
    let (held, dave) = (context.granted(&ask("alice")).await, ask("dave"));
    context.granted(&ask("bob")).await;
    context.granted(&ask("carol")).await;
    let position = context.refused(&dave).await;
    expect_eq!((position.holders, position.position, position.waiting), (3, 1, 0));
    context.released(&held).await;
    context.granted(&dave).await;
    expect_eq!(context.refused(&ask("erin")).await.holders, 3);
}

/// Requests with different numbers of permits never hold together.
pub async fn unlike_limits_take_turns(context: TestContext) {
    let ask = |permits| TestContext::queueing("key", "owner").with_mode(semaphore(permits));
    let (two, three) = (ask(2), ask(3));
    let first = context.granted(&two).await;
    expect_eq!(context.refused(&reader("reader")).await.holders, 1);
    let second = context.granted(&TestContext::ask("key", "other").with_mode(semaphore(2))).await;
    expect_eq!(context.queued(&three).await.holders, 2);
    context.released(&first).await;
    expect_eq!(context.queued(&three).await.holders, 1);
    context.released(&second).await;
    expect_eq!(context.granted(&three).await.mode, semaphore(3));
}

/// All readers up to the next writer are granted together when the key is freed.
pub async fn queued_readers_are_granted_together(context: TestContext) {
    let first = context.granted(&TestContext::ask("key", "first")).await;
    let ask = |owner| TestContext::queueing("key", owner).with_mode(Mode::READER);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(ask);
    let writer = TestContext::queueing("key", "writer");
    for request in [&alice, &bob, &writer, &carol] {
        context.queued(request).await;
    }
    context.released(&first).await;
    context.elapse(TestContext::BRIEF).await;
    let seen = context.inspect("key").await.leases;
    expect_eq!(seen[0].granted_at, seen[1].granted_at);
    hold(&context, [&alice, &bob]).await;
    expect_eq!(context.waiting("key").await, [writer.id, carol.id]);
}

/// A released permit goes to one waiter, the next.
pub async fn one_permit_is_handed_on(context: TestContext) {
    let ask = |owner| TestContext::queueing("key", owner).with_mode(semaphore(2));
    let (alice, bob, carol, dave) = (ask("alice"), ask("bob"), ask("carol"), ask("dave"));
    let held = context.granted(&alice).await;
    context.granted(&bob).await;
    for waiter in [&carol, &dave] {
        context.queued(waiter).await;
    }
    context.released(&held).await;
    hold(&context, [&bob, &carol]).await;
    expect_eq!(context.queued(&dave).await.position, 1);
}

/// A reader that is refused because of a waiting writer learns both the holder and the queue.
pub async fn refused_reader_sees_the_waiting_writer(context: TestContext) {
    let held = context.granted(&reader("alice")).await;
    let writer = TestContext::queueing("key", "writer");
    context.queued(&writer).await;
    let position = context.refused(&reader("bob")).await;
    expect_eq!((position.position, position.waiting, position.holders), (2, 1, 1));
    expect_eq!(position.holder, Some(Holder::from(&held)));
    expect_eq!(context.waiting("key").await, [writer.id]);
}
