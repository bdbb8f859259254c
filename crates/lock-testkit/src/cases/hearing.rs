//! Hear: a waiter shows that it is alive, and learns its position.

use lock_core::{HearRequest, Heard};

use super::expect_eq;
use crate::TestContext;

/// A request that was granted while it waited is answered with its lease at full length.
pub async fn granted_request_is_answered_with_its_lease(context: TestContext) {
    let (held, waiter) = context.holder_and_waiter().await;
    context.released(&held).await;
    let handed = context.only_lease("key").await;
    let claimed = context.heard_granted(&waiter).await;
    assert!(claimed.expires_at >= Some(handed.granted_at.after(TestContext::TTL)), "{claimed:?}");
    expect_eq!(claimed, handed.with_expires_at(claimed.expires_at));
    expect_eq!(context.only_lease("key").await, claimed);
    expect_eq!(context.heard_granted(&waiter).await, claimed);
}

/// A request that neither waits nor holds is absent, and does not join the queue.
pub async fn unknown_request_is_absent(context: TestContext) {
    let unknown = TestContext::queueing("key", "carol");
    expect_eq!(context.hear(&unknown).await.value, Heard::Absent);
    context.free("key").await;
    let (held, waiter) = context.holder_and_waiter().await;
    expect_eq!(context.hear(&unknown).await.value, Heard::Absent);
    expect_eq!(context.only_lease("key").await, held);
    expect_eq!(context.waiting("key").await, [waiter.id]);
    context.released(&held).await;
    let held = context.heard_granted(&waiter).await;
    context.released(&held).await;
    expect_eq!(context.hear(&waiter).await.value, Heard::Absent);
}

/// A waiter that was silent for too long is absent, and does not rejoin.
pub async fn silent_waiter_is_absent(context: TestContext) {
    context.granted(&TestContext::ask("key", "alice")).await;
    let silent =
        TestContext::ask("key", "bob").queueing(TestContext::keep_alive(TestContext::BRIEF));
    context.queued(&silent).await;
    context.elapse(TestContext::BRIEF).await;
    expect_eq!(context.hear(&silent).await.value, Heard::Absent);
    expect_eq!(context.waiting("key").await, []);
}

/// A batch is answered one for one in its order, whatever the state of each request.
pub async fn answers_come_in_order(context: TestContext) {
    let keys: Vec<String> = (0..30).map(|number| format!("key-{number}")).collect();
    let mut waiters = Vec::new();
    for (number, key) in keys.iter().enumerate() {
        let waiter = TestContext::queueing(key, "bob");
        if number % 3 > 0 {
            let held = context.granted(&TestContext::ask(key, "alice")).await;
            context.queued(&waiter).await;
            if number % 3 > 1 {
                context.released(&held).await;
            }
        }
        waiters.push(waiter);
    }
    let hear = |waiter: &lock_core::AcquireRequest| HearRequest::new(waiter.key.clone(), waiter.id);
    let requests: Vec<HearRequest> = waiters.iter().map(hear).collect();
    let answers = context.store().hear(&requests).await;
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
    assert!(context.store().hear(&[]).await.is_empty(), "nothing is answered with nothing");
}
