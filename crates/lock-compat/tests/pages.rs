//! Queues and listings that are longer than one page of the lock store.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::{AcquireOptions, LegacyBackend, LockAdapter};
use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, LockBackend, LockKey, LockManager, OwnerId, Priority,
    RequestId,
};
use lock_memory::MemoryBackend;

/// More than two pages of the largest size.
const MANY: u64 = 2500;

fn adapter(store: MemoryBackend) -> LockAdapter {
    let owner = OwnerId::parse("atlantis").unwrap();
    LockAdapter::new(LockManager::new(store, owner), MemoryDocuments::new())
}

#[tokio::test(start_paused = true)]
async fn position_behind_many_waiters_is_found() {
    let store = MemoryBackend::new();
    let adapter = adapter(store.clone());
    let [first, last] = [1, 2].map(|num| lock("owner/repo", "path", "default", num));
    adapter.try_lock(first.clone()).await.unwrap();
    let key = LockKey::parse("project:owner/repo:path:default::github.com").unwrap();
    for number in 0..MANY {
        let owner = OwnerId::parse(format!("waiter-{number}")).unwrap();
        let request = AcquireRequest::new(RequestId::random(), key.clone(), owner);
        let acquisition = store.acquire(&request.queueing(KeepAlive::default())).await.unwrap();
        assert!(matches!(acquisition.value, Acquisition::Queued(_)));
    }
    let options = AcquireOptions::default().with_priority(Priority::Low);
    let waiting = adapter.clone();
    let (project, pull) = (last.project.clone(), last.pull.clone());
    let task = tokio::spawn(async move { waiting.acquire(last, &options).await });
    let manager = adapter.manager();
    while manager.inspect(key.clone()).await.unwrap().value.waiting == MANY {
        tokio::task::yield_now().await;
    }
    let place = adapter.queue_position(&project, "default", &pull).await.unwrap().unwrap();
    assert_eq!((place.position, place.waiting), (MANY + 1, MANY + 1));
    assert_eq!(place.holder, Some(first));
    assert!(!task.is_finished());
}

#[tokio::test(start_paused = true)]
async fn many_locks_are_all_listed_and_unlocked() {
    let adapter = adapter(MemoryBackend::new());
    let others = lock("owner/repo", "of-another-pull-request", "default", 2);
    adapter.try_lock(others.clone()).await.unwrap();
    for number in 0..MANY {
        let lock = lock("owner/repo", &format!("path-{number}"), "default", 1);
        assert!(adapter.try_lock(lock).await.unwrap().0);
    }
    let listing = adapter.list().await.unwrap();
    assert_eq!((listing.locks.len() as u64, listing.damaged.len()), (MANY + 1, 0));
    let unlocked = adapter.unlock_by_pull("owner/repo", 1).await.unwrap();
    assert_eq!(unlocked.locks.len() as u64, MANY);
    assert_eq!(adapter.list().await.unwrap().locks, [others]);
}
