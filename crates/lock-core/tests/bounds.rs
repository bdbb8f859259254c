//! Types are `Send`, `Sync` and `'static` where they must be.

use lock_core::{Acquire, Acquisition, Error, LockGuard, LockManager, LockStore, OwnerId};

#[test]
fn types_are_send_and_sync() {
    fn bounds<T: Send + Sync + 'static>() {}
    bounds::<LockManager>();
    bounds::<LockGuard>();
    bounds::<Error>();
    bounds::<Acquisition>();
    bounds::<Acquire<lock_core::manager::Wait>>();
    bounds::<std::sync::Arc<dyn LockStore>>();
    fn future_is_send<T: Send>(_: T) {}
    let manager = LockManager::new(lock_memory::MemoryBackend::new(), OwnerId::parse("a").unwrap());
    future_is_send(async move {
        let guard = manager.acquire("key").await?;
        guard.run(async {}).await?;
        guard.release().await
    });
}
