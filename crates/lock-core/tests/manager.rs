//! The manager over the store in memory: getting, waiting, giving back.

mod common;

use std::num::NonZeroU32;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{Attempt, ErrorKind, LeaseTime, Mode, Operation, Priority, RequestId, Ttl};
use lock_memory::MemoryBackend;
use lock_testkit::Fault;
use tokio::time::{Instant, advance, sleep};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn waiter_is_granted_upon_release_without_time_passing() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let second = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    let before = Instant::now();
    held.release().await.unwrap();
    let guard = second.await.unwrap().unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(alice.inspect("key").await.unwrap().value.leases[0].token, guard.token());
}

#[tokio::test(start_paused = true)]
async fn granted_waiter_sends_nothing_more() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let second = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    settle().await;
    let (asked, heard) = (store.commands(Operation::Acquire), store.commands(Operation::Hear));
    held.release().await.unwrap();
    second.await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(store.commands(Operation::Acquire), asked);
    assert_eq!(store.commands(Operation::Hear), heard);
    assert_eq!(store.commands(Operation::Renew), 0);
    assert_eq!(store.commands(Operation::Release), 2);
}

#[tokio::test(start_paused = true)]
async fn higher_priority_is_granted_first() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let low = tokio::spawn(bob.acquire("key").priority(Priority::Low).into_future());
    waiting(&alice, "key", 1).await;
    let high = tokio::spawn(alice.acquire("key").priority(Priority::High).into_future());
    waiting(&alice, "key", 2).await;
    held.release().await.unwrap();
    let first = high.await.unwrap().unwrap();
    assert!(!low.is_finished());
    first.release().await.unwrap();
    drop(low.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn expired_lease_goes_on_when_it_ends() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let ttl = Duration::from_secs(2);
    drop(alice.acquire("key").ttl(ttl).await.unwrap().into_lease().await.unwrap());
    let start = Instant::now();
    drop(bob.acquire("key").await.unwrap());
    let waited = start.elapsed();
    assert!(waited >= ttl && waited <= ttl + Duration::from_millis(10), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn timed_out_wait_names_the_holder_and_the_position() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    advance(Duration::from_secs(5)).await;
    let start = Instant::now();
    let error = bob.acquire("key").wait(MINUTE).await.unwrap_err();
    assert_eq!(start.elapsed(), MINUTE);
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::WaitOver, false));
    assert_eq!(error.position().unwrap().value.holder.as_ref().unwrap().token, held.token());
    let text = error.to_string().replace(&held.token().to_string(), "TOKEN");
    insta::assert_snapshot!(text, @"acquire `key`: not granted in time: held by `alice` (token TOKEN) for 65s, lease never ends; next in the queue");
    settle().await;
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn attempt_is_refused_with_the_holder() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let Attempt::Held(position) = bob.try_acquire("key").await.unwrap() else { panic!("granted") };
    assert_eq!(position.value.holder.unwrap().token, held.token());
    held.release().await.unwrap();
    assert!(bob.try_acquire("key").await.unwrap().guard().is_some());
}

#[tokio::test(start_paused = true)]
async fn full_queue_is_an_error_with_the_position() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let _held = alice.acquire("key").await.unwrap();
    let limit = NonZeroU32::new(1).unwrap();
    let _first = tokio::spawn(alice.acquire("key").queue_limit(limit).into_future());
    waiting(&alice, "key", 1).await;
    let error = alice.acquire("key").queue_limit(limit).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::QueueFull, false));
    assert_eq!(error.position().unwrap().value.position, 2);
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 1);
}

#[tokio::test(start_paused = true)]
async fn semaphore_admits_its_permits() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let two = Mode::semaphore(2).unwrap();
    let first = alice.acquire("key").mode(two).await.unwrap();
    let _second = alice.acquire("key").mode(two).await.unwrap();
    let third = tokio::spawn(alice.acquire("key").mode(two).into_future());
    waiting(&alice, "key", 1).await;
    drop(first);
    drop(third.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn bad_values_are_named_and_change_nothing() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let texts = [
        alice.acquire("").await.unwrap_err(),
        alice.acquire("k".repeat(1025)).await.unwrap_err(),
        alice.acquire("a\nb").await.unwrap_err(),
        alice.acquire("key").ttl(Duration::ZERO).await.unwrap_err(),
        alice.acquire("key").ttl(LeaseTime::MAX + Duration::from_secs(1)).await.unwrap_err(),
        alice.acquire("key").keep_alive(Duration::ZERO).await.unwrap_err(),
        alice.acquire("key").head_start(Duration::MAX).await.unwrap_err(),
        alice.try_acquire("key").ttl(Duration::ZERO).await.unwrap_err(),
        alice.inspect("").await.unwrap_err(),
        alice.evict_all("key", "").await.unwrap_err(),
    ]
    .map(|error| {
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::InvalidInput, false));
        format!("{error}: {}", error.invalid_input().unwrap())
    });
    insta::assert_snapshot!(texts.join("\n"), @r"
    acquire: invalid input: key is empty, 1 to 1024 bytes are allowed
    acquire: invalid input: key has 1025 bytes, at most 1024 are allowed
    acquire: invalid input: key has a control character at byte 1
    acquire: invalid input: ttl is shorter than 1ms
    acquire: invalid input: ttl is longer than 31622400s
    acquire: invalid input: keep_alive is shorter than 1ms
    acquire: invalid input: head_start is longer than 316224000s
    acquire: invalid input: ttl is shorter than 1ms
    inspect: invalid input: key is empty, 1 to 1024 bytes are allowed
    evict: invalid input: reason is empty, 1 to 1024 bytes are allowed
    ");
    assert_eq!(store.commands(Operation::Acquire), 0);
    assert_eq!(store.commands(Operation::Evict), 0);
}

#[tokio::test(start_paused = true)]
async fn dropped_guard_is_released() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    drop(alice.acquire("key").await.unwrap());
    let start = Instant::now();
    drop(bob.acquire("key").await.unwrap());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn unanswered_release_is_retried_until_confirmed() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject(Operation::Release, Fault::Refused);
    let error = guard.release().await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
    sleep(MINUTE).await;
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 1);
    let tries = store.commands(Operation::Release);
    assert!((30..400).contains(&tries), "{tries} tries in a minute");
    store.heal();
    sleep(MINUTE).await;
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 0);
}

#[tokio::test(start_paused = true)]
async fn same_request_finds_what_it_was_granted() {
    let store = MemoryBackend::new();
    let request = RequestId::from_bits(7);
    let before = manager(&store, "alice").acquire("key").request(request).await.unwrap();
    let token = before.token();
    drop(before.into_lease().await.unwrap());
    let after = manager(&store, "alice").acquire("key").request(request).await.unwrap();
    assert_eq!(after.token(), token);
}

#[tokio::test(start_paused = true)]
async fn lease_is_adopted_by_another_manager() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let lease = alice.acquire("key").await.unwrap().into_lease().await.unwrap();
    let guard = bob.adopt(&lease).await.unwrap();
    assert_eq!(guard.token(), lease.token);
    guard.release().await.unwrap();
    let error = bob.adopt(&lease).await.unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::NotHeld, Operation::Adopt));
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_guards_and_departures() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").await.unwrap();
    let closing = tokio::spawn({
        let alice = alice.clone();
        async move { alice.shutdown().await }
    });
    settle().await;
    assert!(!closing.is_finished());
    let error = alice.acquire("other").await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::ShutDown, false));
    drop(guard);
    closing.await.unwrap();
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 0);
    alice.shutdown().await;
}
