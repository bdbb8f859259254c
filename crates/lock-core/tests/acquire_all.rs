//! Several keys, all or none.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::collections::BTreeSet;
use std::future::{Future, IntoFuture, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use common::{manager, waiting};
use lock_core::{
    ErrorKind, LockGuard, LockKey, LockManager, LossReason, Mode, Operation, Result, Violation,
};
use lock_memory::MemoryBackend;
use lock_testkit::Fault;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

fn key(name: &str) -> LockKey {
    LockKey::parse(name).unwrap()
}

/// No key is held or waited for.
async fn all_are_free(manager: &LockManager, keys: impl IntoIterator<Item = String>) {
    for key in keys {
        let seen = manager.inspect(key.as_str()).await.unwrap().value;
        assert_eq!((seen.holders, seen.waiting), (0, 0), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_keys_are_held_each_in_its_mode() {
    let store = MemoryBackend::new();
    let manager = manager(&store, "alice");
    let requests = [manager.acquire("b").shared(), manager.acquire("a"), manager.acquire("c")];
    let set = manager.acquire_all(requests).await.unwrap();
    let keys: Vec<_> = set.guards().iter().map(|guard| guard.key().as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert_eq!(set.guard(&key("b")).unwrap().lease().mode, Mode::READER);
    assert!(set.deadline().unwrap() > Instant::now());
    let sessions: BTreeSet<_> = set.guards().iter().map(|guard| guard.lease().session).collect();
    assert_eq!(sessions.len(), 1);
    set.release().await.unwrap();
    all_are_free(&manager, ["a", "b", "c"].map(str::to_owned)).await;
    manager.acquire_all([]).await.unwrap().release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_while_a_key_is_missing() {
    let store = MemoryBackend::new();
    let [alice, bob] = ["alice", "bob"].map(|owner| manager(&store, owner));
    let held = bob.acquire("b").await.unwrap();
    let keys = ["a", "b", "c"].map(|key| alice.acquire(key));
    let acquiring = tokio::spawn(alice.acquire_all(keys).into_future());
    waiting(&bob, "b", 1).await;
    for key in ["a", "c"] {
        bob.try_acquire(key).await.unwrap().guard().expect("it is free").release().await.unwrap();
    }
    held.release().await.unwrap();
    assert_eq!(acquiring.await.unwrap().unwrap().guards().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn wait_over_names_the_key_that_is_missing() {
    let store = MemoryBackend::new();
    let [alice, bob] = ["alice", "bob"].map(|owner| manager(&store, owner));
    let _held = bob.acquire("b").await.unwrap();
    for wait in [Duration::ZERO, Duration::from_secs(5)] {
        let keys = ["a", "b", "c"].map(|key| alice.acquire(key));
        let started = Instant::now();
        let error = alice.acquire_all(keys).wait(wait).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::WaitOver, Some(&key("b"))));
        assert_eq!(error.position().unwrap().value.holder.as_ref().unwrap().owner.as_str(), "bob");
        assert_eq!(started.elapsed(), wait);
        all_are_free(&alice, ["a", "c"].map(str::to_owned)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bad_sets_are_refused() {
    let store = common::faulty();
    let manager = manager(&store, "alice");
    let twice = manager.acquire_all(["a", "b", "a"].map(|key| manager.acquire(key))).await;
    let error = twice.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::InvalidInput, Some(&key("a"))));
    let violation = error.invalid_input().unwrap().violation().clone();
    assert_eq!(violation, Violation::Malformed { expected: "keys that differ" });
    let empty = manager.acquire_all(["a", ""].map(|key| manager.acquire(key))).await.unwrap_err();
    assert_eq!(empty.invalid_input().unwrap().field(), "key");
    assert_eq!(store.commands(Operation::Acquire), 0);
}

#[tokio::test(start_paused = true)]
async fn loss_of_one_lease_ends_the_work() {
    let store = MemoryBackend::new();
    let [alice, operator] = ["alice", "operator"].map(|owner| manager(&store, owner));
    let keys = ["a", "b"].map(|key| alice.acquire(key));
    let working = alice.acquire_all(keys).hold(async |_| {
        let _ = operator.evict_all("b", "maintenance").await.unwrap();
        std::future::pending::<()>().await;
    });
    let error = working.await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Lost, Some(&key("b"))));
    assert!(matches!(error.loss(), Some(LossReason::Ended(_))), "{error:?}");
    all_are_free(&alice, ["a", "b"].map(str::to_owned)).await;
}

/// A set that waits in a session is in a deadlock like any other request of it.
#[tokio::test(start_paused = true)]
async fn set_of_a_session_can_be_in_a_deadlock() {
    let store = MemoryBackend::new();
    let [alice, bob] = ["alice", "bob"].map(|owner| manager(&store, owner));
    let [first, second] = [alice.session(), bob.session()];
    let (_a, b) = (first.acquire("a").await.unwrap(), second.acquire("b").await.unwrap());
    let waits = tokio::spawn(second.acquire("a").into_future());
    waiting(&alice, "a", 1).await;
    sleep(Duration::from_millis(1)).await;
    let error = first.acquire_all(["b", "c"].map(|key| alice.acquire(key))).await.unwrap_err();
    assert_eq!((error.kind(), error.key()), (ErrorKind::Deadlock, Some(&key("b"))));
    drop((b, waits));
}

/// Dropped at any poll, a set leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn dropped_set_leaves_nothing() {
    for polls in 1.. {
        let store = common::faulty();
        for operation in [Operation::Acquire, Operation::Release] {
            store.inject(operation, Fault::AnswerDelayed(Duration::from_millis(10)));
        }
        let [alice, bob] = ["alice", "bob"].map(|owner| manager(&store, owner));
        let held = bob.acquire("b").await.unwrap();
        let releasing = tokio::spawn(async move {
            sleep(Duration::from_millis(35)).await;
            held.release().await.unwrap();
        });
        let keys = ["a", "b", "c"].map(|key| alice.acquire(key));
        let mut acquiring = Box::pin(alice.acquire_all(keys).into_future());
        let mut left = polls;
        let done = poll_fn(|cx| {
            left -= 1;
            match acquiring.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if left == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        let done = done.await;
        drop(acquiring);
        releasing.await.unwrap();
        let is_done = done.is_some();
        assert!(!is_done || polls > 5, "{polls}");
        drop(done.map(Result::unwrap));
        let report = alice.shutdown().await;
        assert_eq!((report.in_use, report.unreleased), (0, 0), "{polls} polls");
        all_are_free(&bob, ["a", "b", "c"].map(str::to_owned)).await;
        if is_done {
            break;
        }
    }
}

/// 50 tasks over random sets of 10 keys: nobody waits for ever, a set of all keys neither.
#[tokio::test(start_paused = true)]
async fn overlapping_sets_all_get_their_turns() {
    const TURN: Duration = Duration::from_millis(10);
    let store = MemoryBackend::new();
    let turns = Arc::new(AtomicUsize::new(0));
    let names: Vec<_> = (0..10).map(|number| format!("key-{number}")).collect();
    let mut tasks = Vec::new();
    for number in 0..50 {
        let (manager, names) = (manager(&store, &format!("owner-{number}")), names.clone());
        let (turns, mut random) = (Arc::clone(&turns), StdRng::seed_from_u64(number));
        tasks.push(tokio::spawn(async move {
            let mut longest = Duration::ZERO;
            for _ in 0..10 {
                let keys = names.iter().filter(|_| number == 0 || random.random_bool(0.3));
                let started = Instant::now();
                let set = manager.acquire_all(keys.map(|key| manager.acquire(key.as_str())));
                let set = set.await.unwrap();
                longest = longest.max(started.elapsed());
                sleep(TURN).await;
                turns.fetch_add(1, Ordering::SeqCst);
                set.release().await.unwrap();
            }
            longest
        }));
    }
    let mut longest = Vec::new();
    for task in tasks {
        longest.push(task.await.unwrap());
    }
    assert_eq!(turns.load(Ordering::SeqCst), 500);
    // Four rounds, each behind one turn of each other task, and then each key once.
    let bound = TURN * 50 * (4 + 10);
    assert!(longest[0] < bound, "{longest:?}");
    all_are_free(&manager(&store, "nobody"), names).await;
}

#[tokio::test(start_paused = true)]
async fn guards_can_be_taken_apart() {
    let store = MemoryBackend::new();
    let manager = manager(&store, "alice");
    let set = manager.acquire_all(["a", "b"].map(|key| manager.acquire(key))).await.unwrap();
    let released: Vec<Result<()>> = {
        let mut released = Vec::new();
        for guard in set.into_guards() {
            released.push(LockGuard::release(guard).await);
        }
        released
    };
    assert!(released.iter().all(Result::is_ok));
}
