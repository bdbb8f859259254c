//! The retry policies: when an acquire asks again, and what does not follow them.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::time::Duration;

use common::{faulty, settle};
use lock_core::{
    ErrorKind, LockManager, ManagerConfig, Operation, OwnerId, RetryPolicy, Timeout, Violation,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};
use tokio::time::{Instant, sleep};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn manager(policy: RetryPolicy) -> (Faulty<MemoryBackend>, LockManager) {
    let (store, config) = (faulty(), ManagerConfig::default().with_retry_policy(policy));
    let owner = OwnerId::parse("alice").unwrap();
    (store.clone(), LockManager::with_config(store, owner, config))
}

/// Number of attempts in the first 1,000 ms of a store that refuses all.
async fn attempts(policy: RetryPolicy) -> u64 {
    let (store, alice) = manager(policy);
    store.inject(Operation::Acquire, Fault::Refused);
    let start = Instant::now();
    let error = alice.acquire("key").wait(millis(1000)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
    assert!(start.elapsed() <= millis(1000), "the wait ends the pause");
    store.commands(Operation::Acquire)
}

#[tokio::test(start_paused = true)]
async fn acquire_pauses_by_its_policy() {
    // At 0, 300, 600 and 900 ms.
    assert_eq!(attempts(RetryPolicy::fixed(millis(300)).unwrap()).await, 4);
    // At 0, 100, 300, 600 and 900 ms.
    assert_eq!(attempts(RetryPolicy::linear(millis(100), millis(300)).unwrap()).await, 5);
    // Each pause is at most 5 ms.
    let often = RetryPolicy::exponential(millis(5), millis(5)).unwrap();
    assert!(attempts(often).await > 200);
    // 100 pauses would be as short as this only by a draw of 1 in 10^20.
    assert!(attempts(RetryPolicy::default()).await < 100);
}

#[tokio::test(start_paused = true)]
async fn without_retry_the_first_failure_ends_the_acquire() {
    for fault in [Fault::Refused, Fault::AnswerLost] {
        let (store, alice) = manager(RetryPolicy::None);
        store.inject(Operation::Acquire, fault);
        let start = Instant::now();
        let error = alice.acquire("key").await.unwrap_err();
        let is_unknown = fault == Fault::AnswerLost;
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, is_unknown));
        assert_eq!((start.elapsed(), store.commands(Operation::Acquire)), (millis(0), 1));
        store.heal();
        settle().await;
        assert_eq!(alice.inspect("key").await.unwrap().value.holders, 0, "{fault:?}");
        drop(alice.acquire("key").await.unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn without_retry_waiters_leases_and_releases_outlast_a_failure() {
    let (store, alice) = manager(RetryPolicy::None);
    let held = alice.acquire("key").ttl(millis(3000)).await.unwrap();
    let waiter = tokio::spawn(alice.acquire("key").into_future());
    common::waiting(&alice, "key", 1).await;
    for operation in [Operation::Renew, Operation::Hear, Operation::Release] {
        store.inject(operation, Fault::Refused);
    }
    sleep(millis(1500)).await;
    assert!(store.commands(Operation::Renew) > 1, "renewals are retried");
    store.heal();
    store.inject(Operation::Release, Fault::Refused);
    sleep(millis(4000)).await;
    assert!(!held.is_lost());
    assert_eq!(held.release().await.unwrap_err().kind(), ErrorKind::Unavailable);
    store.heal();
    let next = waiter.await.unwrap().unwrap();
    assert!(store.commands(Operation::Release) > 1, "the release was retried");
    next.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn pauses_begin_anew_after_an_answer() {
    let (store, alice) = manager(RetryPolicy::linear(millis(100), millis(60_000)).unwrap());
    let held = alice.acquire("key").await.unwrap();
    store.inject(Operation::Acquire, Fault::Refused);
    let request = alice.acquire("key").keep_alive(millis(500)).into_future();
    let waiter = tokio::spawn(request);
    // Attempts at 0, 100, 300, .. 2,100 and 2,800 ms: the next is due after 800 ms.
    sleep(millis(2900)).await;
    store.heal();
    sleep(millis(800)).await;
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 1);
    // It loses its place, and joins again after the first pause.
    store.inject(Operation::Hear, Fault::Refused);
    store.inject(Operation::Acquire, Fault::Refused);
    sleep(millis(2000)).await;
    store.heal();
    store.inject(Operation::Acquire, Fault::Refused);
    let before = store.commands(Operation::Acquire);
    sleep(millis(2000)).await;
    let asked = store.commands(Operation::Acquire) - before;
    assert!((4..=6).contains(&asked), "{asked} attempts in two seconds");
    waiter.abort();
    drop(held);
}

#[test]
fn policies_outside_their_limits_are_named() {
    let (zero, long) = (Duration::ZERO, Duration::MAX);
    for (refused, field, violation) in [
        (RetryPolicy::fixed(zero), "pause", Violation::TooShort { limit: Timeout::MIN }),
        (RetryPolicy::fixed(long), "pause", Violation::TooLarge { limit: Timeout::MAX }),
        (RetryPolicy::linear(zero, long), "step", Violation::TooShort { limit: Timeout::MIN }),
        (
            RetryPolicy::linear(millis(9), millis(8)),
            "longest",
            Violation::TooShort { limit: millis(9) },
        ),
        (
            RetryPolicy::exponential(millis(9), millis(8)),
            "longest",
            Violation::TooShort { limit: millis(9) },
        ),
        (
            RetryPolicy::exponential(millis(9), long),
            "longest",
            Violation::TooLarge { limit: Timeout::MAX },
        ),
    ] {
        let input = refused.unwrap_err();
        assert_eq!(input.field(), format!("retry_policy.{field}"));
        assert_eq!(*input.violation(), violation);
    }
}

#[cfg(feature = "serde")]
#[test]
fn policies_are_read_and_written_and_checked() {
    for (policy, text) in [
        (RetryPolicy::default(), r#"{"exponential":{"first":20,"longest":1000}}"#),
        (RetryPolicy::fixed(millis(7)).unwrap(), r#"{"fixed":{"pause":7}}"#),
        (
            RetryPolicy::linear(millis(7), millis(8)).unwrap(),
            r#"{"linear":{"step":7,"longest":8}}"#,
        ),
        (RetryPolicy::None, r#""none""#),
    ] {
        assert_eq!(serde_json::to_string(&policy).unwrap(), text);
        assert_eq!(serde_json::from_str::<RetryPolicy>(text).unwrap(), policy);
    }
    let error = serde_json::from_str::<RetryPolicy>(r#"{"linear":{"step":9,"longest":8}}"#);
    assert_eq!(error.unwrap_err().to_string(), "retry_policy.longest is shorter than 9ms");
    let config = serde_json::from_str::<ManagerConfig>(r#"{"retry_policy":{"fixed":{"pause":7}}}"#);
    assert_eq!(config.unwrap().retry_policy, RetryPolicy::fixed(millis(7)).unwrap());
}
