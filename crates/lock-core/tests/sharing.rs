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

/// Checks that a guard that is not lost has its lease in the store.
async fn assert_is_true(guard: &LockGuard, seen_by: &LockManager) {
    let seen = seen_by.inspect("key").await.unwrap().value;
    let is_there = seen.leases.iter().any(|lease| lease.token == guard.token());
    assert!(guard.is_lost() || is_there, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn guard_of_an_upgrade_that_ends_unheard_of_its_grant_knows_of_the_loss() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, second) = (reader(&alice).await, reader(&bob).await);
    let upgrade = tokio::spawn(first.upgrade().wait(SECOND).into_future());
    waiting(&bob, "key", 1).await;
    store.inject_notices(NoticeFault::Lost);
    second.release().await.unwrap();
    let GuardError { guard, error } = upgrade.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WaitOver);
    assert_is_true(&guard, &bob).await;
    let _writer = bob.acquire("key").wait(SECOND).await.unwrap();
    assert!(guard.is_lost());
    assert_eq!(guard.release().await.unwrap_err().kind(), ErrorKind::NotHeld);
}

#[tokio::test(start_paused = true)]
async fn guard_of_an_upgrade_whose_answer_is_lost_knows_of_the_loss() {
    for wait in [Duration::ZERO, SECOND] {
        let store = faulty();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        let first = reader(&alice).await;
        store.inject(Operation::Acquire, Fault::AnswerLost);
        let GuardError { guard, error } = first.upgrade().wait(wait).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        store.heal();
        let _writer = bob.acquire("key").wait(SECOND).await.unwrap();
        assert!(guard.is_lost(), "{wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn guard_is_lost_where_the_end_of_its_upgrade_is_not_known() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let first = reader(&alice).await;
    store.inject(Operation::Acquire, Fault::AnswerLost);
    store.inject(Operation::Cancel, Fault::Refused);
    let guard = first.upgrade().wait(SECOND).await.unwrap_err().guard;
    // The cancel goes on in the background, and ends whatever the upgrade took.
    store.heal();
    let _writer = bob.acquire("key").wait(SECOND * 10).await.unwrap();
    assert!(guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn guard_of_an_upgrade_that_was_never_sent_holds() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let first = reader(&alice).await;
    store.inject(Operation::Acquire, Fault::Refused);
    store.inject(Operation::Cancel, Fault::Refused);
    store.inject(Operation::Renew, Fault::Refused);
    let GuardError { guard, error } = first.upgrade().wait(SECOND).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    store.heal();
    assert!(!guard.is_lost());
    assert_eq!(holders(&bob).await, (1, 0));
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn guard_of_an_upgrade_that_was_granted_and_evicted_knows_of_the_loss() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let (first, second) = (reader(&alice).await, reader(&bob).await);
    let upgrade = upgrading(first, &alice, 1).await;
    store.inject_notices(NoticeFault::Lost);
    second.release().await.unwrap();
    assert_eq!(bob.evict_all("key", "stuck").await.unwrap().len(), 1);
    let _writer = bob.acquire("key").await.unwrap();
    let failed = upgrade.await.unwrap().unwrap_err();
    assert!(failed.guard.is_lost(), "{:?}", failed.error);
}

#[tokio::test(start_paused = true)]
async fn guard_of_an_upgrade_of_a_lease_that_is_over_knows_of_the_loss() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let first = reader(&alice).await;
    assert!(bob.release_lease(first.lease()).await.unwrap());
    let GuardError { guard, error } = first.upgrade().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld);
    assert!(guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn reentrant_request_waits_for_a_release_of_its_session_that_is_under_way() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let session = alice.session();
    let guard = session.acquire("key").reentrant().await.unwrap();
    store.inject(Operation::Release, Fault::Delayed(SECOND));
    let release = tokio::spawn(guard.release());
    settle().await;
    let next = session.acquire("key").reentrant().await.unwrap();
    release.await.unwrap().unwrap();
    assert!(!next.is_lost());
    assert_eq!(holders(&alice).await, (1, 0));
}

#[tokio::test(start_paused = true)]
async fn set_shares_the_leases_of_its_session() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let session = alice.session();
    let first = session.acquire("a").reentrant().await.unwrap();
    let second = session.acquire("b").reentrant().await.unwrap();
    let asked = store.commands(Operation::Acquire);
    let keys = || ["a", "b", "c"].map(|key| session.acquire(key).reentrant());
    let set = session.acquire_all(keys()).await.unwrap();
    assert_eq!(store.commands(Operation::Acquire) - asked, 1);
    let tokens: Vec<_> = set.guards().iter().map(LockGuard::token).collect();
    assert_eq!(tokens[..2], [first.token(), second.token()]);
    let third = session.acquire("c").reentrant().await.unwrap();
    assert_eq!(third.token(), tokens[2]);
    let again = session.acquire_all(keys()).await.unwrap();
    set.release().await.unwrap();
    again.release().await.unwrap();
    assert!(!first.is_lost() && !third.is_lost());
}

#[tokio::test(start_paused = true)]
async fn guard_that_was_not_upgraded_is_still_shared() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let session = alice.session();
    let _other = reader(&bob).await;
    let ask = || session.acquire("key").shared().reentrant();
    let guard = ask().await.unwrap();
    let guard = guard.upgrade().wait(Duration::ZERO).await.unwrap_err().guard;
    let again = ask().await.unwrap();
    assert_eq!(again.token(), guard.token());
    guard.release().await.unwrap();
    assert_eq!(holders(&bob).await, (2, 0));
}

#[tokio::test(start_paused = true)]
async fn request_to_release_finds_its_holder_among_later_ones() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").shared().ttl(Ttl::Never).await.unwrap();
    let asking = tokio::spawn({
        let bob = bob.clone();
        async move { bob.request_release("key", SECOND * 600, "why").await }
    });
    drop(guard.wanted().await);
    let mut later = Vec::new();
    for _ in 0..100 {
        later.push(reader(&alice).await);
    }
    sleep(SECOND * 5).await;
    let start = Instant::now();
    guard.release().await.unwrap();
    assert!(asking.await.unwrap().unwrap());
    assert!(start.elapsed() <= SECOND * 2, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn upgraded_guard_is_shared_and_keeps_its_head_start() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let session = alice.session();
    let reading = session.acquire("key").shared().priority(Priority::Critical).reentrant();
    let writing = reading.await.unwrap().upgrade().await.unwrap();
    let again = session.acquire("key").reentrant().await.unwrap();
    assert_eq!(again.token(), writing.token());
    drop(again);
    let high = tokio::spawn(bob.acquire("key").priority(Priority::High).into_future());
    waiting(&alice, "key", 1).await;
    assert!(timeout(SECOND * 60, writing.wanted()).await.is_err());
    writing.release().await.unwrap();
    assert!(high.await.unwrap().is_ok());
}
