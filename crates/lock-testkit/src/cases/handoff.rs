//! Hand-off: whoever ends a lease grants the key to the next, and wakes it.

use std::time::Duration;

use lock_core::Release;

use crate::World;

/// A waiter holds the key as soon as it is released, with no command of its own.
pub async fn release_grants_to_the_next(world: World) {
    let (holder, waiter) = world.holder_and_waiter().await;
    assert_eq!(world.release(&holder).await, Release::Released);
    let lease = world.only_lease("key").await;
    assert_eq!((lease.request, &lease.owner), (waiter.request, &waiter.owner));
    assert_eq!(world.waiting("key").await, vec![]);
    assert_eq!(world.granted(&waiter).await.token, lease.token);
}

/// Of many waiters, a released exclusive key is granted to one.
pub async fn exactly_one_is_granted(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let waiters = World::patient(5);
    for waiter in &waiters {
        world.queued(waiter).await;
    }
    assert_eq!(world.release(&holder).await, Release::Released);
    assert_eq!(world.only_lease("key").await.request, waiters[0].request);
    let others: Vec<_> = waiters[1..].iter().map(|waiter| waiter.request).collect();
    assert_eq!(world.waiting("key").await, others);
}

/// Of many that wait, the one that was granted is told so, and the others are not.
pub async fn exactly_one_is_woken(world: World) {
    let holder = World::ask("key", "alice");
    world.granted(&holder).await;
    let mut sleepers = Vec::new();
    for waiter in World::patient(5) {
        world.queued(&waiter).await;
        let store = world.connect().await;
        let span = Duration::from_secs(2);
        sleepers.push(tokio::spawn(World::news(store, waiter, span)));
    }
    world.elapse(Duration::from_millis(100)).await;
    assert_eq!(world.release(&holder).await, Release::Released);
    let lease = world.only_lease("key").await;
    let mut woken = Vec::new();
    for sleeper in sleepers {
        woken.push(sleeper.await.expect("the task ends"));
    }
    assert_eq!(woken[1..], [None, None, None, None]);
    if world.expected().pushes_grants {
        assert_eq!(woken[0], Some(lease));
    }
}
