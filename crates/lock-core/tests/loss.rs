//! Keeping and losing leases: renewal in batches, and losses known in time, with the reason.

mod common;

use std::future::pending;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    AcquireRequest, End, ErrorKind, EvictRequest, KeepAlive, LockBackend, LockKey, LossReason,
    Metadata, Mode, Operation, OwnerId, Reason, RequestId, Transfer, TransferTo, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, NoticeFault};
use tokio::time::{Instant, advance, sleep};

const TTL: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn renewal_keeps_the_lease_for_hours() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    sleep(5 * HOUR).await;
    assert!(!guard.is_lost());
    assert_eq!(alice.inspect("key").await.unwrap().value.leases[0].token, guard.token());
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn short_lease_is_renewed_a_few_times_a_ttl_and_no_more() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(Duration::from_millis(300)).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(!guard.is_lost());
    let renewals = store.commands(Operation::Renew);
    assert!((25..=31).contains(&renewals), "{renewals} renewals in ten ttls");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_leases_take_at_most_a_hundred_commands_a_round() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let mut guards = Vec::new();
    for number in 0..10_000 {
        guards.push(alice.acquire(format!("key-{number}")).ttl(TTL).await.unwrap());
        // Two hundred moments at which leases fall due: without batches, as many rounds.
        if number % 50 == 0 {
            advance(Duration::from_millis(5)).await;
        }
    }
    sleep(TTL / 3 + TTL / 12).await;
    let commands = store.commands(Operation::Renew);
    assert!((1..=100).contains(&commands), "{commands} commands in the first round");
    sleep(3 * TTL).await;
    assert!(guards.iter().all(|guard| !guard.is_lost()));
    let rounds = 3 * 3 + 1;
    let commands = store.commands(Operation::Renew);
    assert!(commands <= 100 * rounds, "{commands} commands in {rounds} rounds");
}

#[tokio::test(start_paused = true)]
async fn renewal_never_outlives_the_release() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    sleep(TTL).await;
    guard.release().await.unwrap();
    let renewals = store.commands(Operation::Renew);
    assert!(renewals > 0);
    sleep(HOUR).await;
    assert_eq!(store.commands(Operation::Renew), renewals);
}

#[tokio::test(start_paused = true)]
async fn renewal_survives_failed_tries() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    for fault in [Fault::Refused, Fault::AnswerLost, Fault::Hangs] {
        store.inject(Operation::Renew, fault);
        sleep(TTL / 2).await;
        store.heal();
        sleep(TTL / 2).await;
        assert!(!guard.is_lost(), "{fault:?}");
    }
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_slower_than_the_next_renewal_keep_the_lease() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let ttl = Duration::from_secs(3);
    let guard = alice.acquire("key").ttl(ttl).await.unwrap();
    store.inject(Operation::Renew, Fault::AnswerDelayed(ttl / 3));
    sleep(20 * ttl).await;
    assert!(!guard.is_lost());
    // Those that were sent meanwhile are few: the line is slow, not dead.
    let renewals = store.commands(Operation::Renew);
    assert!(renewals <= 20 * 6, "{renewals} renewals in 20 ttls");
    guard.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn loss_is_known_before_the_store_gives_the_key_to_another() {
    for fault in [Fault::Refused, Fault::Hangs] {
        let store = faulty();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        let guard = alice.acquire("key").ttl(TTL).await.unwrap();
        store.inject(Operation::Renew, fault);
        let next = tokio::spawn(bob.acquire("key").into_future());
        assert_eq!(guard.lost().await, LossReason::Overdue, "{fault:?}");
        settle().await;
        assert!(!next.is_finished(), "{fault:?}");
        drop(next.await.unwrap().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn lost_lease_stays_lost_when_the_store_comes_back() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    store.inject(Operation::Renew, Fault::AnswerDelayed(TTL));
    guard.lost().await;
    store.heal();
    sleep(HOUR).await;
    assert!(guard.is_lost());
    let error = guard.release().await.unwrap_err();
    assert_eq!((error.kind(), error.loss()), (ErrorKind::NotHeld, Some(&LossReason::Overdue)));
}

#[tokio::test(start_paused = true)]
async fn loss_that_was_not_observed_is_not_undone_by_a_late_answer() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    sleep(TTL / 4).await;
    store.inject(Operation::Renew, Fault::AnswerDelayed(2 * TTL / 3 + Duration::from_millis(500)));
    sleep(2 * TTL).await;
    assert!(guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn late_notice_of_a_grant_is_not_relied_on() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    // The notice of the grant takes longer than the claim window of ten seconds.
    store.inject_notices(NoticeFault::Delayed(Duration::from_secs(12)));
    let next = tokio::spawn(bob.acquire("key").ttl(TTL).into_future());
    waiting(&alice, "key", 1).await;
    held.release().await.unwrap();
    let guard = next.await.unwrap().unwrap();
    assert!(!guard.is_lost());
    let lease = alice.inspect("key").await.unwrap().value.leases.remove(0);
    assert_eq!(lease.token, guard.token(), "the guard has the lease that is alive");
}

#[tokio::test(start_paused = true)]
async fn lost_notice_of_a_grant_costs_a_heartbeat() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject_notices(NoticeFault::Lost);
    let next = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    let start = Instant::now();
    held.release().await.unwrap();
    drop(next.await.unwrap().unwrap());
    assert!(start.elapsed() <= Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn deadline_is_before_the_end_of_a_lease_that_a_lost_answer_claimed() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    store.inject(Operation::Listen, Fault::Refused);
    let next = tokio::spawn(bob.acquire("key").ttl(TTL).into_future());
    waiting(&alice, "key", 1).await;
    store.inject(Operation::Hear, Fault::AnswerLost);
    held.release().await.unwrap();
    // A hearing whose answer is lost claims the lease: then it lasts its ttl.
    let end = async || {
        let seen = alice.inspect("key").await.unwrap();
        let lease = &seen.value.leases[0];
        let end = Instant::now() + lease.remaining(seen.observed_at).unwrap();
        (lease.remaining(lease.granted_at) >= Some(TTL), end)
    };
    while !end().await.0 {
        sleep(Duration::from_millis(10)).await;
    }
    store.heal();
    let guard = next.await.unwrap().unwrap();
    let deadline = guard.deadline().unwrap();
    // By now the guard may have renewed the lease; the store counts whole microseconds.
    let latest = end().await.1 - Duration::from_secs(2) + Duration::from_micros(2);
    let late = deadline.saturating_duration_since(latest);
    assert!(late.is_zero(), "late by {late:?}");
}

#[tokio::test(start_paused = true)]
async fn holder_is_notified_of_its_eviction_with_who_and_why() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    for ttl in [Ttl::parse(TTL).unwrap(), Ttl::Never] {
        let guard = alice.acquire("key").ttl(ttl).await.unwrap();
        settle().await;
        let (by, reason) = (OwnerId::parse("root").unwrap(), Reason::parse("stuck").unwrap());
        let start = Instant::now();
        let key = LockKey::parse("key").unwrap();
        let eviction = EvictRequest::all(key, by.clone(), reason.clone());
        let evicted = store.evict(&eviction).await.unwrap().value.leases;
        assert_eq!(evicted.len(), 1);
        assert_eq!(guard.lost().await, LossReason::Ended(End::Evicted { by, reason }));
        assert_eq!(start.elapsed(), Duration::ZERO);
        let error = guard.release().await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"release `key`: the request does not hold the key: it was evicted by `root`: stuck");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn eviction_notified_before_its_guard_exists_is_not_forgotten() {
    for is_queueing in [true, false] {
        let store = faulty();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        drop(alice.acquire("other").await.unwrap());
        store.inject(Operation::Acquire, Fault::AnswerDelayed(Duration::from_millis(20)));
        let acquire = tokio::spawn({
            let alice = alice.clone();
            async move {
                match is_queueing {
                    true => alice.acquire("key").await.unwrap(),
                    false => alice.try_acquire("key").await.unwrap().guard().unwrap(),
                }
            }
        });
        sleep(Duration::from_millis(5)).await;
        assert_eq!(bob.evict_all("key", "stuck").await.unwrap().len(), 1);
        assert!(acquire.await.unwrap().is_lost(), "{is_queueing}");
    }
}

#[tokio::test(start_paused = true)]
async fn eviction_of_a_crowd_spares_the_waiters() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let permits = Mode::semaphore(100).unwrap();
    let mut guards = Vec::new();
    for _ in 0..100 {
        guards.push(alice.acquire("key").mode(permits).await.unwrap());
    }
    let mut waiters = Vec::new();
    for _ in 0..300 {
        waiters.push(tokio::spawn(alice.acquire("key").mode(permits).into_future()));
    }
    waiting(&alice, "key", 300).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(alice.evict_all("key", "stuck").await.unwrap().len(), 100);
    let seen = alice.inspect("key").await.unwrap().value;
    assert_eq!((seen.holders, seen.waiting), (100, 200));
}

#[tokio::test(start_paused = true)]
async fn manager_notifies_its_own_guards_of_its_evictions() {
    let store = MemoryBackend::new();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").await.unwrap();
    assert!(alice.evict(guard.lease(), "stuck").await.unwrap());
    assert!(guard.is_lost());
    assert!(!alice.evict(guard.lease(), "stuck").await.unwrap());
    let (first, second) = (alice.acquire("key").await.unwrap(), guard);
    assert_eq!(alice.evict_all("key", "stuck").await.unwrap()[0].token, first.token());
    assert!(first.is_lost() && second.is_lost());
}

#[tokio::test(start_paused = true)]
async fn release_by_name_ends_the_guard_and_leaves_no_mark() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let next = tokio::spawn(bob.acquire("key").into_future());
    waiting(&alice, "key", 1).await;
    assert!(alice.release_lease(guard.lease()).await.unwrap());
    assert_eq!(guard.lost().await, LossReason::NotHeld);
    let next = next.await.unwrap().unwrap();
    assert!(!alice.release_lease(guard.lease()).await.unwrap());
    assert!(!next.is_lost());
    assert!(bob.release_lease(next.lease()).await.unwrap());
    // Without a mark the same request may hold again.
    let again = alice.acquire("key").request(guard.lease().request).await.unwrap();
    assert_ne!(again.token(), guard.token());
}

#[tokio::test(start_paused = true)]
async fn release_by_name_reports_the_end_of_the_lease() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    assert!(bob.evict(guard.lease(), "stuck").await.unwrap());
    assert!(!alice.release_lease(guard.lease()).await.unwrap());
    let (by, reason) = (OwnerId::parse("bob").unwrap(), Reason::parse("stuck").unwrap());
    assert_eq!(guard.lost().await, LossReason::Ended(End::Evicted { by, reason }));
}

#[tokio::test(start_paused = true)]
async fn next_renewal_reports_the_eviction_without_notices() {
    let store = faulty();
    let alice = manager(&store, "alice");
    store.inject(Operation::Listen, Fault::Refused);
    let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    settle().await;
    let key = LockKey::parse("key").unwrap();
    let (by, reason) = (OwnerId::parse("root").unwrap(), Reason::parse("stuck").unwrap());
    let eviction = EvictRequest::all(key, by.clone(), reason.clone());
    let _evicted = store.evict(&eviction).await.unwrap();
    let start = Instant::now();
    assert_eq!(guard.lost().await, LossReason::Ended(End::Evicted { by, reason }));
    assert!(start.elapsed() <= Duration::from_secs(15), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn giver_is_notified_of_a_transfer_and_the_receiver_adopts_it() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    let to = TransferTo::Owner {
        owner: bob.owner().clone(),
        request: RequestId::random(),
        metadata: Metadata::default(),
    };
    let first = alice.transfer(guard.lease(), to.clone()).await.unwrap();
    let Transfer::Transferred(lease) = first.clone() else { panic!("{first:?}") };
    assert!(lease.token > guard.token());
    let end = End::Transferred { by: alice.owner().clone(), to: bob.owner().clone() };
    assert_eq!(guard.lost().await, LossReason::Ended(end));
    assert_eq!(alice.transfer(guard.lease(), to).await.unwrap(), first, "a repeated transfer");
    assert_eq!(bob.adopt(&lease).await.unwrap().token(), lease.token);
}

#[tokio::test(start_paused = true)]
async fn refused_transfer_is_a_value_and_changes_nothing() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let guard = alice.acquire("key").await.unwrap();
    let to = TransferTo::Waiter(RequestId::random());
    assert_eq!(alice.transfer(guard.lease(), to).await.unwrap(), Transfer::NotWaiting);
    let itself = TransferTo::Waiter(guard.lease().request);
    assert_eq!(alice.transfer(guard.lease(), itself).await.unwrap(), Transfer::AlreadyHolds);
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn waiter_is_notified_of_its_eviction_with_who_and_why() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").await.unwrap();
    let request = RequestId::random();
    let waiter = tokio::spawn(bob.acquire("key").request(request).into_future());
    waiting(&alice, "key", 1).await;
    let start = Instant::now();
    assert!(alice.evict_waiter("key", request, "stuck").await.unwrap());
    let error = waiter.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Ended, Duration::ZERO));
    insta::assert_snapshot!(error.end().unwrap(), @"evicted by `alice`: stuck");
    assert!(!alice.evict_waiter("key", request, "stuck").await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn work_is_dropped_the_moment_the_lease_is_lost() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    assert_eq!(guard.run(async { 7 }).await.unwrap(), 7);
    store.inject(Operation::Renew, Fault::Refused);
    let start = Instant::now();
    let error = guard.run(pending::<()>()).await.unwrap_err();
    assert!(start.elapsed() < TTL, "{:?}", start.elapsed());
    insta::assert_snapshot!(error, @"run `key`: the lease was lost: it could not be renewed in time");
    assert_eq!(error.kind(), ErrorKind::Lost);
}

#[tokio::test(start_paused = true)]
async fn deadline_is_before_the_end_of_the_lease_and_moves_with_renewals() {
    let alice = manager(&MemoryBackend::new(), "alice");
    let guard = alice.acquire("key").ttl(TTL).await.unwrap();
    let first = guard.deadline().unwrap();
    assert!(first < Instant::now() + TTL);
    sleep(TTL).await;
    let second = guard.deadline().unwrap();
    assert!(second > Instant::now() && second < Instant::now() + TTL);
    let never = alice.acquire("other").ttl(Ttl::Never).await.unwrap();
    assert_eq!(never.deadline(), None);
}

#[tokio::test(start_paused = true)]
async fn short_lease_notified_long_after_the_last_answer_is_held_and_kept() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let short = bob.acquire("key").keep_alive(Duration::from_secs(30));
    let next = tokio::spawn(short.ttl(Duration::from_millis(300)).into_future());
    waiting(&alice, "key", 1).await;
    sleep(Duration::from_secs(9)).await;
    held.release().await.unwrap();
    let guard = next.await.unwrap().unwrap();
    sleep(TTL).await;
    assert!(!guard.is_lost());
}

#[tokio::test(start_paused = true)]
async fn shortening_renewal_moves_the_deadline_before_it_is_sent() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let request = RequestId::random();
    // A predecessor asked for a longer lease.
    let key = LockKey::parse("key").unwrap();
    let before =
        AcquireRequest::new(request, key, bob.owner().clone()).with_ttl(TTL.try_into().unwrap());
    let _queued = store.acquire(&before.queueing(KeepAlive::default())).await.unwrap();
    let short = bob.acquire("key").request(request).ttl(Duration::from_millis(300));
    let next = tokio::spawn(short.into_future());
    settle().await;
    held.release().await.unwrap();
    let guard = next.await.unwrap().unwrap();
    store.inject(Operation::Renew, Fault::AnswerLost);
    sleep(Duration::from_millis(3400)).await;
    let seen = alice.inspect("key").await.unwrap();
    let left = seen.value.leases.first().and_then(|lease| lease.remaining(seen.observed_at));
    let left = left.unwrap_or_default();
    assert!(guard.deadline().unwrap() <= Instant::now() + left, "{left:?} are left");
}
