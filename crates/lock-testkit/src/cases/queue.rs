//! The queue: waiters are granted in the order of rank, and know their positions.

mod position;

use std::time::Duration;

use lock_core::{AcquireRequest, AgeingStep, Priority};

use super::expect_eq;
use crate::TestContext;

pub use position::*;

/// A queueing request for `key` with this head start.
fn ahead(owner: &str, head_start: Duration) -> AcquireRequest {
    TestContext::queueing("key", owner).with_head_start(TestContext::head_start(head_start))
}

/// Waiters of equal priority are granted in the order of arrival.
pub async fn waiters_are_granted_in_arrival_order(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let waiters = TestContext::patient(10);
    for waiter in &waiters {
        context.queued(waiter).await;
    }
    context.served(&held, &waiters.iter().collect::<Vec<_>>()).await;
}

/// A request of higher priority is granted before those of lower priority that arrived shortly
/// before it.
pub async fn higher_priority_goes_first(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let mut waiters = Vec::new();
    for priority in Priority::ALL {
        let head_start = priority.head_start(AgeingStep::default());
        let waiter = TestContext::queueing("key", priority.as_str()).with_head_start(head_start);
        context.queued(&waiter).await;
        waiters.push(waiter);
    }
    context.served(&held, &waiters.iter().rev().collect::<Vec<_>>()).await;
}

/// Nobody is overtaken by a request that came later by more than its head start.
pub async fn head_start_is_bounded(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let first = TestContext::queueing("key", "bob");
    context.queued(&first).await;
    context.elapse(Duration::from_millis(501)).await;
    let late = ahead("carol", Duration::from_millis(500));
    expect_eq!(context.queued(&late).await.position, 2);
    let early = ahead("dave", Duration::from_secs(60));
    expect_eq!(context.queued(&early).await.position, 1);
    context.served(&held, &[&early, &first, &late]).await;
}

/// Of two requests of equal rank, the one that came first is granted first.
pub async fn equal_rank_goes_by_arrival(context: TestContext) {
    let held = context.granted(&TestContext::ask("key", "alice")).await;
    let first = TestContext::queueing("key", "bob");
    context.queued(&first).await;
    context.elapse(Duration::from_millis(500)).await;
    let equal = ahead("carol", Duration::from_millis(500));
    expect_eq!(context.queued(&equal).await.position, 2);
    expect_eq!(context.waiting("key").await, [first.id, equal.id]);
    context.served(&held, &[&first, &equal]).await;
}

/// A newcomer gets no key that has waiters, even if it asks just after the release.
pub async fn newcomer_does_not_overtake_the_queue(context: TestContext) {
    let (held, first) = context.holder_and_waiter().await;
    context.released(&held).await;
    let newcomer = TestContext::queueing("key", "carol");
    let position = context.queued(&newcomer).await;
    expect_eq!(position.holder.map(|holder| holder.owner), Some(first.owner.clone()));
    let held = context.granted(&first).await;
    context.served(&held, &[&newcomer]).await;
}
