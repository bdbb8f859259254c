//! The limit per owner: what counts, and that it stops counting on every path.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::error::Error as _;
use std::num::NonZeroU32;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::layer::{OwnerLimit, OwnerLimitReached};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, ErrorKind, LockBackend, LockKey, LockManager,
    Operation, OwnerId, RequestId, TransferTo, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty, NoticeFault};
use tokio::time::{sleep, timeout};

type Store = OwnerLimit<Faulty<MemoryBackend>>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn owner(name: &str) -> OwnerId {
    OwnerId::parse(name).unwrap()
}

/// A store at which alice may have two requests, her manager, and one past the limit.
fn limited() -> (Faulty<MemoryBackend>, Store, LockManager, LockManager) {
    let faulty = faulty();
    let store = OwnerLimit::new(faulty.clone(), NonZeroU32::new(2).unwrap());
    let (alice, other) = (manager(&store, "alice"), manager(&faulty, "other"));
    (faulty, store, alice, other)
}

fn count(store: &Store) -> usize {
    store.count(&owner("alice"))
}

#[tokio::test(start_paused = true)]
async fn request_beyond_the_limit_is_refused_and_not_sent() {
    let (faulty, store, alice, _) = limited();
    let (first, _second) = (alice.acquire("1").await.unwrap(), alice.acquire("2").await.unwrap());
    let sent = faulty.commands(Operation::Acquire);
    for error in [
        alice.acquire("3").wait(secs(60)).await.unwrap_err(),
        alice.try_acquire("3").await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Refused, false));
        let reached = error.source().unwrap().downcast_ref::<OwnerLimitReached>().unwrap();
        assert_eq!((&reached.owner, reached.limit.get()), (&owner("alice"), 2));
    }
    assert_eq!(faulty.commands(Operation::Acquire), sent);
    let _bob = alice.acquire("3").owner("bob").await.unwrap();
    assert_eq!((count(&store), store.count(&owner("bob"))), (2, 1));
    first.release().await.unwrap();
    drop(alice.acquire("4").await.unwrap());
    settle().await;
    assert_eq!(count(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn waiters_count_until_they_are_dropped_or_their_wait_is_over() {
    let (_, store, alice, other) = limited();
    let held = other.acquire("key").await.unwrap();
    let waits = tokio::spawn(alice.acquire("key").into_future());
    let too = tokio::spawn(alice.acquire("key").wait(secs(1)).into_future());
    waiting(&other, "key", 2).await;
    assert_eq!(alice.acquire("free").await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(too.await.unwrap().unwrap_err().kind(), ErrorKind::WaitOver);
    settle().await;
    assert_eq!(count(&store), 1);
    waits.abort();
    let _ = waits.await;
    settle().await;
    assert_eq!(count(&store), 0);
    assert!(alice.try_acquire("key").await.unwrap().guard().is_none());
    assert_eq!(count(&store), 0, "a refused attempt leaves nothing");
    held.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropped_future_counts_until_its_cancel_is_answered() {
    for fault in [Fault::AnswerHangs, Fault::Hangs] {
        let (faulty, store, alice, _) = limited();
        faulty.inject(Operation::Acquire, fault);
        faulty.inject(Operation::Cancel, Fault::Refused);
        let acquire = alice.acquire("key").ttl(Ttl::Never).into_future();
        assert!(timeout(secs(1), acquire).await.is_err());
        settle().await;
        assert_eq!(count(&store), 1, "{fault:?}");
        faulty.heal();
        sleep(secs(2)).await;
        assert_eq!(count(&store), 0, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_that_was_certainly_not_sent_does_not_count() {
    let (faulty, store, _, _) = limited();
    let key = LockKey::parse("key").unwrap();
    let request = AcquireRequest::new(RequestId::random(), key, owner("alice"));
    faulty.inject(Operation::Acquire, Fault::Refused);
    assert!(store.acquire(&request).await.is_err());
    assert_eq!(count(&store), 0);
    faulty.inject(Operation::Acquire, Fault::AnswerLost);
    assert!(store.acquire(&request).await.is_err());
    assert_eq!(count(&store), 1, "it may hold");
    faulty.heal();
    assert!(matches!(store.acquire(&request).await.unwrap().value, Acquisition::Granted(_)));
    assert_eq!(count(&store), 1, "sent again, it counts once");
    let _ = store.cancel(&CancelRequest::new(request.key, request.id)).await.unwrap();
    assert_eq!(count(&store), 0);
}

#[tokio::test(start_paused = true)]
async fn lease_that_nobody_renews_makes_room_when_it_is_over() {
    let (_, store, alice, _) = limited();
    for key in ["1", "2"] {
        drop(alice.acquire(key).ttl(secs(5)).await.unwrap().into_lease().await.unwrap());
    }
    assert_eq!(alice.acquire("3").await.unwrap_err().kind(), ErrorKind::Refused);
    sleep(secs(5)).await;
    let _guard = alice.acquire("3").await.unwrap();
    assert_eq!(count(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn renewed_lease_counts_for_as_long_as_it_is_renewed() {
    let (_, store, alice, _) = limited();
    let _one = alice.acquire("1").ttl(secs(5)).await.unwrap();
    let _two = alice.acquire("2").ttl(secs(5)).await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(alice.acquire("3").await.unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!(count(&store), 2);
}

#[tokio::test(start_paused = true)]
async fn forced_ends_make_room_with_and_without_their_notice() {
    for notices in [None, Some(NoticeFault::Lost)] {
        let (faulty, store, alice, other) = limited();
        if let Some(fault) = notices {
            faulty.inject_notices(fault);
        }
        let held = other.acquire("waited").await.unwrap();
        let guard = alice.acquire("held").ttl(secs(9)).await.unwrap();
        let waiter = tokio::spawn(alice.acquire("waited").ttl(Ttl::Never).into_future());
        waiting(&other, "waited", 1).await;
        let position = other.inspect("waited").await.unwrap().value.waiters.items[0].request;
        assert!(other.evict_waiter("waited", position, "test").await.unwrap());
        assert_eq!(other.evict_all("held", "test").await.unwrap().len(), 1);
        assert_eq!(waiter.await.unwrap().unwrap_err().kind(), ErrorKind::Ended);
        let _ = guard.lost().await;
        assert_eq!(count(&store), 0, "{notices:?}");
        drop((guard, held));
    }
}

#[tokio::test(start_paused = true)]
async fn transferred_lease_counts_for_its_receiver_alone() {
    let (_, store, alice, _) = limited();
    let guard = alice.acquire("key").await.unwrap();
    let waiter = tokio::spawn(alice.acquire("key").owner("bob").into_future());
    waiting(&alice, "key", 1).await;
    let to = alice.inspect("key").await.unwrap().value.waiters.items[0].request;
    let _lease = guard.transfer(TransferTo::Waiter(to)).await.unwrap();
    let received = waiter.await.unwrap().unwrap();
    assert_eq!((count(&store), store.count(&owner("bob"))), (0, 1));
    received.release().await.unwrap();
    assert_eq!(store.count(&owner("bob")), 0);
}

#[tokio::test(start_paused = true)]
async fn owners_that_never_return_do_not_pile_up() {
    let (_, store, _, _) = limited();
    for number in 0..5_000_u32 {
        let key = LockKey::parse(format!("key-{number}")).unwrap();
        let name = owner(&format!("owner-{number}"));
        let request = AcquireRequest::new(RequestId::random(), key, name)
            .with_ttl(Ttl::parse(secs(1)).unwrap());
        let _ = store.acquire(&request).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    let counted = (0..5_000).filter(|it| store.count(&owner(&format!("owner-{it}"))) > 0).count();
    assert!(counted <= 1_124, "{counted} of which about 100 are alive");
}

#[tokio::test(start_paused = true)]
async fn upgrade_counts_in_the_place_of_its_lease() {
    let (_, store, alice, other) = limited();
    let _held = alice.acquire("1").await.unwrap();
    let reader = alice.acquire("2").shared().ttl(Ttl::Never).await.unwrap();
    let beside = other.acquire("2").shared().await.unwrap();
    let upgrade = tokio::spawn(reader.upgrade().into_future());
    waiting(&other, "2", 1).await;
    assert_eq!(count(&store), 2);
    beside.release().await.unwrap();
    let writer = upgrade.await.unwrap().unwrap();
    settle().await;
    assert_eq!(count(&store), 2);
    assert!(alice.acquire("3").await.is_err());
    let writer = writer.upgrade().await.unwrap();
    assert_eq!(count(&store), 2);
    writer.release().await.unwrap();
    assert_eq!(count(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn upgrade_that_fails_leaves_its_lease_counted() {
    let (faulty, store, alice, other) = limited();
    let reader = alice.acquire("1").shared().await.unwrap();
    let _beside = other.acquire("1").shared().await.unwrap();
    let reader = reader.upgrade().wait(secs(1)).await.unwrap_err().guard;
    assert_eq!(count(&store), 1);
    faulty.inject(Operation::Acquire, Fault::Refused);
    let reader = reader.upgrade().wait(secs(1)).await.unwrap_err().guard;
    faulty.heal();
    assert_eq!(count(&store), 1);
    // Evicted, the lease leaves its place to the upgrade, which waits on.
    let lease = reader.lease().clone();
    let request = RequestId::random();
    let upgrade = tokio::spawn(reader.upgrade().request(request).into_future());
    waiting(&other, "1", 1).await;
    assert!(other.evict(&lease, "stuck").await.unwrap());
    drop(upgrade.await.unwrap().unwrap_err().guard);
    settle().await;
    assert_eq!(count(&store), 0);
}
