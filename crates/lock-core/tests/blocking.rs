//! The blocking manager: threads without async that take turns.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use lock_core::blocking::{Attempt, LockManager};
use lock_core::{
    ErrorKind, FencingToken, LossReason, ManagerConfig, Operation, OwnerId, RequestId, SessionId,
    TransferTo, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};

/// Long enough for any machine; the tests wait for states.
const LONG: Duration = Duration::from_secs(60);

fn manager(store: &MemoryBackend, owner: &str) -> LockManager {
    LockManager::new(store.clone(), OwnerId::parse(owner).unwrap()).unwrap()
}

#[test]
fn threads_take_turns() {
    for threads in [1, 2, 3, 8] {
        let store = MemoryBackend::new();
        let shared = manager(&store, "shared");
        let (inside, turns) = (AtomicU64::new(0), AtomicU64::new(0));
        let last = std::sync::Mutex::new(FencingToken::new(1).unwrap());
        thread::scope(|scope| {
            for number in 0..threads {
                let own = if number % 2 == 0 { shared.clone() } else { manager(&store, "own") };
                let (inside, turns, last) = (&inside, &turns, &last);
                scope.spawn(move || {
                    for _ in 0..50 {
                        own.acquire("key")
                            .wait(LONG)
                            .hold(|guard| {
                                assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                                let mut last = last.lock().unwrap();
                                assert!(guard.token() > *last, "tokens increase");
                                *last = guard.token();
                                turns.fetch_add(1, Ordering::SeqCst);
                                assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1);
                            })
                            .unwrap();
                    }
                });
            }
        });
        assert_eq!(turns.load(Ordering::SeqCst), 50 * threads);
        assert_eq!(shared.inspect("key").unwrap().value.holders, 0);
    }
}

#[test]
fn reader_upgrades_shares_and_is_asked_to_release() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let session = SessionId::random();
    let ask = || alice.acquire("key").session(session).shared().reentrant().send().unwrap();
    let (reading, again) = (ask(), ask());
    assert_eq!(again.token(), reading.token());
    again.release().unwrap();
    let other = bob.acquire("key").shared().send().unwrap();
    let failed = reading.upgrade(Some(Duration::from_millis(50))).unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::WaitOver);
    drop(other);
    let writing = failed.guard.upgrade(None).unwrap();
    assert_eq!(writing.release_requested(), None);
    thread::scope(|scope| {
        let asking = scope.spawn(|| bob.request_release("key", LONG, "why").unwrap());
        let wanted = writing.wanted_within(LONG).unwrap().unwrap();
        assert_eq!(wanted.by, *bob.owner());
        writing.release().unwrap();
        assert!(asking.join().unwrap());
    });
}

#[test]
fn calls_inside_a_runtime_fail_and_change_nothing() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (guard, released) = (alice.acquire("key").send().unwrap(), bob.acquire("other").send());
    let released = released.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let guard = runtime.block_on(async {
        let error = alice.acquire("free").send().unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unsupported, false));
        assert!(format!("{error:?}").contains("inside an async runtime"), "{error:?}");
        assert_eq!(guard.renew_now().unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(guard.lost_within(LONG).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(alice.shutdown().unwrap_err().kind(), ErrorKind::Unsupported);
        let owner = OwnerId::parse("carol").unwrap();
        let error = LockManager::new(MemoryBackend::new(), owner).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(released.release().unwrap_err().kind(), ErrorKind::Unsupported);
        let failed = guard.into_lease().unwrap_err();
        assert_eq!(failed.error.kind(), ErrorKind::Unsupported);
        failed.guard
    });
    assert!(!guard.is_lost());
    assert_eq!(alice.inspect("free").unwrap().value.holders, 0);
    drop(bob.acquire("other").wait(LONG).send().unwrap());
    guard.release().unwrap();
}

#[test]
fn guards_outlive_their_manager_and_are_released() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let ttl = Duration::from_millis(300);
    let guard = alice.acquire("key").ttl(ttl).send().unwrap();
    drop(alice);
    assert_eq!(guard.lost_within(ttl * 3).unwrap(), None, "it is renewed without the manager");
    guard.renew_now().unwrap();
    let forever = bob.acquire("forever").ttl(Ttl::Never).send().unwrap();
    drop(bob);
    drop(forever);
    drop(guard);
    let carol = manager(&store, "carol");
    drop(carol.acquire("key").wait(LONG).send().unwrap());
    drop(carol.acquire("forever").wait(LONG).send().unwrap());
}

#[test]
fn thread_of_a_manager_ends_after_its_releases() {
    let store = Faulty::new(MemoryBackend::new());
    let alice = LockManager::new(store.clone(), OwnerId::parse("alice").unwrap()).unwrap();
    let guard = alice.acquire("key").ttl(Ttl::Never).send().unwrap();
    store.inject(Operation::Release, Fault::Delayed(Duration::from_millis(30)));
    drop(alice);
    drop(guard);
    let bob = LockManager::new(store, OwnerId::parse("bob").unwrap()).unwrap();
    drop(bob.acquire("key").wait(Duration::from_secs(10)).send().unwrap());
}

#[test]
fn panicking_holder_releases() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        alice.acquire("key").ttl(Ttl::Never).hold(|_| panic!("of the test"))
    }));
    assert!(panicked.is_err());
    let held = thread::spawn({
        let alice = alice.clone();
        move || {
            let _guard = alice.acquire("key").ttl(Ttl::Never).wait(LONG).send().unwrap();
            panic!("of the test");
        }
    });
    assert!(held.join().is_err());
    bob.acquire("key").wait(LONG).send().unwrap().release().unwrap();
}

#[test]
fn loss_is_seen_by_the_holder_and_by_hold() {
    let store = MemoryBackend::new();
    let (alice, operator) = (manager(&store, "alice"), manager(&store, "operator"));
    let guard = alice.acquire("key").send().unwrap();
    assert_eq!(guard.lost_within(Duration::ZERO).unwrap(), None);
    assert_eq!(operator.evict_all("key", "maintenance").unwrap().len(), 1);
    let reason = guard.lost_within(LONG).unwrap();
    assert!(matches!(reason, Some(LossReason::Ended(_))), "{reason:?}");
    assert!(guard.is_lost());
    assert_eq!(guard.release().unwrap_err().kind(), ErrorKind::NotHeld);
    let error = alice.hold("key", |guard| {
        operator.evict_all("key", "maintenance").unwrap();
        guard.lost_within(LONG).unwrap()
    });
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.loss().is_some());
}

#[test]
fn waits_attempts_and_transfers_are_those_of_the_manager() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").send().unwrap();
    let error = bob.acquire("key").wait(Duration::from_millis(5)).send().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitOver);
    assert!(matches!(bob.try_acquire("key").send().unwrap(), Attempt::Held(_)));
    let failed = guard.transfer(TransferTo::Waiter(RequestId::random())).unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Refused);
    let lease = failed.guard.into_lease().unwrap();
    bob.adopt(&lease).unwrap().release().unwrap();
    assert_eq!(bob.acquire("").send().unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn shutdown_reports_what_is_left() {
    let store = MemoryBackend::new();
    let config = ManagerConfig::default().with_shutdown_timeout(Duration::from_millis(50)).unwrap();
    let owner = OwnerId::parse("alice").unwrap();
    let alice = LockManager::connect(owner, config, async || Ok(store.clone())).unwrap();
    let guard = alice.acquire("key").send().unwrap();
    drop(alice.acquire("dropped").send().unwrap());
    let report = alice.shutdown().unwrap();
    assert_eq!((report.in_use, report.unreleased), (1, 0));
    assert!(guard.is_lost());
    assert_eq!(alice.acquire("key").send().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(alice.inspect("dropped").unwrap().value.holders, 0);
}

#[test]
fn threads_of_a_manager_wait_at_the_same_time() {
    let store = MemoryBackend::new();
    let (alice, operator) = (manager(&store, "alice"), manager(&store, "operator"));
    let held = operator.acquire("key").send().unwrap();
    let got = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (alice, got) = (alice.clone(), Arc::clone(&got));
            thread::spawn(move || {
                alice.acquire("key").wait(LONG).send().unwrap().release().unwrap();
                got.fetch_add(1, Ordering::SeqCst);
            })
        })
        .collect();
    while operator.inspect("key").unwrap().value.waiting != 4 {
        thread::yield_now();
    }
    assert_eq!(got.load(Ordering::SeqCst), 0);
    held.release().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(got.load(Ordering::SeqCst), 4);
}
