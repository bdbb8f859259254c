//! The locks that are compared, each behind one method.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use keyed_lock::r#async::KeyedLock;
use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, Lease, LockBackend, LockKey, LockManager, OwnerId,
    Release, ReleaseRequest, RequestId, WaitRequest, Wake,
};
use lock_memory::MemoryBackend;
use lockable::LockPool;
use tokio::sync::Mutex;

/// So long that no waiter is ever dropped for its silence.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// A lock for many keys.
pub(crate) trait Contestant: Send + Sync + 'static {
    /// The name in the ids of the benchmarks.
    const NAME: &'static str;
    /// A key, prepared as a program would that uses it more than once.
    type Key: Send + Sync + 'static;

    fn new() -> Self;

    fn key(text: String) -> Self::Key;

    /// Acquires the key, does the work, and releases the key.
    fn turn<T: Send>(
        &self,
        key: &Self::Key,
        work: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send;
}

fn owner() -> OwnerId {
    OwnerId::parse("acme/infra#1234").expect("a valid owner")
}

fn lock_key(text: String) -> LockKey {
    LockKey::parse(text).expect("a valid key")
}

/// The store through its trait, with a new request for every turn.
pub(crate) struct Trait {
    store: Box<dyn LockBackend>,
    owner: OwnerId,
    keep_alive: KeepAlive,
}

impl Trait {
    async fn until_granted(&self, asked: &AcquireRequest) -> Lease {
        loop {
            match self.store.acquire(asked).await {
                Ok(Acquisition::Granted(lease)) => return lease,
                Ok(Acquisition::Queued(_)) => {}
                other => unreachable!("neither granted nor queued: {other:?}"),
            }
            let awaited = WaitRequest::new(asked.key.clone(), asked.request, PATIENCE);
            match self.store.wait(&awaited).await {
                Ok(Wake::Granted(lease)) => return lease,
                Ok(_) => {}
                Err(error) => unreachable!("no news: {error}"),
            }
        }
    }
}

impl Contestant for Trait {
    const NAME: &'static str = "trait";
    type Key = LockKey;

    fn new() -> Self {
        let keep_alive = KeepAlive::parse(PATIENCE).expect("a valid keep-alive");
        Self { store: Box::new(MemoryBackend::new()), owner: owner(), keep_alive }
    }

    fn key(text: String) -> LockKey {
        lock_key(text)
    }

    async fn turn<T: Send>(&self, key: &LockKey, work: impl Future<Output = T> + Send) -> T {
        let request = RequestId::random();
        let asked = AcquireRequest::new(request, key.clone(), self.owner.clone());
        let lease = black_box(self.until_granted(&asked.queueing(self.keep_alive)).await);
        let done = work.await;
        let answer = self.store.release(&ReleaseRequest::new(lease.key, lease.request)).await;
        assert!(matches!(answer, Ok(Release::Released)), "the lease lasted until its release");
        done
    }
}

/// The manager and its guard, over the same store.
pub(crate) struct Guard(LockManager);

impl Contestant for Guard {
    const NAME: &'static str = "guard";
    type Key = LockKey;

    fn new() -> Self {
        Self(LockManager::new(MemoryBackend::new(), owner()))
    }

    fn key(text: String) -> LockKey {
        lock_key(text)
    }

    async fn turn<T: Send>(&self, key: &LockKey, work: impl Future<Output = T> + Send) -> T {
        let guard = black_box(self.0.acquire(key.clone()).await.expect("granted"));
        let done = work.await;
        guard.release().await.expect("held until released");
        done
    }
}

/// `lockable`.
pub(crate) struct Lockable(LockPool<String>);

impl Contestant for Lockable {
    const NAME: &'static str = "lockable";
    type Key = String;

    fn new() -> Self {
        Self(LockPool::new())
    }

    fn key(text: String) -> String {
        text
    }

    async fn turn<T: Send>(&self, key: &String, work: impl Future<Output = T> + Send) -> T {
        let guard = black_box(self.0.async_lock(key.clone()).await);
        let done = work.await;
        drop(guard);
        done
    }
}

/// `keyed-lock`.
pub(crate) struct Keyed(KeyedLock<String>);

impl Contestant for Keyed {
    const NAME: &'static str = "keyed-lock";
    type Key = String;

    fn new() -> Self {
        Self(KeyedLock::new())
    }

    fn key(text: String) -> String {
        text
    }

    async fn turn<T: Send>(&self, key: &String, work: impl Future<Output = T> + Send) -> T {
        let guard = black_box(self.0.lock(key.clone()).await);
        let done = work.await;
        drop(guard);
        done
    }
}

/// What one writes without a crate: it keeps every key it ever saw.
pub(crate) struct DashmapMutex(DashMap<String, Arc<Mutex<()>>>);

impl DashmapMutex {
    fn mutex(&self, key: &String) -> Arc<Mutex<()>> {
        if let Some(mutex) = self.0.get(key) {
            return Arc::clone(&mutex);
        }
        Arc::clone(&self.0.entry(key.clone()).or_default())
    }
}

impl Contestant for DashmapMutex {
    const NAME: &'static str = "dashmap-mutex";
    type Key = String;

    fn new() -> Self {
        Self(DashMap::new())
    }

    fn key(text: String) -> String {
        text
    }

    async fn turn<T: Send>(&self, key: &String, work: impl Future<Output = T> + Send) -> T {
        let guard = black_box(self.mutex(key).lock_owned().await);
        let done = work.await;
        drop(guard);
        done
    }
}
