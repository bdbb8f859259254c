//! Hearing: a waiter says that it is alive, and is told where it stands.

use lock_core::{HearRequest, Heard};

use super::expect_eq;
use crate::World;

/// A request that was granted while it waited is answered with its lease at full length.
pub async fn granted_request_is_answered_with_its_lease(world: World) {
    let (held, waiter) = world.holder_and_waiter().await;
    world.released(&held).await;
    let handed = world.only_lease("key").await;
    let claimed = world.heard_granted(&waiter).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(World::TTL)), "{claimed:?}");
    expect_eq!(claimed, handed.with_expires_at(claimed.expires_at));
    expect_eq!(world.only_lease("key").await, claimed);
    expect_eq!(world.heard_granted(&waiter).await, claimed);
}

/// A request that neither waits nor holds is absent, and does not join the queue.
pub async fn unknown_request_is_absent(world: World) {
    let unknown = World::queueing("key", "carol");
    expect_eq!(world.hear(&unknown).await.value, Heard::Absent);
    world.free("key").await;
    let (held, waiter) = world.holder_and_waiter().await;
    expect_eq!(world.hear(&unknown).await.value, Heard::Absent);
    expect_eq!(world.only_lease("key").await, held);
    expect_eq!(world.waiting("key").await, [waiter.id]);
    world.released(&held).await;
    let held = world.heard_granted(&waiter).await;
    world.released(&held).await;
    expect_eq!(world.hear(&waiter).await.value, Heard::Absent);
}

/// A waiter that was silent for too long is absent, and is not taken back.
pub async fn silent_waiter_is_absent(world: World) {
    world.granted(&World::ask("key", "alice")).await;
    let silent = World::ask("key", "bob").queueing(World::keep_alive(World::BRIEF));
    world.queued(&silent).await;
    world.elapse(World::BRIEF).await;
    expect_eq!(world.hear(&silent).await.value, Heard::Absent);
    expect_eq!(world.waiting("key").await, []);
}

/// A batch is answered one for one in its order, whatever became of each request.
pub async fn answers_come_in_order(world: World) {
    let keys: Vec<String> = (0..30).map(|number| format!("key-{number}")).collect();
    let mut waiters = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let waiter = World::queueing(key, "bob");
        if number % 3 > 0 {
            let held = world.granted(&World::ask(key, "alice")).await;
            world.queued(&waiter).await;
            if number % 3 > 1 {
                world.released(&held).await;
            }
        }
        waiters.push(waiter);
    }
    let hear = |waiter: &lock_core::AcquireRequest| HearRequest::new(waiter.key.clone(), waiter.id);
    let requests: Vec<HearRequest> = waiters.iter().map(hear).collect();
    let answers = world.store().hear(&requests).await;
    expect_eq!(answers.len(), 30);
    for (number, (waiter, answer)) in waiters.iter().zip(answers).enumerate() {
        match (number % 3, answer.expect("hear answers").value) {
            (0, Heard::Absent) => {}
            (1, Heard::Queued(position)) => expect_eq!(position.position, 1),
            (2, Heard::Granted(lease)) => {
                expect_eq!((&lease.key, lease.request), (&waiter.key, waiter.id));
            }
            (_, other) => panic!("expected another answer to hearing {number}, got {other:?}"),
        }
    }
    assert!(world.store().hear(&[]).await.is_empty(), "nothing is answered with nothing");
}
