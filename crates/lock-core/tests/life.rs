//! The lifetimes of a manager: runtimes, shutdown, and work that fails.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    ErrorKind, LockGuard, LockManager, LossReason, ManagerConfig, Operation, OwnerId, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::Fault;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

/// Returns the numbers of holders and waiters.
async fn counts(manager: &LockManager) -> (u64, u64) {
    let seen = manager.inspect("key").await.unwrap().value;
    (seen.holders, seen.waiting)
}

#[tokio::test(start_paused = true)]
async fn held_work_is_done_under_the_lease_and_the_key_is_free_afterwards() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let token = alice
        .hold("key", async |guard| {
            assert!(bob.try_acquire("key").await.unwrap().guard().is_none());
            guard.token()
        })
        .await
        .unwrap();
    assert!(token.get() > 0);
    assert_eq!(counts(&bob).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn held_work_may_be_spawned_and_set_up_further() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let work = tokio::spawn(async move {
        let text = String::from("done");
        alice.acquire("key").shared().wait(TTL).hold(async |_| text.clone()).await
    });
    assert_eq!(work.await.unwrap().unwrap(), "done");
}

#[tokio::test(start_paused = true)]
async fn failed_work_releases_before_its_error_is_seen() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let failed: Result<(), &str> = alice.hold("key", async |_| Err("no")).await.unwrap();
    assert_eq!(failed, Err("no"));
    assert_eq!(store.commands(Operation::Release), 1);
    assert_eq!(counts(&alice).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_releases() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let work = tokio::spawn({
        let alice = alice.clone();
        async move { alice.hold("key", async |_| panic!("on purpose")).await }
    });
    assert!(work.await.unwrap_err().is_panic());
    assert_eq!(counts(&alice).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn work_whose_lease_is_lost_is_dropped_with_the_reason() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let work = tokio::spawn(async move {
        alice.hold("key", async |_| std::future::pending::<()>().await).await
    });
    while counts(&bob).await.0 == 0 {
        tokio::task::yield_now().await;
    }
    settle().await;
    assert_eq!(bob.evict_all("key", "stuck").await.unwrap().len(), 1);
    let error = work.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(matches!(error.loss(), Some(LossReason::Ended(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn work_whose_lease_was_over_at_the_end_is_lost() {
    let store = faulty();
    let alice = manager(&store, "alice");
    store.inject(Operation::Listen, Fault::Refused);
    let bob = manager(&store, "bob");
    let lost = alice
        .hold("key", async |guard| assert!(bob.evict(guard.lease(), "stuck").await.unwrap()))
        .await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test(start_paused = true)]
async fn unanswered_release_does_not_undo_the_work() {
    let store = faulty();
    let alice = manager(&store, "alice");
    store.inject(Operation::Release, Fault::Refused);
    assert_eq!(alice.hold("key", async |_| 7).await.unwrap(), 7);
    store.heal();
    assert_eq!(alice.shutdown().await.unreleased, 0);
    assert_eq!(counts(&alice).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_guard_and_shutdown_leave_nothing() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject(Operation::Release, Fault::AnswerDelayed(Duration::from_millis(50)));
    drop(guard);
    let report = alice.shutdown().await;
    assert_eq!((report.in_use, report.unreleased), (0, 0));
    assert_eq!(counts(&alice).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shutdown_does_not_wait_for_guards_that_are_lost() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(Duration::from_secs(1)).await.unwrap();
    store.inject(Operation::Renew, Fault::Hangs);
    assert_eq!(guard.lost().await, LossReason::Overdue);
    let start = Instant::now();
    assert_eq!(alice.shutdown().await.in_use, 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_a_guard_until_it_is_lost() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(Duration::from_secs(2)).await.unwrap();
    let lost = alice.acquire("lost").await.unwrap();
    store.inject(Operation::Renew, Fault::Refused);
    let start = Instant::now();
    let closing = tokio::spawn(async move { alice.shutdown().await });
    settle().await;
    drop(lost);
    guard.lost().await;
    settle().await;
    assert!(closing.is_finished());
    assert_eq!(closing.await.unwrap().in_use, 0);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_in_its_time_and_reports_what_is_left() {
    let store = faulty();
    let config = ManagerConfig::default().with_shutdown_timeout(Duration::from_secs(7)).unwrap();
    let alice = LockManager::with_config(store.clone(), OwnerId::parse("alice").unwrap(), config);
    let used = alice.acquire("used").await.unwrap();
    let dropped = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject(Operation::Release, Fault::Hangs);
    drop(dropped);
    let start = Instant::now();
    let report = alice.shutdown().await;
    assert_eq!((report.in_use, report.unreleased), (1, 1));
    assert_eq!(start.elapsed(), Duration::from_secs(7));
    assert_eq!(used.lost().await, LossReason::ShutDown);
}

#[tokio::test(start_paused = true)]
async fn shutdown_is_not_held_up_by_a_waiter_whose_store_hangs() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let waiter = tokio::spawn(bob.acquire("key").keep_alive(HOUR * 24).into_future());
    waiting(&alice, "key", 1).await;
    store.inject(Operation::Hear, Fault::Hangs);
    sleep(HOUR).await;
    timeout(Duration::from_secs(1), bob.shutdown()).await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(counts(&alice).await, (1, 0));
}

const HOUR: Duration = Duration::from_secs(3600);

/// Acquires in a runtime that ends then, and waits in the `home` of the manager until it renewed.
fn renewed_at_home(alice: &LockManager, home: &Runtime) -> LockGuard {
    let acquire = alice.acquire("key").ttl(Duration::from_secs(3));
    // Of one clock with the home: time that is paused would run ahead of it.
    let other = Builder::new_current_thread().enable_all().build().unwrap();
    let guard = other.block_on(acquire.into_future()).unwrap();
    drop(other);
    let first = guard.deadline();
    home.block_on(async {
        while guard.deadline() == first && !guard.is_lost() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(!guard.is_lost());
    guard
}

#[test]
fn manager_works_in_the_runtime_it_was_made_in() {
    let store = MemoryBackend::new();
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let alice = home.block_on(async { manager(&store, "alice") });
    let guard = renewed_at_home(&alice, &home);
    home.block_on(async {
        drop(guard);
        assert_eq!(alice.shutdown().await.unreleased, 0);
    });
}

#[test]
fn named_runtime_is_the_home() {
    let store = MemoryBackend::new();
    let home = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let alice = manager(&store, "alice").with_runtime(home.handle().clone());
    // Dropped outside of any runtime.
    drop(renewed_at_home(&alice, &home));
    assert_eq!(home.block_on(alice.shutdown()).unreleased, 0);
}

#[test]
fn calls_say_that_the_runtime_is_gone() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let (guard, waiter, other) = runtime().block_on(async {
        let guard = alice.acquire("key").ttl(TTL).await.unwrap();
        let other = alice.acquire("other").ttl(Ttl::Never).await.unwrap();
        (guard, alice.acquire("key").into_future(), other)
    });
    runtime().block_on(async {
        let error = waiter.await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShutDown);
        insta::assert_debug_snapshot!(error, @"acquire `key`: the manager was shut down: the runtime of the manager's tasks is gone");
        let start = Instant::now();
        assert_eq!(guard.lost().await, LossReason::Overdue);
        assert!(start.elapsed() <= TTL);
        drop(other);
        let start = Instant::now();
        let report = alice.shutdown().await;
        assert_eq!((report.in_use, report.unreleased), (0, 1));
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

#[test]
fn drops_while_a_runtime_ends_are_counted() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let home = runtime();
    home.block_on(async {
        let guard = alice.acquire("key").ttl(TTL).await.unwrap();
        tokio::spawn(async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let dropped = alice.acquire("other").ttl(TTL).await.unwrap();
        store.inject(Operation::Release, Fault::Hangs);
        drop(dropped);
        settle().await;
    });
    drop(home);
    let report = runtime().block_on(alice.shutdown());
    assert_eq!((report.in_use, report.unreleased), (0, 2));
}

#[test]
fn shutdown_ends_when_the_runtime_is_not_driven() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let home = runtime();
    let guard = home.block_on(async { alice.acquire("key").ttl(TTL).await.unwrap() });
    runtime().block_on(async {
        drop(guard);
        let start = Instant::now();
        let report = alice.shutdown().await;
        assert_eq!((report.in_use, report.unreleased), (0, 1));
        assert!(start.elapsed() <= TTL, "{:?}", start.elapsed());
    });
    drop(home);
}

#[test]
fn waiter_fails_when_the_runtime_is_not_driven() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let home = runtime();
    home.block_on(async { drop(alice.acquire("other").await.unwrap()) });
    runtime().block_on(async {
        let _held = bob.acquire("key").ttl(Ttl::Never).await.unwrap();
        let start = Instant::now();
        let error = alice.acquire("key").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ShutDown);
        assert!(start.elapsed() <= TTL, "{:?}", start.elapsed());
        insta::assert_debug_snapshot!(std::error::Error::source(&error).unwrap().to_string(), @r#""the runtime of the manager's tasks is not driven""#);
    });
    drop(home);
}

#[test]
fn runtime_without_a_timer_is_named() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let error = Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async { alice.acquire("key").await.unwrap_err() });
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unsupported, false));
    insta::assert_debug_snapshot!(error, @"acquire `key`: this is not supported: the runtime has no timer: build it with `enable_time`");
}

#[test]
fn use_outside_of_a_runtime_is_an_error() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let acquire = alice.acquire("key").into_future();
    let mut acquire = std::pin::pin!(acquire);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = acquire.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unsupported, false));
}
