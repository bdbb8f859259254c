//! The manager whose calls block.

use std::sync::Arc;
use std::time::Duration;

use super::acquire::Acquire;
use super::background::Background;
use super::guard::LockGuard;
use crate::manager::{LockManager as AsyncManager, ManagerConfig, ShutdownReport, Try, Wait};
use crate::{
    Capabilities, Error, Health, Inspection, InvalidInput, Lease, ListQuery, LockKey, LockStore,
    Operation, OwnerId, Page, Reason, RequestId, Result, Timed, Transfer, TransferTo, Waiter,
    WaitsQuery,
};

/// Takes turns on named keys for one owner, with calls that block.
///
/// It does what [`crate::LockManager`] does, in a thread of its own. Clones share it; threads may
/// use it at the same time. See [the module](super) on runtimes, losses and the end of a program.
#[derive(Clone, Debug)]
pub struct LockManager {
    background: Arc<Background>,
}

impl LockManager {
    /// A manager for `owner` on `store`, with the usual settings.
    ///
    /// # Errors
    /// As [`with_config`](Self::with_config).
    pub fn new(store: impl LockStore, owner: OwnerId) -> Result<Self> {
        Self::with_config(store, owner, ManagerConfig::default())
    }

    /// A manager for `owner` on `store`, with these settings.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when the system refuses the
    /// thread; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) inside a tokio runtime.
    pub fn with_config(
        store: impl LockStore,
        owner: OwnerId,
        config: ManagerConfig,
    ) -> Result<Self> {
        Self::connect(owner, config, async || Ok(store))
    }

    /// A manager for `owner` on the store that `connect` makes, for stores that connect by async
    /// code: their connections live in the thread of the manager.
    ///
    /// # Errors
    /// Errors of `connect`; otherwise as [`with_config`](Self::with_config).
    pub fn connect<S, F>(owner: OwnerId, config: ManagerConfig, connect: F) -> Result<Self>
    where
        S: LockStore,
        F: AsyncFnOnce() -> Result<S>,
    {
        let manager = async || Ok(AsyncManager::with_config(connect().await?, owner, config));
        Ok(Self { background: Background::start(manager)? })
    }

    /// For whom this manager acquires.
    #[must_use]
    pub fn owner(&self) -> &OwnerId {
        self.manager().owner()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ManagerConfig {
        self.manager().config()
    }

    /// Requests a key, and waits in the queue until it is granted: set it up further, then
    /// [`send`](Acquire::send) it.
    pub fn acquire<K>(&self, key: K) -> Acquire<Wait>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        Acquire::new(self.manager().acquire(key), &self.background)
    }

    /// Requests a key once: it is granted now or not at all.
    pub fn try_acquire<K>(&self, key: K) -> Acquire<Try>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        Acquire::new(self.manager().try_acquire(key), &self.background)
    }

    /// Acquires a key, does the work under its lease, and releases the lease on every path before
    /// returning; after a panic of the work, in the background. This is the recommended way to lock.
    ///
    /// # Errors
    /// As [`Acquire::hold`].
    pub fn hold<K, T>(&self, key: K, work: impl FnOnce(&LockGuard) -> T) -> Result<T>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        self.acquire(key).hold(work)
    }

    /// As [`crate::LockManager::inspect`].
    ///
    /// # Errors
    /// The same.
    pub fn inspect<K>(&self, key: K) -> Result<Timed<Inspection>>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        self.background.block_on(Operation::Inspect, self.manager().inspect(key))
    }

    /// As [`crate::LockManager::list`].
    ///
    /// # Errors
    /// The same.
    pub fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.background.block_on(Operation::List, self.manager().list(query))
    }

    /// As [`crate::LockManager::waits_of`].
    ///
    /// # Errors
    /// The same.
    pub fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.background.block_on(Operation::WaitsOf, self.manager().waits_of(query))
    }

    /// As [`crate::LockManager::health`].
    ///
    /// # Errors
    /// The same.
    pub fn health(&self) -> Result<Health> {
        self.background.block_on(Operation::Health, self.manager().health())
    }

    /// Returns the capabilities of the store.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.manager().capabilities()
    }

    /// As [`crate::LockManager::transfer`].
    ///
    /// # Errors
    /// The same.
    pub fn transfer(&self, lease: &Lease, to: TransferTo) -> Result<Transfer> {
        self.background.block_on(Operation::Transfer, self.manager().transfer(lease, to))
    }

    /// As [`crate::LockManager::release_lease`].
    ///
    /// # Errors
    /// The same.
    pub fn release_lease(&self, lease: &Lease) -> Result<bool> {
        self.background.block_on(Operation::Release, self.manager().release_lease(lease))
    }

    /// As [`crate::LockManager::evict`].
    ///
    /// # Errors
    /// The same.
    pub fn evict<R>(&self, lease: &Lease, reason: R) -> Result<bool>
    where
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        self.background.block_on(Operation::Evict, self.manager().evict(lease, reason))
    }

    /// As [`crate::LockManager::evict_waiter`].
    ///
    /// # Errors
    /// The same.
    pub fn evict_waiter<K, R>(&self, key: K, request: RequestId, reason: R) -> Result<bool>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let evicting = self.manager().evict_waiter(key, request, reason);
        self.background.block_on(Operation::Evict, evicting)
    }

    /// As [`crate::LockManager::evict_all`].
    ///
    /// # Errors
    /// The same.
    pub fn evict_all<K, R>(&self, key: K, reason: R) -> Result<Vec<Lease>>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        self.background.block_on(Operation::Evict, self.manager().evict_all(key, reason))
    }

    /// As [`crate::LockManager::request_release`].
    ///
    /// # Errors
    /// The same.
    pub fn request_release<K, R>(&self, key: K, within: Duration, why: R) -> Result<bool>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let asking = self.manager().request_release(key, within, why);
        self.background.block_on(Operation::RequestRelease, asking)
    }

    /// As [`crate::LockManager::adopt`].
    ///
    /// # Errors
    /// The same.
    pub fn adopt(&self, lease: &Lease) -> Result<LockGuard> {
        let guard = self.background.block_on(Operation::Adopt, self.manager().adopt(lease))?;
        Ok(LockGuard::new(guard, &self.background))
    }

    /// Rejects new requests, ends pending ones, and waits until every guard is released and the
    /// store has received every release, for at most the
    /// [`shutdown_timeout`](ManagerConfig::shutdown_timeout). See [`crate::LockManager::shutdown`].
    ///
    /// A guard that the calling thread itself holds meanwhile is not released by anybody: it is
    /// waited for in vain.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) inside a tokio runtime.
    pub fn shutdown(&self) -> Result<ShutdownReport> {
        let shutdown = async { Ok::<_, Error>(self.manager().shutdown().await) };
        self.background.block_on(Operation::Release, shutdown)
    }

    fn manager(&self) -> &AsyncManager {
        self.background.manager()
    }
}
