//! Cancelling: whatever is dropped, and wherever, nothing stays behind.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{ErrorKind, LockManager, Operation, Ttl};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};
use tokio::time::sleep;

/// Polls a future this many times at the most, with everybody else running in between; `true` when
/// it was still pending.
async fn poll_times<T>(future: &mut Pin<Box<dyn Future<Output = T> + Send>>, times: usize) -> bool {
    for _ in 0..times {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await.is_ready() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

/// A store whose every answer takes a while before and after the command happens.
fn slow(operation: Operation, fault: Fault) -> Faulty<MemoryBackend> {
    let store = faulty();
    store.inject(operation, fault);
    store
}

async fn assert_free(manager: &LockManager) {
    settle().await;
    let inspection = manager.inspect("key").await.unwrap().value;
    assert_eq!((inspection.holders, inspection.waiting), (0, 0), "{inspection:?}");
}

const FAULTS: [Fault; 4] = [
    Fault::Delayed(Duration::from_millis(1)),
    Fault::AnswerDelayed(Duration::from_millis(1)),
    Fault::AnswerHangs,
    Fault::Hangs,
];

#[tokio::test(start_paused = true)]
async fn acquire_dropped_at_any_point_leaves_nothing_behind() {
    for fault in FAULTS {
        for times in 1..4 {
            let store = slow(Operation::Acquire, fault);
            let alice = manager(&store, "alice");
            let mut acquire = alice.acquire("key").ttl(Ttl::Never).into_future();
            poll_times(&mut acquire, times).await;
            drop(acquire);
            store.heal();
            sleep(Duration::from_secs(1)).await;
            assert_free(&alice).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_acquire_dropped_at_any_point_leaves_the_queue() {
    for operation in [Operation::Acquire, Operation::Hear, Operation::Listen] {
        for fault in FAULTS {
            for times in 1..6 {
                let store = faulty();
                let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
                let held = alice.acquire("key").await.unwrap();
                store.inject(operation, fault);
                let mut acquire = bob.acquire("key").into_future();
                poll_times(&mut acquire, times).await;
                drop(acquire);
                store.heal();
                sleep(Duration::from_secs(1)).await;
                assert_eq!(
                    alice.inspect("key").await.unwrap().value.waiting,
                    0,
                    "{operation} {fault:?}"
                );
                held.release().await.unwrap();
                assert_free(&alice).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn acquire_dropped_after_its_grant_gives_the_key_back() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let mut acquire = bob.acquire("key").ttl(Ttl::Never).into_future();
    assert!(poll_times(&mut acquire, 2).await);
    held.release().await.unwrap();
    assert_eq!(alice.inspect("key").await.unwrap().value.leases[0].owner.as_str(), "bob");
    drop(acquire);
    assert_free(&alice).await;
}

#[tokio::test(start_paused = true)]
async fn release_dropped_at_any_point_gives_the_key_back() {
    for fault in FAULTS {
        for times in 1..4 {
            let store = faulty();
            let alice = manager(&store, "alice");
            let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
            store.inject(Operation::Release, fault);
            let mut release: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(guard.release());
            poll_times(&mut release, times).await;
            drop(release);
            store.heal();
            // The drop itself may have met the fault: then the release is repeated after the
            // time-out.
            sleep(Duration::from_secs(6)).await;
            assert_free(&alice).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attempt_dropped_at_any_point_leaves_nothing_behind() {
    for fault in FAULTS {
        let store = slow(Operation::Acquire, fault);
        let alice = manager(&store, "alice");
        let mut attempt = alice.try_acquire("key").ttl(Ttl::Never).into_future();
        poll_times(&mut attempt, 1).await;
        drop(attempt);
        store.heal();
        sleep(Duration::from_secs(1)).await;
        assert_free(&alice).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lost_answer_is_reported_as_unknown_and_cleaned_up() {
    for fault in [Fault::AnswerLost, Fault::AnswerHangs] {
        let store = slow(Operation::Acquire, fault);
        let alice = manager(&store, "alice");
        let acquire = alice.acquire("key").ttl(Ttl::Never).wait(Duration::from_secs(1));
        let error = acquire.await.unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, true), "{fault:?}");
        assert_free(&alice).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_command_leaves_nothing_to_cancel() {
    let store = slow(Operation::Acquire, Fault::Refused);
    let alice = manager(&store, "alice");
    let error = alice.acquire("key").wait(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
    settle().await;
    assert_eq!(store.commands(Operation::Cancel), 0);
}

#[tokio::test(start_paused = true)]
async fn place_in_the_queue_outlives_a_short_failure_of_the_store() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let first = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    let second = tokio::spawn(alice.acquire("key").into_future());
    waiting(&alice, "key", 2).await;
    for fault in [Fault::Refused, Fault::AnswerLost] {
        store.inject(Operation::Acquire, fault);
        store.inject(Operation::Hear, fault);
        sleep(Duration::from_secs(5)).await;
        store.heal();
        sleep(Duration::from_secs(5)).await;
    }
    held.release().await.unwrap();
    let guard = first.await.unwrap().unwrap();
    settle().await;
    assert!(!second.is_finished());
    guard.release().await.unwrap();
    drop(second.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn wait_outlasts_an_outage_that_costs_it_the_place() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let waiter = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    store.inject(Operation::Hear, Fault::Refused);
    waiting_after(&alice, Duration::from_secs(60), 0).await;
    store.heal();
    waiting_after(&alice, Duration::from_secs(2), 1).await;
    held.release().await.unwrap();
    drop(waiter.await.unwrap().unwrap());
}

/// Asserts how many requests wait when this time has passed.
async fn waiting_after(manager: &LockManager, span: Duration, count: u64) {
    sleep(span).await;
    assert_eq!(manager.inspect("key").await.unwrap().value.waiting, count);
}
