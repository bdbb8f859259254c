//! Upgrades of shared leases, guards that share a lease, and requests to release.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    Error, ErrorKind, GuardError, LockGuard, LockManager, LossReason, Mode, Operation, Priority,
    RequestId, Result, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, NoticeFault};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

async fn reader(manager: &LockManager) -> LockGuard {
    manager.acquire("key").shared().await.unwrap()
}

/// Upgrades, and returns when the request waits.
async fn upgrading(
    guard: LockGuard,
    manager: &LockManager,
    number: u64,
) -> JoinHandle<Result<LockGuard, GuardError>> {
    let upgrade = tokio::spawn(guard.upgrade().into_future());
    waiting(manager, "key", number).await;
    upgrade
}

async fn holders(manager: &LockManager) -> (u64, u64) {
    settle().await;
    let seen = manager.inspect("key").await.unwrap().value;
    (seen.holders, seen.waiting)
}

#[tokio::test(start_paused = true)]
async fn only_reader_upgrades_at_once() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let shared = alice.acquire("key").shared().ttl(Ttl::Never).await.unwrap();
    let (token, start) = (shared.token(), Instant::now());
    let guard = shared.upgrade().await.unwrap();
    assert_eq!(guard.lease().mode, Mode::Exclusive);
    assert_eq!(guard.lease().ttl, Ttl::Never);
    assert!(guard.token() > token);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(holders(&alice).await, (1, 0));
    guard.release().await.unwrap();
    assert_eq!(holders(&alice).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn upgrade_waits_for_the_other_readers_before_all_others() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, second) = (reader(&alice).await, reader(&bob).await);
    let carol = manager(&store, "carol");
    let writer = tokio::spawn(carol.acquire("key").priority(Priority::Critical).into_future());
    waiting(&alice, "key", 1).await;
    let upgrade = upgrading(first, &alice, 2).await;
    // Longer than any ttl here: the shared lease is renewed meanwhile.
    sleep(SECOND * 300).await;
    assert_eq!(holders(&alice).await, (2, 2));
    second.release().await.unwrap();
    let guard = upgrade.await.unwrap().unwrap();
    assert_eq!(guard.lease().owner, *alice.owner());
    assert_eq!(holders(&alice).await, (1, 1));
    guard.release().await.unwrap();
    assert_eq!(writer.await.unwrap().unwrap().lease().owner, *carol.owner());
}

#[tokio::test(start_paused = true)]
async fn second_upgrade_is_told_of_the_deadlock_at_once_and_lets_the_first_go_on() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, second) = (reader(&alice).await, reader(&bob).await);
    let upgrade = upgrading(first, &alice, 1).await;
    let start = Instant::now();
    let GuardError { guard, error } = second.upgrade().await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Deadlock, Duration::ZERO));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    insta::assert_snapshot!(cause, @"another holder waits to upgrade its lease as well, and neither would give way");
    assert!(!guard.is_lost() && !error.is_unknown() && !error.is_retryable());
    guard.release().await.unwrap();
    assert!(upgrade.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn failed_upgrade_returns_the_shared_guard() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, second) = (reader(&alice).await, reader(&bob).await);
    let GuardError { guard, error } = first.upgrade().wait(SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitOver);
    let GuardError { guard, error } = guard.upgrade().wait(Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitOver);
    assert_eq!(holders(&alice).await, (2, 0));
    drop(second);
    settle().await;
    assert!(guard.upgrade().wait(Duration::ZERO).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn upgrade_of_an_evicted_lease_gives_its_place_up() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, _second) = (reader(&alice).await, reader(&bob).await);
    let lease = first.lease().clone();
    let upgrade = upgrading(first, &alice, 1).await;
    assert!(bob.evict(&lease, "stuck").await.unwrap());
    let GuardError { guard, error } = upgrade.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld);
    assert!(matches!(error.loss(), Some(LossReason::Ended(_))), "{error:?}");
    assert!(guard.is_lost());
    assert_eq!(holders(&bob).await, (1, 0));
    let error = guard.upgrade().await.unwrap_err().error;
    assert!(matches!(error.kind(), ErrorKind::Ended | ErrorKind::NotHeld), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn upgrade_that_is_in_a_ring_of_sessions_is_a_deadlock() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, second) = (alice.session(), bob.session());
    let reading = first.acquire("key").shared().await.unwrap();
    let _reading = second.acquire("key").shared().await.unwrap();
    let other = first.acquire("other").await.unwrap();
    let waits = tokio::spawn(second.acquire("other").into_future());
    waiting(&alice, "other", 1).await;
    // Alice waits for bob's shared lease, and bob for alice's other key.
    let upgrade = timeout(SECOND * 60, reading.upgrade().into_future());
    let (upgraded, waited) = tokio::join!(upgrade, timeout(SECOND * 60, waits));
    let victims: Vec<Error> = [
        upgraded.ok().and_then(|it| it.err().map(Error::from)),
        waited.ok().and_then(|it| it.unwrap().err()),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(victims.len(), 1, "{victims:?}");
    assert_eq!(victims[0].kind(), ErrorKind::Deadlock);
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn guards_of_a_session_share_a_lease_until_the_last_is_released() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let session = alice.session();
    let outer = session.acquire("key").reentrant().await.unwrap();
    let inner = session.acquire("key").reentrant().await.unwrap();
    let reading = session.acquire("key").shared().reentrant().await.unwrap();
    assert_eq!([inner.token(), reading.token()], [outer.token(); 2]);
    assert_eq!(holders(&bob).await, (1, 0));
    outer.release().await.unwrap();
    drop(reading);
    assert_eq!(holders(&bob).await, (1, 0));
    let token = inner.token();
    inner.release().await.unwrap();
    assert_eq!(holders(&bob).await, (0, 0));
    let next = session.acquire("key").reentrant().await.unwrap();
    assert!(next.token() > token);
}

#[tokio::test(start_paused = true)]
async fn reentrant_requests_of_one_session_wait_for_one_another() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = bob.acquire("key").await.unwrap();
    let session = alice.session();
    let ask = || tokio::spawn(session.acquire("key").reentrant().into_future());
    let asked = [ask(), ask(), ask()];
    waiting(&bob, "key", 1).await;
    assert_eq!(holders(&bob).await, (1, 1));
    let late = session.acquire("key").reentrant().wait(SECOND).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::WaitOver);
    held.release().await.unwrap();
    let mut tokens = Vec::new();
    let mut guards = Vec::new();
    for guard in asked {
        let guard = guard.await.unwrap().unwrap();
        tokens.push(guard.token());
        guards.push(guard);
    }
    assert!(tokens.iter().all(|token| *token == tokens[0]), "{tokens:?}");
    drop(guards);
    assert_eq!(holders(&bob).await, (0, 0));
}

#[tokio::test(start_paused = true)]
async fn reentrant_request_that_is_dropped_leaves_nothing() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = bob.acquire("key").await.unwrap();
    let session = alice.session();
    let dropped = timeout(SECOND, session.acquire("key").reentrant().into_future()).await;
    assert!(dropped.is_err());
    assert_eq!(holders(&bob).await, (1, 0));
    held.release().await.unwrap();
    assert!(session.acquire("key").reentrant().wait(SECOND).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn other_sessions_and_other_modes_share_nothing() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let (first, second) = (alice.session(), alice.session());
    let reading = first.acquire("key").shared().reentrant().await.unwrap();
    let again = first.acquire("key").shared().reentrant().await.unwrap();
    assert_eq!(again.token(), reading.token());
    let other = second.acquire("key").shared().reentrant().await.unwrap();
    assert_ne!(other.token(), reading.token());
    // A session that waits for what it holds itself is told so.
    let error = first.acquire("key").reentrant().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
}

#[tokio::test(start_paused = true)]
async fn shared_guard_is_neither_upgraded_nor_handed_over() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let session = alice.session();
    let reading = session.acquire("key").shared().reentrant().await.unwrap();
    let again = session.acquire("key").shared().reentrant().await.unwrap();
    let GuardError { guard, error } = again.upgrade().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let GuardError { guard, error } = guard.into_lease().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    drop(guard);
    let guard = reading.upgrade().await.unwrap();
    let lease = guard.into_lease().await.unwrap();
    assert_eq!(holders(&alice).await, (1, 0));
    assert!(alice.release_lease(&lease).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn lost_lease_is_shared_no_longer() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let session = alice.session();
    let outer = session.acquire("key").reentrant().await.unwrap();
    let inner = session.acquire("key").reentrant().await.unwrap();
    assert!(bob.evict(outer.lease(), "stuck").await.unwrap());
    settle().await;
    assert!(outer.is_lost() && inner.is_lost());
    let next = session.acquire("key").reentrant().await.unwrap();
    assert!(next.token() > outer.token());
    assert_eq!(outer.release().await.unwrap_err().kind(), ErrorKind::NotHeld);
    drop(inner);
    assert_eq!(holders(&bob).await, (1, 0));
    assert!(!next.is_lost());
}

#[tokio::test(start_paused = true)]
async fn holder_learns_who_asks_for_its_key_and_why() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    let start = Instant::now();
    let asking = tokio::spawn({
        let bob = bob.clone();
        async move { bob.request_release("key", SECOND * 60, "deploy of 3.2").await }
    });
    let wanted = guard.wanted().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!((&wanted.by, wanted.until), (bob.owner(), Some(start + SECOND * 60)));
    assert_eq!(wanted.reason.unwrap().as_str(), "deploy of 3.2");
    assert!(!guard.is_lost());
    guard.release().await.unwrap();
    assert!(asking.await.unwrap().unwrap());
    assert!(start.elapsed() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn request_to_release_ends_with_its_time_and_spares_later_holders() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    let start = Instant::now();
    assert!(!bob.request_release("key", SECOND * 5, "maintenance").await.unwrap());
    assert_eq!(start.elapsed(), SECOND * 5);
    assert!(!guard.is_lost());
    let next = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    let carol = manager(&store, "carol");
    let asking =
        tokio::spawn(async move { carol.request_release("key", SECOND * 60, "again").await });
    let wanted = guard.wanted().await;
    assert_eq!(wanted.reason.unwrap().as_str(), "again");
    guard.release().await.unwrap();
    let next = next.await.unwrap().unwrap();
    assert!(timeout(SECOND * 30, next.wanted()).await.is_err());
    assert!(asking.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn request_to_release_a_free_key_is_done() {
    let alice = manager(&MemoryBackend::new(), "alice");
    assert!(alice.request_release("key", SECOND, "maintenance").await.unwrap());
    let error = alice.request_release("key", Duration::ZERO, "maintenance").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("within"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn lost_request_to_release_is_repeated() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    store.inject_notices(NoticeFault::Lost);
    let asking = tokio::spawn(async move { bob.request_release("key", SECOND * 60, "why").await });
    assert!(timeout(SECOND * 3, guard.wanted()).await.is_err());
    store.heal();
    assert!(timeout(SECOND * 2, guard.wanted()).await.is_ok());
    drop(guard);
    assert!(asking.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn request_to_release_outlasts_an_outage() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject(Operation::RequestRelease, Fault::Refused);
    let error = bob.request_release("key", SECOND * 3, "why").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let asking = tokio::spawn(async move { bob.request_release("key", SECOND * 60, "why").await });
    sleep(SECOND * 3).await;
    store.heal();
    drop(guard.wanted().await);
    drop(guard);
    assert!(asking.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn holder_learns_of_a_request_of_higher_priority_and_of_no_other() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").priority(Priority::High).await.unwrap();
    let ask = |priority| tokio::spawn(bob.acquire("key").priority(priority).into_future());
    let high = ask(Priority::High);
    waiting(&alice, "key", 1).await;
    assert!(timeout(SECOND * 60, guard.wanted()).await.is_err());
    let critical = ask(Priority::Critical);
    waiting(&alice, "key", 2).await;
    let wanted = timeout(SECOND * 10, guard.wanted()).await.unwrap();
    assert_eq!((&wanted.by, wanted.reason, wanted.until), (bob.owner(), None, None));
    drop(guard);
    drop(critical.await.unwrap().unwrap());
    drop(high.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn upgrade_keeps_its_identity() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let request = RequestId::random();
    let guard = reader(&alice).await.upgrade().request(request).await.unwrap();
    assert_eq!(guard.lease().request, request);
}
