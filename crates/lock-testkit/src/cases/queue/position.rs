//! Positions: where a request stands, and what is in its way.

use std::time::Duration;

use lock_core::{Cancellation, Holder, Mode, Ttl};

use super::ahead;
use crate::World;
use crate::cases::expect_eq;

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
