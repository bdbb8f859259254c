//! The manager when its surroundings misbehave: hanging stores, dead crowds, restarts, extremes.

mod common;

use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    AcquireRequest, Acquisition, Attempt, End, ErrorKind, HeadStart, KeepAlive, LockBackend,
    LockKey, LockManager, LossReason, ManagerConfig, Operation, OwnerId, Priority, RequestId, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::Fault;
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(30);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn resumed_lease_is_relied_on_for_what_is_left_of_it() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let request = RequestId::random();
    drop(alice.acquire("key").request(request).ttl(TTL).await.unwrap().into_lease().await.unwrap());
    sleep(secs(25)).await;
    let guard = alice.acquire("key").request(request).ttl(TTL).await.unwrap();
    let seen = alice.inspect("key").await.unwrap();
    let left = seen.value.leases[0].remaining(seen.observed_at).unwrap();
    assert!(guard.deadline().unwrap() <= Instant::now() + left, "{left:?} are left");
}

#[tokio::test(start_paused = true)]
async fn last_guard_of_a_lease_is_in_charge_of_it() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let first = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let second = alice.adopt(first.lease()).await.unwrap();
    assert_eq!(first.lost().await, LossReason::Adopted);
    let error = first.release().await.unwrap_err();
    assert_eq!((error.kind(), error.loss()), (ErrorKind::NotHeld, Some(&LossReason::Adopted)));
    let third = alice.adopt(second.lease()).await.unwrap();
    drop(second);
    settle().await;
    assert!(bob.try_acquire("key").await.unwrap().guard().is_none(), "the third guard holds");
    third.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wait_ends_in_time_whatever_the_store_does() {
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Hangs] {
        let store = faulty();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        let _held = alice.acquire("key").await.unwrap();
        let start = Instant::now();
        let keep_alive = secs(2);
        let waiter = bob.acquire("key").keep_alive(keep_alive).wait(millis(200));
        let waiter = tokio::spawn(waiter.into_future());
        waiting(&alice, "key", 1).await;
        for operation in [Operation::Acquire, Operation::Hear, Operation::Cancel] {
            store.inject(operation, fault);
        }
        let before = store.commands(Operation::Acquire);
        let error = waiter.await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::WaitOver, false), "{fault:?}");
        assert!(error.position().is_some(), "{fault:?}: {error}");
        assert!(start.elapsed() <= millis(210), "{fault:?}: {:?}", start.elapsed());
        let commands = store.commands(Operation::Acquire) - before;
        assert!(commands < 10, "{fault:?}: {commands} commands");
    }
}

#[tokio::test(start_paused = true)]
async fn wait_ends_in_time_when_the_store_never_answered() {
    let store = faulty();
    store.inject(Operation::Acquire, Fault::Hangs);
    let start = Instant::now();
    let error = manager(&store, "alice").acquire("key").wait(millis(100)).await.unwrap_err();
    assert_eq!(start.elapsed(), millis(100));
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, true));
}

#[tokio::test(start_paused = true)]
async fn unlimited_spans_are_accepted() {
    let longest = lock_core::Timeout::MAX;
    let config = ManagerConfig::default().with_operation_timeout(longest).unwrap();
    let owner = OwnerId::parse("alice").unwrap();
    let alice = LockManager::with_config(MemoryBackend::new(), owner, config);
    let longest = alice.acquire("key").ttl(lock_core::LeaseTime::MAX).wait(Duration::MAX);
    let guard = longest.keep_alive(KeepAlive::MAX).await.unwrap();
    assert_eq!(alice.acquire("key").wait(secs(1)).await.unwrap_err().kind(), ErrorKind::WaitOver);
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn short_lease_outlives_a_renewal_that_hangs() {
    let store = faulty();
    let guard = manager(&store, "alice").acquire("key").ttl(secs(7)).await.unwrap();
    store.inject(Operation::Renew, Fault::Hangs);
    sleep(millis(4500)).await;
    store.heal();
    sleep(secs(10)).await;
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn urgent_renewals_do_not_hurry_the_others() {
    let store = faulty();
    let alice = manager(&store, "alice");
    // Every answer takes longer than the shortest lease can wait for it.
    store.inject(Operation::Renew, Fault::AnswerDelayed(millis(100)));
    let _hopeless = alice.acquire("short").ttl(millis(50)).await.unwrap();
    let guard = alice.acquire("long").ttl(secs(3)).await.unwrap();
    sleep(secs(60)).await;
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn renewal_goes_on_after_the_store_panicked() {
    let store = faulty();
    let guard = manager(&store, "alice").acquire("key").ttl(TTL).await.unwrap();
    store.inject(Operation::Renew, Fault::Panics);
    sleep(secs(12)).await;
    assert!(store.commands(Operation::Renew) >= 1);
    store.heal();
    sleep(secs(60)).await;
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn place_outlives_a_store_that_hangs_for_a_while() {
    let store = faulty();
    let alice = manager(&store, "alice");
    // However long the store may take for an answer, the place must not be lost over one.
    let config = ManagerConfig::default().with_operation_timeout(secs(30)).unwrap();
    let bob = LockManager::with_config(store.clone(), OwnerId::parse("bob").unwrap(), config);
    let _held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let waiter = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    let joined = alice.inspect("key").await.unwrap().value.waiters.items[0].enqueued_at;
    store.inject(Operation::Hear, Fault::Hangs);
    sleep(secs(3)).await;
    store.inject(Operation::Acquire, Fault::Hangs);
    sleep(secs(4)).await;
    store.heal();
    sleep(secs(10)).await;
    let waiters = alice.inspect("key").await.unwrap().value.waiters.items;
    assert_eq!(waiters.iter().map(|waiter| waiter.enqueued_at).collect::<Vec<_>>(), [joined]);
    assert!(!waiter.is_finished(), "{:?}", waiter.await);
}

#[tokio::test(start_paused = true)]
async fn dead_crowd_costs_the_living_no_time() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    for _ in 0..10_000 {
        let key = LockKey::parse("key").unwrap();
        let dead = AcquireRequest::new(RequestId::random(), key, alice.owner().clone())
            .with_head_start(HeadStart::parse(secs(3000)).unwrap())
            .queueing(KeepAlive::default());
        assert!(matches!(store.acquire(&dead).await.unwrap().value, Acquisition::Queued(_)));
    }
    let waiter = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 10_001).await;
    sleep(secs(9)).await;
    // It goes to one of the dead, for the claim window.
    held.release().await.unwrap();
    let start = Instant::now();
    drop(waiter.await.unwrap().unwrap());
    assert!(start.elapsed() <= secs(14), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn attempt_clears_a_dead_crowd_away() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let held = alice.acquire("key").ttl(secs(20)).await.unwrap().into_lease().await.unwrap();
    for _ in 0..1000 {
        let dead = AcquireRequest::new(RequestId::random(), held.key.clone(), held.owner.clone());
        let _ = store.acquire(&dead.queueing(KeepAlive::default())).await.unwrap();
    }
    sleep(secs(30)).await;
    let attempt = alice.try_acquire("key").priority(Priority::Low).await.unwrap();
    assert!(attempt.guard().is_some());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_requests_that_wait() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").await.unwrap();
    let waiter = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    timeout(secs(1), bob.shutdown()).await.unwrap();
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
    assert!(error.position().is_some());
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn acquire_that_arrives_after_its_cancel_takes_no_lock() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let request = RequestId::random();
    store.inject(Operation::Acquire, Fault::Hangs);
    let acquire = alice.acquire("key").request(request).ttl(Ttl::Never).wait(secs(10));
    assert!(acquire.await.unwrap_err().is_unknown());
    settle().await;
    store.heal();
    let key = LockKey::parse("key").unwrap();
    let late = AcquireRequest::new(request, key, alice.owner().clone()).with_ttl(Ttl::Never);
    let reply = store.acquire(&late).await.unwrap();
    assert_eq!(reply.value, Acquisition::Ended(End::Cancelled));
}

#[tokio::test(start_paused = true)]
async fn acquire_that_arrives_after_the_release_takes_no_lock() {
    for is_dropped in [true, false] {
        let store = faulty();
        let alice = manager(&store, "alice");
        let request = RequestId::random();
        store.inject(Operation::Acquire, Fault::Hangs);
        let acquire = tokio::spawn(alice.acquire("key").request(request).into_future());
        sleep(secs(1)).await;
        store.heal();
        // The first command is lost on the way, the second is answered.
        let guard = acquire.await.unwrap().unwrap();
        if is_dropped {
            drop(guard);
        } else {
            guard.release().await.unwrap();
        }
        settle().await;
        let key = LockKey::parse("key").unwrap();
        let late = AcquireRequest::new(request, key, alice.owner().clone());
        let reply = store.acquire(&late).await.unwrap();
        assert_eq!(reply.value, Acquisition::Ended(End::Cancelled), "{is_dropped}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempt_of_a_request_that_waits_keeps_its_place() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").await.unwrap();
    let request = RequestId::random();
    let _waiter = tokio::spawn(bob.acquire("key").request(request).into_future());
    waiting(&alice, "key", 1).await;
    let attempt = bob.try_acquire("key").request(request).await.unwrap();
    assert_eq!(attempt.position().unwrap().value.position, 1);
    assert!(matches!(attempt, Attempt::Held(_)));
    settle().await;
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn loss_of_the_shortest_leases_is_known_before_they_end() {
    for ttl in [1, 2, 3, 5, 8, 9, 20].map(millis) {
        let store = faulty();
        let alice = manager(&store, "alice");
        sleep(Duration::from_micros(300)).await;
        let start = Instant::now();
        let guard = alice.acquire("key").ttl(ttl).await.unwrap();
        store.inject(Operation::Renew, Fault::Refused);
        guard.lost().await;
        assert!(start.elapsed() < ttl, "{ttl:?}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_eviction_does_not_affect_later_holders() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let next = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    store.inject(Operation::Evict, Fault::AnswerLost);
    assert!(alice.evict(held.lease(), "stuck").await.unwrap_err().is_unknown());
    store.heal();
    assert!(!alice.evict(held.lease(), "stuck").await.unwrap());
    let guard = next.await.unwrap().unwrap();
    assert!(!guard.is_lost());
    assert_eq!(alice.inspect("key").await.unwrap().value.leases[0].token, guard.token());
}

#[tokio::test(start_paused = true)]
async fn mailbox_whose_opening_was_not_answered_is_opened_again() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject(Operation::Listen, Fault::Hangs);
    let next = tokio::spawn(bob.acquire("key").into_future());
    sleep(secs(6)).await;
    store.heal();
    waiting(&alice, "key", 1).await;
    sleep(secs(6)).await;
    let start = Instant::now();
    held.release().await.unwrap();
    drop(next.await.unwrap().unwrap());
    assert_eq!(start.elapsed(), Duration::ZERO);
}
