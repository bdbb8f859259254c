//! The queue: who waits is granted in the order of rank, and knows where it stands.

use std::time::Duration;

use lock_core::{AcquireRequest, Cancellation, Mode, Priority, Release};

use crate::World;

/// A waiting request for `key` that ranks this much earlier than it comes.
fn ahead(owner: &str, head_start: Duration) -> AcquireRequest {
    World::queueing("key", owner).with_head_start(World::head_start(head_start))
}

/// Waiters of equal priority are granted in the order in which they came.
pub async fn waiters_are_granted_in_arrival_order(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let waiters = World::patient(10);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    world.served(&holder, &waiters.iter().collect::<Vec<_>>()).await;
}

/// A request of higher priority is granted before those of lower that came shortly before it.
pub async fn higher_priority_goes_first(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let mut waiters = Vec::new();
    for priority in Priority::ALL {
        let head_start = priority.head_start(Priority::DEFAULT_STEP).expect("a valid head start");
        let waiter = World::queueing("key", priority.as_str()).with_head_start(head_start);
        world.queued(&waiter).await;
        waiters.push(waiter);
    }
    world.served(&holder, &waiters.iter().rev().collect::<Vec<_>>()).await;
}

/// Nobody is overtaken by a request that came later by more than its head start.
pub async fn head_start_is_bounded(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let first = World::queueing("key", "bob");
    world.queued(&first).await;
    world.elapse(Duration::from_millis(501)).await;
    let late = ahead("carol", Duration::from_millis(500));
    assert_eq!(world.queued(&late).await.position, 2);
    let early = ahead("dave", Duration::from_secs(60));
    assert_eq!(world.queued(&early).await.position, 1);
    world.served(&holder, &[&early, &first, &late]).await;
}

/// Of two requests of equal rank, the one that came first is granted first.
pub async fn equal_rank_goes_by_arrival(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let first = World::queueing("key", "bob");
    world.queued(&first).await;
    world.elapse(Duration::from_millis(500)).await;
    let equal = ahead("carol", Duration::from_millis(500));
    assert_eq!(world.queued(&equal).await.position, 2);
    assert_eq!(world.waiting("key").await, vec![first.request, equal.request]);
    world.served(&holder, &[&first, &equal]).await;
}

/// A newcomer gets no key that somebody waits for, even when it asks just after the release.
pub async fn newcomer_does_not_overtake_the_queue(world: World) {
    let (holder, first) = (World::ask("key", "alice"), World::queueing("key", "bob"));
    world.granted(&holder).await;
    world.queued(&first).await;
    assert_eq!(world.release(&holder).await, Release::Released);
    let newcomer = World::queueing("key", "carol");
    let place = world.queued(&newcomer).await;
    assert_eq!(place.holder.map(|lease| lease.request), Some(first.request));
    world.served(&first, &[&newcomer]).await;
}

/// A place tells the position, how many wait, and the lease that is in the way.
pub async fn place_tells_position_and_holder(world: World) {
    let lease = world.granted(&World::ask("key", "alice")).await;
    for number in 1..=3 {
        let place = world.queued(&World::queueing("key", "bob")).await;
        assert_eq!((place.position, place.waiting, place.holders), (number, number, 1));
        assert_eq!(place.holder.as_ref(), Some(&lease));
        assert!(place.observed_at >= lease.granted_at);
    }
    let place = world.refused(&World::ask("key", "carol")).await;
    assert_eq!((place.position, place.waiting, place.holders), (4, 3, 1));
    assert_eq!(place.holder, Some(lease));

    let reader = |secs| {
        let ttl = World::ttl(Duration::from_secs(secs));
        World::ask("read", "alice").with_mode(Mode::READER).with_ttl(ttl)
    };
    let (_, soon, _) = (
        world.granted(&reader(30)).await,
        world.granted(&reader(20)).await,
        world.granted(&reader(40)).await,
    );
    let place = world.refused(&World::ask("read", "carol")).await;
    assert_eq!((place.holders, place.holder), (3, Some(soon)));
}

/// When somebody ahead leaves, whether granted or cancelled, everybody behind moves up.
pub async fn places_move_up(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let waiters = World::patient(4);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    assert_eq!(world.release(&holder).await, Release::Released);
    let place = world.queued(&waiters[3]).await;
    assert_eq!((place.position, place.waiting), (3, 3));
    assert_eq!(place.holder.map(|lease| lease.request), Some(waiters[0].request));
    assert_eq!(world.cancel(&waiters[1]).await, Cancellation::Dequeued);
    let place = world.queued(&waiters[3]).await;
    assert_eq!((place.position, place.waiting), (2, 2));
    assert_eq!(world.queued(&waiters[2]).await.position, 1);
}

/// A newcomer of better rank stands before those of worse, and a refused one is told that it would.
pub async fn better_rank_takes_a_better_place(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let (first, second) = (World::queueing("key", "bob"), World::queueing("key", "carol"));
    world.queued(&first).await;
    world.queued(&second).await;

    let better = ahead("dave", Duration::from_secs(60));
    let refused = World::ask("key", "erin").with_head_start(better.head_start);
    assert_eq!(world.refused(&refused).await.position, 1);
    let place = world.queued(&better).await;
    assert_eq!((place.position, place.waiting), (1, 3));
    assert_eq!(world.refused(&refused).await.position, 2);
    assert_eq!(world.queued(&first).await.position, 2);
    assert_eq!(world.queued(&second).await.position, 3);
    world.served(&holder, &[&better, &first, &second]).await;
}
