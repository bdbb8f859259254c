//! Shared parts of the manager's tests.

#![allow(dead_code, clippy::allow_attributes, reason = "not every test binary uses everything")]

use lock_core::{LockManager, LockStore, OwnerId};
use lock_memory::MemoryBackend;
use lock_testkit::Faulty;

/// A manager for `owner` on the store.
pub(crate) fn manager(store: &(impl LockStore + Clone), owner: &str) -> LockManager {
    LockManager::new(store.clone(), OwnerId::parse(owner).expect("a valid owner"))
}

/// A store in memory that fails on command.
pub(crate) fn faulty() -> Faulty<MemoryBackend> {
    Faulty::new(MemoryBackend::new())
}

/// Lets every task run that can, without letting time pass.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// Returns when this many requests wait for the key.
pub(crate) async fn waiting(manager: &LockManager, key: &str, count: u64) {
    while manager.inspect(key).await.expect("inspect answers").value.waiting != count {
        tokio::task::yield_now().await;
    }
}
