//! Crowds: long queues are served in order to the last, and no command is slowed down by them.

mod bounds;

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{AcquireRequest, Holder, OnHeld};

use super::expect_eq;
use crate::TestContext;

pub use bounds::*;

/// A head start that puts a request before all others of a case.
const HOUR: Duration = Duration::from_secs(60 * 60);

/// A queueing request for `key` with this queue limit, itself included.
fn limited(owner: &str, limit: u32) -> AcquireRequest {
    let keep_alive = TestContext::keep_alive(TestContext::KEEP_ALIVE);
    let queue_limit = NonZeroU32::new(limit);
    TestContext::ask("key", owner).with_on_held(OnHeld::Queue { keep_alive, queue_limit })
}

/// A request joins no queue longer than its limit, and leaves nothing behind when refused.
pub async fn full_queue_refuses(context: TestContext) {
    let lease = context.granted(&limited("alice", 1)).await;
    let (first, second) = (limited("bob", 2), limited("carol", 2));
    context.queued(&first).await;
    context.queued(&second).await;

    let third = limited("dave", 2);
    let position = context.full(&third).await;
    expect_eq!((position.position, position.waiting), (3, 2));
    expect_eq!(position.holder, Some(Holder::from(&lease)));
    context.full(&limited("erin", 1).with_head_start(TestContext::head_start(HOUR))).await;
    expect_eq!(context.queued(&second).await.position, 2);
    expect_eq!(context.waiting("key").await, [first.id, second.id]);
    expect_eq!(context.queued(&limited("erin", 3)).await.position, 3);
}

/// Waiters that are silent for too long do not count towards the limit.
pub async fn queue_limit_counts_only_the_living(context: TestContext) {
    context.granted(&TestContext::ask("key", "alice")).await;
    let silent =
        TestContext::ask("key", "bob").queueing(TestContext::keep_alive(TestContext::BRIEF));
    context.queued(&silent).await;
    context.elapse(TestContext::BRIEF).await;
    let position = context.queued(&limited("carol", 1)).await;
    expect_eq!((position.position, position.waiting), (1, 1));
}

/// Five hundred waiters are all served, each once and in order.
pub async fn five_hundred_waiters_are_all_served(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let waiters = TestContext::patient(500);
    for (ahead, waiter) in waiters.iter().enumerate() {
        expect_eq!(context.queued(waiter).await.position, ahead as u64 + 1);
    }
    context.served(&held, &waiters.iter().collect::<Vec<_>>()).await;
}

/// A long queue of mixed head starts is in the order in which sorting by rank would put it.
pub async fn long_queue_keeps_its_order(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let mut waiters = TestContext::patient(200);
    for (number, waiter) in waiters.iter_mut().enumerate() {
        // Multiples of 7 milliseconds in no order, some of them equal and a third of them none.
        let steps = if number % 3 == 0 { 0 } else { number * 89 % 31 };
        waiter.head_start = TestContext::head_start(Duration::from_millis(7 * steps as u64));
        context.queued(waiter).await;
        if number % 10 == 9 {
            context.elapse(Duration::from_millis(7)).await;
        }
    }
    let mut ranks: Vec<_> = Vec::new();
    let seen = context.inspect("key").await.waiters.items;
    for (arrival, waiter) in waiters.iter().enumerate() {
        let shown = seen.iter().find(|shown| shown.request == waiter.id).expect("it waits");
        expect_eq!(shown.head_start, waiter.head_start);
        let head_start = u64::try_from(shown.head_start.span().as_micros()).expect("a short one");
        ranks.push((shown.enqueued_at.as_micros() - head_start, arrival, waiter));
    }
    ranks.sort_by_key(|(rank, arrival, _)| (*rank, *arrival));
    let sorted: Vec<&AcquireRequest> = ranks.into_iter().map(|(_, _, waiter)| waiter).collect();
    let shown: Vec<_> = seen.iter().map(|waiter| waiter.request).collect();
    expect_eq!(shown, sorted.iter().map(|waiter| waiter.id).collect::<Vec<_>>());
    context.served(&held, &sorted).await;
}
