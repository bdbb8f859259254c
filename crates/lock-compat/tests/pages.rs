//! Queues and listings that are longer than one page of the lock store.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use lock_compat::conformance::lock;
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::ProjectLock;
use lock_compat::{AcquireOptions, LegacyBackend, LockAdapter};
use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, LockBackend, LockKey, LockManager, LockStore, OwnerId,
    Priority, RequestId,
};
use lock_memory::MemoryBackend;
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::RedisServer;
use tokio::task::JoinSet;

/// More than two pages of the largest size.
const MANY: u64 = 2500;

fn adapter(store: impl LockStore) -> LockAdapter {
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

/// A queue of 10,000 requests of as many pull requests, read as a whole and for one of them.
async fn assert_queue_of_ten_thousand<S: LockBackend + LockStore + Clone>(store: S) {
    const COUNT: i64 = 10_000;
    let adapter = adapter(store.clone());
    let first = lock("owner/repo", "path", "default", 0);
    adapter.try_lock(first.clone()).await.unwrap();
    let key = LockKey::parse("project:owner/repo:path:default::github.com").unwrap();
    let keep_alive = KeepAlive::parse(KeepAlive::MAX).unwrap();
    // Some at one time; the order is then that of the store.
    for begin in (1..=COUNT).step_by(500) {
        let mut sent = JoinSet::new();
        for num in begin..begin + 500 {
            let (store, key) = (store.clone(), key.clone());
            let owner = OwnerId::parse(format!("pull:github.com:owner/repo:{num}")).unwrap();
            sent.spawn(async move {
                let request = AcquireRequest::new(RequestId::random(), key, owner);
                store.acquire(&request.queueing(keep_alive)).await.unwrap().value
            });
        }
        let queued = sent.join_all().await;
        assert!(queued.iter().all(|it| matches!(it, Acquisition::Queued(_))));
    }
    let found = adapter.queues().await.unwrap();
    let [queue] = &found.queues[..] else { unreachable!("{} queues", found.queues.len()) };
    assert_eq!((queue.waiting, queue.waiters.len()), (10_000, 10_000));
    assert_eq!(queue.holder.as_ref().unwrap().lock, Some(first));
    let mut pulls = Vec::new();
    for (place, waiter) in (1..).zip(&queue.waiters) {
        assert_eq!(waiter.position, place);
        pulls.push(waiter.pull.as_ref().unwrap().num);
    }
    let last = *pulls.last().unwrap();
    pulls.sort_unstable();
    assert_eq!(pulls, (1..=COUNT).collect::<Vec<_>>());
    assert_eq!(found.statistics().waiting, 10_000);
    let found = adapter.queues_of_pull("owner/repo", last).await.unwrap();
    assert_eq!(found.queues.len(), 1);
    assert_eq!((found.queues[0].waiting, found.queues[0].waiters.len()), (10_000, 1));
    assert_eq!(found.queues[0].waiters[0].position, 10_000);
}

#[tokio::test]
async fn queue_of_ten_thousand_is_read_whole() {
    assert_queue_of_ten_thousand(MemoryBackend::new()).await;
}

#[tokio::test]
async fn queue_of_ten_thousand_in_redis_is_read_whole() {
    let server = RedisServer::start().await;
    let config = RedisConfig::parse(&server.url()).unwrap();
    assert_queue_of_ten_thousand(RedisBackend::connect(config).await.unwrap()).await;
}

/// In Atlantis and in the system that was to replace its locking, each lock was read by itself.
#[tokio::test]
async fn queues_of_many_projects_are_all_listed() {
    let adapter = adapter(MemoryBackend::new());
    let of = |number: u64, num| lock("owner/repo", &format!("path-{number:04}"), "default", num);
    for number in 0..MANY {
        adapter.try_lock(of(number, 1)).await.unwrap();
    }
    let waits: Vec<u64> = vec![0, MANY / 2, MANY - 1];
    for &number in &waits {
        let (waiting, lock): (_, ProjectLock) = (adapter.clone(), of(number, 2));
        tokio::spawn(async move { waiting.acquire(lock, &AcquireOptions::default()).await });
    }
    while adapter.queues_of_pull("owner/repo", 2).await.unwrap().queues.len() < waits.len() {
        tokio::task::yield_now().await;
    }
    let found = adapter.queues().await.unwrap();
    assert_eq!((found.queues.len() as u64, found.damaged.len()), (MANY, 0));
    let waited: Vec<_> = (0..).zip(&found.queues).filter(|(_, it)| it.waiting > 0).collect();
    assert_eq!(waited.iter().map(|(number, _)| *number).collect::<Vec<u64>>(), waits);
}
