//! The queue: who waits is granted in the order of rank, and knows where it stands.

use std::time::Duration;

use lock_core::{AcquireRequest, Cancellation, Holder, Mode, Priority, Ttl};

use super::expect_eq;
use crate::World;

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
        let head_start = priority.head_start(Priority::DEFAULT_STEP).expect("a valid head start");
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

/// A position tells the rank, how many wait, and the holder that is in the way, to requests that
/// are queued, heard and refused.
pub async fn position_tells_rank_and_holder(world: World) {
    let lease = world.granted(&World::ask("key", "alice")).await;
    let holder = Some(Holder::from(&lease));
    for number in 1..=3 {
        let waiter = World::queueing("key", "bob");
        let position = world.queued(&waiter).await;
        expect_eq!((position.position, position.waiting, position.holders), (number, number, 1));
        expect_eq!(position.holder, holder);
        expect_eq!(world.heard_waiting(&waiter).await, position);
    }
    let position = world.refused(&World::ask("key", "carol")).await;
    expect_eq!((position.position, position.waiting, position.holders), (4, 3, 1));
    expect_eq!(position.holder, holder);

    let reader = |secs| {
        let ttl = World::ttl(Duration::from_secs(secs));
        World::ask("read", "alice").with_mode(Mode::READER).with_ttl(ttl)
    };
    let (_, soon, _) = (
        world.granted(&reader(30)).await,
        world.granted(&reader(20)).await,
        world.granted(&reader(40)).await,
    );
    let position = world.refused(&World::ask("read", "carol")).await;
    expect_eq!((position.holders, position.holder), (3, Some(Holder::from(&soon))));
}

/// A position names the next instant at which anything can change by time alone: the end of the
/// lease that ends first or, for those behind the head of the queue, the silence of the head.
pub async fn position_names_the_next_change(world: World) {
    let lease = world.granted(&World::ask("key", "alice")).await;
    let head = World::queueing("key", "bob");
    expect_eq!(world.queued(&head).await.next_change_at, lease.expires_at);
    let silent_at = Some(world.only_waiter("key").await.silent_at);
    assert!(silent_at < lease.expires_at, "the head is silent before the lease ends");
    let behind = World::queueing("key", "carol");
    expect_eq!(world.queued(&behind).await.next_change_at, silent_at);
    expect_eq!(world.refused(&World::ask("key", "dave")).await.next_change_at, silent_at);
    expect_eq!(world.heard_waiting(&head).await.next_change_at, lease.expires_at);

    let endless = |owner| World::ask("endless", owner).with_ttl(Ttl::Never);
    world.granted(&endless("alice")).await;
    let head = endless("bob").queueing(World::keep_alive(World::KEEP_ALIVE));
    expect_eq!(world.queued(&head).await.next_change_at, None);
    let silent_at = Some(world.only_waiter("endless").await.silent_at);
    expect_eq!(world.refused(&endless("carol")).await.next_change_at, silent_at);
}

/// When somebody ahead leaves, whether granted or cancelled, everybody behind moves up.
pub async fn positions_move_up(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let waiters = World::patient(4);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    world.released(&held).await;
    let position = world.queued(&waiters[3]).await;
    expect_eq!((position.position, position.waiting), (3, 3));
    expect_eq!(position.holder.map(|holder| holder.owner), Some(waiters[0].owner.clone()));
    expect_eq!(world.cancel(&waiters[1]).await, Cancellation::Dequeued);
    let position = world.queued(&waiters[3]).await;
    expect_eq!((position.position, position.waiting), (2, 2));
    expect_eq!(world.queued(&waiters[2]).await.position, 1);
}

/// A newcomer of better rank stands before those of worse, and a refused one is told that it would.
pub async fn better_rank_takes_a_better_position(world: World) {
    let held = world.granted(&World::ask("key", "alice")).await;
    let (first, second) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    world.queued(&first).await;
    world.queued(&second).await;

    let better = ahead("dave", Duration::from_secs(60));
    let refused = World::ask("key", "erin").with_head_start(better.head_start);
    expect_eq!(world.refused(&refused).await.position, 1);
    let position = world.queued(&better).await;
    expect_eq!((position.position, position.waiting), (1, 3));
    expect_eq!(world.refused(&refused).await.position, 2);
    expect_eq!(world.queued(&first).await.position, 2);
    expect_eq!(world.queued(&second).await.position, 3);
    world.served(&held, &[&better, &first, &second]).await;
}
