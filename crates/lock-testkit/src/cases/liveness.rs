//! Liveness: the dead, waiting or granted, hold nobody up for longer than their keep-alive.

mod claim;

use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition};

use super::expect_eq;
use crate::World;

pub use claim::*;

/// A keep-alive that is over soon.
const SHORT: Duration = Duration::from_secs(1);

/// A waiting request for `key` that may be silent for a short time only.
fn brief(owner: &str) -> AcquireRequest {
    World::ask("key", owner).queueing(World::keep_alive(SHORT))
}

/// A waiter that is silent for its keep-alive is out of the queue, also when it is not the next,
/// and joins at its end.
pub async fn silent_waiter_loses_its_place(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let (first, other) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    let silent = brief("dave");
    for waiter in [&first, &silent, &other] {
        world.queued(waiter).await;
    }
    world.elapse(SHORT).await;
    expect_eq!(world.waiting("key").await, [first.id, other.id]);
    expect_eq!(world.queued(&other).await.position, 2);
    expect_eq!(world.queued(&silent).await.position, 3);
}

/// A silent head of the queue is passed over when the key is released.
pub async fn dead_head_is_skipped(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let living = World::queueing("key", "carol");
    world.queued(&brief("bob")).await;
    world.queued(&living).await;
    world.elapse(SHORT).await;
    world.released(&held).await;
    expect_eq!(world.holding("key").await, [living.id]);
    expect_eq!(world.waiting("key").await, []);
}

/// However many silent waiters stand before it, a living one has the key after a few asks.
pub async fn many_dead_heads_are_skipped(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    for number in 0..200 {
        world.queued(&brief(&format!("owner-{number}"))).await;
    }
    let living = World::queueing("key", "bob");
    world.queued(&living).await;
    world.elapse(SHORT).await;
    world.released(&held).await;
    for _ in 0..10 {
        let answer = world.acquire(&living).await;
        match answer.value {
            Acquisition::Granted(lease) => {
                expect_eq!(world.inspect("key").await.leases, vec![lease.clone()]);
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

/// A waiter before another, that must be heard of within two short times.
async fn first_of_two(world: &World) -> AcquireRequest {
    world.granted(&World::ask("key", "alice")).await;
    let first = World::ask("key", "bob").queueing(World::keep_alive(SHORT * 2));
    world.queued(&first).await;
    expect_eq!(world.queued(&World::queueing("key", "carol")).await.position, 2);
    first
}

/// A waiter that is heard in time keeps its place for as long as it likes.
pub async fn heard_waiter_keeps_its_place(world: World) {
    let first = first_of_two(&world).await;
    for _ in 0..4 {
        world.elapse(SHORT).await;
        let position = world.heard_waiting(&first).await;
        expect_eq!((position.position, position.waiting), (1, 2));
    }
}

/// A waiter that asks again in time keeps its place for as long as it likes.
pub async fn asking_again_keeps_the_place(world: World) {
    let first = first_of_two(&world).await;
    for _ in 0..4 {
        world.elapse(SHORT).await;
        let position = world.queued(&first).await;
        expect_eq!((position.position, position.waiting), (1, 2));
    }
}
