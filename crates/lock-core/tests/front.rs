//! The manager's front: leases that leave their guards, waits that end well, and great numbers.

mod common;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    AcquireRequest, Acquisition, End, Error, ErrorKind, ListQuery, LockBackend, LockKey,
    LockManager, LossReason, ManagerConfig, Metadata, Mode, Operation, RequestId, TransferTo, Ttl,
    Watched,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, NoticeFault};
use tokio::time::{Instant, advance, sleep};

const TTL: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn lease_out_of_a_guard_granted_by_a_notice_is_of_full_length() {
    for ttl in [Ttl::parse(HOUR).unwrap(), Ttl::Never] {
        let store = MemoryBackend::new();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        let held = alice.acquire("key").await.unwrap();
        let next = tokio::spawn(bob.acquire("key").ttl(ttl).into_future());
        waiting(&alice, "key", 1).await;
        held.release().await.unwrap();
        let lease = next.await.unwrap().unwrap().into_lease().await.unwrap();
        sleep(secs(60)).await;
        let seen = alice.inspect("key").await.unwrap().value;
        assert_eq!(seen.leases[0].token, lease.token);
        assert_eq!(seen.leases[0].expires_at, lease.expires_at);
    }
}

/// A client whose connection breaks goes on at its place, wherever it asks next.
#[tokio::test(start_paused = true)]
async fn dropped_request_for_a_lease_keeps_its_place() {
    let store = MemoryBackend::new();
    let [alice, one, other] = ["alice", "one", "other"].map(|owner| manager(&store, owner));
    let held = alice.acquire("key").await.unwrap();
    let client = RequestId::random();
    let ask = |service: &LockManager| service.acquire("key").request(client).lease();
    let mut first = Box::pin(ask(&one));
    tokio::select! {
        biased;
        lease = &mut first => panic!("it is held: {lease:?}"),
        () = waiting(&alice, "key", 1) => {}
    }
    drop(first);
    let newcomer = tokio::spawn(alice.acquire("key").into_future());
    waiting(&alice, "key", 2).await;
    held.release().await.unwrap();
    let lease = ask(&other).await.unwrap();
    assert_eq!(lease.request, client);
    assert!(!newcomer.is_finished());
    assert!(alice.release_lease(&lease).await.unwrap());
    newcomer.await.unwrap().unwrap().release().await.unwrap();
    // Nothing is left to tell the store.
    assert_eq!((one.shutdown().await.in_use, other.shutdown().await.in_use), (0, 0));
}

/// A grant to a client that never comes back costs the claim window, whatever its ttl.
#[tokio::test(start_paused = true)]
async fn grant_that_no_client_takes_up_is_over_with_the_claim_window() {
    let store = MemoryBackend::new();
    let (alice, service) = (manager(&store, "alice"), manager(&store, "service"));
    let held = alice.acquire("key").await.unwrap();
    let ask = service.acquire("key").ttl(Ttl::Never).keep_alive(secs(60)).wait(secs(5)).lease();
    let error = ask.await.unwrap_err();
    assert_eq!((error.kind(), error.position().unwrap().value.position), (ErrorKind::WaitOver, 1));
    held.release().await.unwrap();
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 1);
    advance(secs(61)).await;
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 0);
}

/// Nobody renews a lease that was acquired for another program, and it is of full length.
#[tokio::test(start_paused = true)]
async fn lease_for_another_program_is_claimed_and_not_renewed() {
    let store = faulty();
    let (alice, service) = (manager(&store, "alice"), manager(&store, "service"));
    let held = alice.acquire("key").await.unwrap();
    let next = tokio::spawn(service.acquire("key").ttl(HOUR).lease());
    waiting(&alice, "key", 1).await;
    held.release().await.unwrap();
    let lease = next.await.unwrap().unwrap();
    let seen = alice.inspect("key").await.unwrap();
    assert_eq!(seen.value.leases[0].expires_at, lease.expires_at);
    assert_eq!(lease.remaining(seen.observed_at), Some(HOUR));
    advance(HOUR).await;
    assert_eq!(alice.inspect("key").await.unwrap().value.holders, 0);
}

#[tokio::test(start_paused = true)]
async fn guard_comes_back_when_its_lease_cannot_be_taken_out() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let next = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    held.release().await.unwrap();
    let guard = next.await.unwrap().unwrap();
    store.inject(Operation::Renew, Fault::Refused);
    let failed = guard.into_lease().await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Unavailable);
    assert!(!failed.guard.is_lost());
    store.heal();
    let lease = failed.guard.into_lease().await.unwrap();
    assert_eq!(alice.inspect("key").await.unwrap().value.leases[0].token, lease.token);
}

#[tokio::test(start_paused = true)]
async fn lease_that_is_over_cannot_be_taken_out() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").await.unwrap();
    assert!(alice.evict(guard.lease(), "stuck").await.unwrap());
    let failed = guard.into_lease().await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::NotHeld);
    assert!(matches!(Error::from(failed).loss(), Some(LossReason::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn acquire_that_arrives_after_its_lease_was_taken_out_takes_no_lock() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let request = RequestId::random();
    store.inject(Operation::Acquire, Fault::Hangs);
    let acquire = tokio::spawn(alice.acquire("key").request(request).into_future());
    sleep(secs(6)).await;
    store.heal();
    let lease = acquire.await.unwrap().unwrap().into_lease().await.unwrap();
    assert!(alice.release_lease(&lease).await.unwrap());
    let key = LockKey::parse("key").unwrap();
    let late = AcquireRequest::new(request, key, alice.owner().clone());
    let reply = store.acquire(&late).await.unwrap();
    assert!(matches!(reply.value, Acquisition::Ended(End::Transferred { .. })), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn guard_is_handed_over_by_value() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    let token = guard.token();
    let failed = guard.transfer(TransferTo::Waiter(RequestId::random())).await.unwrap_err();
    assert_eq!(failed.error.kind(), ErrorKind::Refused);
    assert!(!failed.guard.is_lost());
    let to = TransferTo::Owner {
        owner: bob.owner().clone(),
        request: RequestId::random(),
        metadata: Metadata::default(),
    };
    let lease = failed.guard.transfer(to).await.unwrap();
    assert!(lease.token > token);
    assert!(!bob.adopt(&lease).await.unwrap().is_lost());
}

#[tokio::test(start_paused = true)]
async fn renewal_on_demand_makes_the_lease_full_length() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    sleep(secs(9)).await;
    guard.renew_now().await.unwrap();
    let seen = alice.inspect("key").await.unwrap();
    assert_eq!(seen.value.leases[0].remaining(seen.observed_at), Some(TTL));
    assert_eq!(guard.deadline(), Some(Instant::now() + TTL - secs(2)));
    assert!(alice.evict(guard.lease(), "stuck").await.unwrap());
    let error = guard.renew_now().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotHeld);
    assert!(matches!(error.loss(), Some(LossReason::Ended(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn request_is_set_up_in_plain_words() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let first = alice.acquire("readers").shared().owner("bob").metadata([("pr", "12")]).await;
    let first = first.unwrap();
    assert_eq!((first.lease().owner.as_str(), first.lease().mode), ("bob", Mode::READER));
    assert_eq!(first.lease().metadata.get("pr"), Some("12"));
    let _second = alice.acquire("readers").shared().await.unwrap();
    let permit = alice.acquire("permits").permits(2).await.unwrap();
    assert_eq!(permit.lease().mode, Mode::semaphore(2).unwrap());
    for error in [
        alice.acquire("permits").permits(0).await.unwrap_err(),
        alice.acquire("key").owner("").await.unwrap_err(),
        alice.acquire("key").metadata([("", "12")]).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn settings_outside_their_limits_are_named() {
    let config = ManagerConfig::default;
    let wrong = [
        config().with_ttl(Duration::ZERO).unwrap_err(),
        config().with_keep_alive(Duration::MAX).unwrap_err(),
        config().with_ageing_step(Duration::MAX).unwrap_err(),
        config().with_operation_timeout(Duration::MAX).unwrap_err(),
        config().with_shutdown_timeout(Duration::ZERO).unwrap_err(),
    ];
    insta::assert_snapshot!(wrong.map(|input| input.to_string()).join("\n"), @r"
    ttl is shorter than 1ms
    keep_alive is longer than 86400s
    ageing_step is longer than 105408000s
    operation_timeout is longer than 86400s
    shutdown_timeout is shorter than 1ms
    ");
    assert_eq!(config().with_ttl(Ttl::Never).unwrap().ttl, Ttl::Never);
}

#[tokio::test(start_paused = true)]
async fn wait_of_zero_asks_once_and_names_the_holder() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    // However slow the store is, a free key is had.
    store.inject(Operation::Acquire, Fault::AnswerDelayed(secs(1)));
    let held = alice.acquire("key").wait(Duration::ZERO).await.unwrap();
    let error = bob.acquire("key").wait(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::WaitOver, false));
    assert_eq!(error.position().unwrap().value.holder.as_ref().unwrap().token, held.token());
    assert_eq!(store.commands(Operation::Cancel), 0);
}

#[tokio::test(start_paused = true)]
async fn timed_out_wait_has_a_known_outcome_on_a_slow_store() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    for operation in [Operation::Acquire, Operation::Hear, Operation::Cancel] {
        store.inject(operation, Fault::AnswerDelayed(millis(40)));
    }
    for wait in (50..4000).step_by(37).map(millis) {
        let start = Instant::now();
        let error = bob.acquire("key").wait(wait).keep_alive(millis(600)).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::WaitOver, false), "{wait:?}");
        assert_eq!(start.elapsed(), wait);
    }
}

#[tokio::test(start_paused = true)]
async fn wait_that_begins_in_an_outage_outlasts_it() {
    let store = faulty();
    let alice = manager(&store, "alice");
    for fault in [Fault::Refused, Fault::Hangs] {
        store.inject(Operation::Acquire, fault);
        let acquire = tokio::spawn(alice.acquire("key").wait(secs(60)).into_future());
        sleep(secs(40)).await;
        store.heal();
        let start = Instant::now();
        acquire.await.unwrap().unwrap().release().await.unwrap();
        assert!(start.elapsed() <= secs(6), "{fault:?}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn failed_heartbeat_loses_no_notices() {
    for keep_alive in [secs(10), secs(600), HOUR * 24] {
        let store = faulty();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
        let waiter = tokio::spawn(bob.acquire("key").keep_alive(keep_alive).into_future());
        waiting(&alice, "key", 1).await;
        store.inject_notices(NoticeFault::Lost);
        store.inject(Operation::Hear, Fault::Refused);
        sleep(secs(15)).await;
        held.release().await.unwrap();
        store.heal();
        let start = Instant::now();
        drop(waiter.await.unwrap().unwrap());
        assert!(start.elapsed() <= secs(1), "{keep_alive:?}: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_take_at_most_a_hundred_commands_a_round() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let mut waiters = Vec::new();
    for number in 0..10_000_u32 {
        let acquire = bob.acquire("key").keep_alive(TTL).into_future();
        waiters.push(tokio::spawn(acquire));
        if number % 50 == 0 {
            settle().await;
            advance(millis(20)).await;
        }
    }
    waiting(&alice, "key", 10_000).await;
    sleep(secs(60)).await;
    let before = store.commands(Operation::Hear);
    sleep(secs(100)).await;
    let commands = store.commands(Operation::Hear) - before;
    assert!((10 * 79..=10 * 100).contains(&commands), "{commands} commands in ten rounds");
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 10_000);
    assert_eq!(bob.shutdown().await.unreleased, 0);
    assert_eq!(alice.inspect("key").await.unwrap().value.waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn thirty_thousand_leases_are_held_with_short_steps() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let mut guards = Vec::new();
    for number in 0..30_000 {
        guards.push(alice.acquire(format!("key-{number}")).ttl(TTL).await.unwrap());
    }
    sleep(secs(120)).await;
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    let commands = store.commands(Operation::Renew);
    assert!(commands <= 12 * 300, "{commands} commands in twelve rounds");
}

#[tokio::test(start_paused = true)]
async fn everything_listed_is_a_stream_over_all_pages() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let mut guards = Vec::new();
    for number in 0..25 {
        guards.push(alice.acquire(format!("key-{number}")).await.unwrap());
    }
    let query = ListQuery::all().with_limit(NonZeroU32::new(3).unwrap());
    let mut listed = alice.list_all(query);
    let mut keys = BTreeSet::new();
    while let Some(lease) = poll_fn(|cx| listed.as_mut().poll_next(cx)).await {
        assert!(keys.insert(lease.unwrap().value.key.to_string()));
    }
    assert_eq!(keys, guards.iter().map(|guard| guard.key().to_string()).collect());
}

#[tokio::test(start_paused = true)]
async fn failure_ends_a_listing() {
    let store = faulty();
    let alice = manager(&store, "alice");
    store.inject(Operation::List, Fault::Refused);
    let mut listed = alice.list_all(ListQuery::all());
    let failed = poll_fn(|cx| listed.as_mut().poll_next(cx)).await.unwrap();
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(poll_fn(|cx| listed.as_mut().poll_next(cx)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn events_of_one_key_are_not_those_of_longer_keys() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let mut events = alice.watch_key("key", None).await.unwrap();
    drop(alice.acquire("key/longer").await.unwrap());
    let guard = alice.acquire("key").await.unwrap();
    let Some(Watched::Event(event)) = poll_fn(|cx| events.as_mut().poll_next(cx)).await else {
        panic!("an event")
    };
    assert_eq!(event.key(), guard.key());
}
