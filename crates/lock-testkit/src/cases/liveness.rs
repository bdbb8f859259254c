//! Liveness: dead waiters, granted or not, block nobody for longer than their keep-alive.

mod claim;

use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition};

use super::expect_eq;
use crate::TestContext;

pub use claim::*;

/// A short keep-alive.
const SHORT: Duration = Duration::from_secs(1);

/// A waiting request for `key` that may be silent for a short time only.
fn brief(owner: &str) -> AcquireRequest {
    TestContext::ask("key", owner).queueing(TestContext::keep_alive(SHORT))
}

/// A waiter that is silent for its keep-alive is out of the queue, also when it is not the next,
/// and joins at its end.
pub async fn silent_waiter_loses_its_place(context: TestContext) {
    context.granted(&TestContext::ask("key", "alice")).await;
    let (first, other) =
        (TestContext::queueing("key", "bob"), TestContext::queueing("key", "carol"));
    let silent = brief("dave");
    for waiter in [&first, &silent, &other] {
        context.queued(waiter).await;
    }
    context.elapse(SHORT).await;
    expect_eq!(context.waiting("key").await, [first.id, other.id]);
    expect_eq!(context.queued(&other).await.position, 2);
    expect_eq!(context.queued(&silent).await.position, 3);
}

/// A silent head of the queue is skipped when the key is released.
pub async fn dead_head_is_skipped(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let living = TestContext::queueing("key", "carol");
    context.queued(&brief("bob")).await;
    context.queued(&living).await;
    context.elapse(SHORT).await;
    context.released(&held).await;
    expect_eq!(context.holding("key").await, [living.id]);
    expect_eq!(context.waiting("key").await, []);
}

/// A living waiter gets the key after a few acquires, however many silent ones stand before it.
pub async fn many_dead_heads_are_skipped(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    for number in 0..200 {
        context.queued(&brief(&format!("owner-{number}"))).await;
    }
    let living = TestContext::queueing("key", "bob");
    context.queued(&living).await;
    context.elapse(SHORT).await;
    context.released(&held).await;
    for _ in 0..10 {
        let answer = context.acquire(&living).await;
        match answer.value {
            Acquisition::Granted(lease) => {
                expect_eq!(context.inspect("key").await.leases, vec![lease.clone()]);
                return;
            }
            Acquisition::Queued(position) => {
                expect_eq!((position.holders, position.holder), (0, None));
                expect_eq!(position.next_change_at, Some(answer.observed_at));
            }
            other => panic!("expected a grant or a place, got {other:?}"),
        }
    }
    panic!("ten asks did not clear away the dead");
}

/// A waiter before another, which must be heard within two short spans.
async fn first_of_two(context: &TestContext) -> AcquireRequest {
    context.granted(&TestContext::ask("key", "alice")).await;
    let first = TestContext::ask("key", "bob").queueing(TestContext::keep_alive(SHORT * 2));
    context.queued(&first).await;
    expect_eq!(context.queued(&TestContext::queueing("key", "carol")).await.position, 2);
    first
}

/// A waiter that is heard in time keeps its place indefinitely.
pub async fn heard_waiter_keeps_its_place(context: TestContext) {
    let first = first_of_two(&context).await;
    for _ in 0..4 {
        context.elapse(SHORT).await;
        let position = context.heard_waiting(&first).await;
        expect_eq!((position.position, position.waiting), (1, 2));
    }
}

/// A waiter that asks again in time keeps its place indefinitely.
pub async fn asking_again_keeps_the_place(context: TestContext) {
    let first = first_of_two(&context).await;
    for _ in 0..4 {
        context.elapse(SHORT).await;
        let position = context.queued(&first).await;
        expect_eq!((position.position, position.waiting), (1, 2));
    }
}
