//! The queue: who waits is granted in the order of rank, and knows where it stands.

mod position;

use std::time::Duration;

use lock_core::{AcquireRequest, AgeingStep, Priority};

use super::expect_eq;
use crate::World;

pub use position::*;

/// A waiting request for `key` that ranks this much earlier than it comes.
fn ahead(owner: &str, head_start: Duration) -> AcquireRequest {
    World::queueing("key", owner).with_head_start(World::head_start(head_start))
}

/// Waiters of equal priority are granted in the order in which they came.
pub async fn waiters_are_granted_in_arrival_order(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let waiters = World::patient(10);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    world.served(&held, &waiters.iter().collect::<Vec<_>>()).await;
}

/// A request of higher priority is granted before those of lower that came shortly before it.
pub async fn higher_priority_goes_first(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let mut waiters = Vec::new();
    for priority in Priority::ALL {
        let head_start = priority.head_start(AgeingStep::default());
        let waiter = World::queueing("key", priority.as_str()).with_head_start(head_start);
        world.queued(&waiter).await;
        waiters.push(waiter);
    }
    world.served(&held, &waiters.iter().rev().collect::<Vec<_>>()).await;
}

/// Nobody is overtaken by a request that came later by more than its head start.
pub async fn head_start_is_bounded(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let first = World::queueing("key", "bob");
    world.queued(&first).await;
    world.elapse(Duration::from_millis(501)).await;
    let late = ahead("carol", Duration::from_millis(500));
    expect_eq!(world.queued(&late).await.position, 2);
    let early = ahead("dave", Duration::from_secs(60));
    expect_eq!(world.queued(&early).await.position, 1);
    world.served(&held, &[&early, &first, &late]).await;
}

/// Of two requests of equal rank, the one that came first is granted first.
pub async fn equal_rank_goes_by_arrival(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let first = World::queueing("key", "bob");
    world.queued(&first).await;
    world.elapse(Duration::from_millis(500)).await;
    let equal = ahead("carol", Duration::from_millis(500));
    expect_eq!(world.queued(&equal).await.position, 2);
    expect_eq!(world.waiting("key").await, [first.id, equal.id]);
    world.served(&held, &[&first, &equal]).await;
}

/// A newcomer gets no key that somebody waits for, even when it asks just after the release.
pub async fn newcomer_does_not_overtake_the_queue(world: World) {
    let (held, first) = world.holder_and_waiter().await;
    world.released(&held).await;
    let newcomer = World::queueing("key", "carol");
    let position = world.queued(&newcomer).await;
    expect_eq!(position.holder.map(|holder| holder.owner), Some(first.owner.clone()));
    let held = world.granted(&first).await;
    world.served(&held, &[&newcomer]).await;
}
