//! The manager over the store in memory: getting, keeping, losing and giving back.

use std::time::Duration;

use lock_core::{LockManager, OwnerId};
use lock_memory::MemoryBackend;

fn manager(store: &MemoryBackend, owner: &str) -> LockManager {
    LockManager::new(store.clone(), OwnerId::parse(owner).unwrap())
}

#[tokio::test(start_paused = true)]
async fn waiter_is_granted_upon_release() {
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let waiting = tokio::spawn(async move { bob.acquire("key").wait(Duration::from_secs(60)).await });
    while alice.inspect("key").await.unwrap().waiting == 0 {
        tokio::task::yield_now().await;
    }
    held.release().await.unwrap();
    let guard = waiting.await.unwrap().unwrap();
    assert_eq!(alice.inspect("key").await.unwrap().leases[0].owner.as_str(), "bob");
    guard.release().await.unwrap();
}
