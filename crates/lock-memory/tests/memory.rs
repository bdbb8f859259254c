//! What a store in memory owes its process: no memory left behind, and tokens that outlive the keys.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, KeepAlive, Lease, LockBackend, LockInspector,
    LockKey, ManualClock, OwnerId, ReleaseRequest, RequestId, Timestamp, Ttl,
};
use lock_memory::MemoryBackend;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)))
}

fn ask(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("owner").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

async fn granted(store: &MemoryBackend, asked: &AcquireRequest) -> Lease {
    match store.acquire(asked).await.unwrap() {
        Acquisition::Granted(lease) => lease,
        other => panic!("expected a grant, got {other:?}"),
    }
}

async fn release(store: &MemoryBackend, lease: &Lease) {
    let held = ReleaseRequest::new(lease.key.clone(), lease.request);
    assert_eq!(store.release(&held).await.unwrap(), lock_core::Release::Released);
}

#[tokio::test]
async fn a_million_keys_leave_nothing_behind_but_higher_tokens() {
    // The clock stands still, so that tokens can only increase by being remembered.
    let store = MemoryBackend::with_clock(clock());
    let first = granted(&store, &ask("key-0")).await;
    release(&store, &first).await;
    for number in 0..1_000_000 {
        let lease = granted(&store, &ask(&format!("key-{number}"))).await;
        release(&store, &lease).await;
    }
    assert_eq!(store.keys_in_memory(), 0);
    assert!(granted(&store, &ask("key-0")).await.token > first.token);
}

#[tokio::test]
async fn waiters_leave_nothing_behind() {
    let store = MemoryBackend::with_clock(clock());
    let held = granted(&store, &ask("key")).await;
    let waiting: Vec<_> = (0..1000).map(|_| ask("key").queueing(KeepAlive::default())).collect();
    for asked in &waiting {
        assert!(matches!(store.acquire(asked).await.unwrap(), Acquisition::Queued(_)));
    }
    assert_eq!(store.waits_of(&held.owner).await.unwrap().len(), 1000);
    for asked in &waiting {
        let ended = CancelRequest::new(asked.key.clone(), asked.request);
        let _ = store.cancel(&ended).await.unwrap();
    }
    release(&store, &held).await;
    assert_eq!(store.keys_in_memory(), 0);
    assert!(store.waits_of(&held.owner).await.unwrap().is_empty());
}

#[tokio::test]
async fn forgotten_keys_are_swept_without_being_asked_for() {
    let clock = clock();
    let store = MemoryBackend::with_clock(Arc::clone(&clock));
    let ttl = Ttl::parse(Duration::from_secs(1)).unwrap();
    let mut most = 0;
    for number in 0..200_000 {
        let _ = granted(&store, &ask(&format!("key-{number}")).with_ttl(ttl)).await;
        clock.advance(Duration::from_millis(1));
        most = most.max(store.keys_in_memory());
    }
    // A thousand are alive at any time.
    assert!(most < 20_000, "{most} keys in memory");
}
