//! The locks that are compared, each behind one method.

use std::cell::RefCell;
use std::future::poll_fn;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use keyed_lock::r#async::KeyedLock;
use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, LeaseName, LockBackend, LockKey, LockManager,
    MailboxId, Notice, NoticeStream, OwnerId, Release, ReleaseRequest, RequestId,
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

thread_local! {
    /// Mailboxes that are open and not in use, so that a turn opens none.
    static MAILBOXES: RefCell<Vec<(MailboxId, NoticeStream)>> = const { RefCell::new(Vec::new()) };
}

impl Trait {
    async fn until_granted(
        &self,
        request: &AcquireRequest,
        notices: &mut NoticeStream,
    ) -> LeaseName {
        match self.store.acquire(request).await.map(|reply| reply.value) {
            Ok(Acquisition::Granted(lease)) => return lease.name(),
            Ok(Acquisition::Queued(_)) => {}
            other => unreachable!("neither granted nor queued: {other:?}"),
        }
        loop {
            let notice = poll_fn(|cx| notices.as_mut().poll_next(cx)).await;
            if let Some(Notice::Granted(grant)) = notice
                && grant.request == request.id
            {
                return LeaseName::new(grant.key, grant.request, grant.token);
            }
        }
    }
}

impl Contestant for Trait {
    const NAME: &'static str = "trait";
    type Key = LockKey;

    fn new() -> Self {
        MAILBOXES.take();
        let keep_alive = KeepAlive::parse(PATIENCE).expect("a valid keep-alive");
        Self { store: Box::new(MemoryBackend::new()), owner: owner(), keep_alive }
    }

    fn key(text: String) -> LockKey {
        lock_key(text)
    }

    async fn turn<T: Send>(&self, key: &LockKey, work: impl Future<Output = T> + Send) -> T {
        let open = MAILBOXES.with_borrow_mut(Vec::pop);
        let (mailbox, mut notices) = match open {
            Some(open) => open,
            None => {
                let mailbox = MailboxId::random();
                (mailbox, self.store.listen(mailbox).await.expect("a mailbox"))
            }
        };
        let request = AcquireRequest::new(RequestId::random(), key.clone(), self.owner.clone())
            .queueing(self.keep_alive)
            .with_mailbox(mailbox);
        let lease = black_box(self.until_granted(&request, &mut notices).await);
        let done = work.await;
        let reply = self.store.release(&ReleaseRequest::new(lease)).await;
        let is_released = reply.is_ok_and(|reply| reply.value == Release::Released);
        assert!(is_released, "the lease lasted until its release");
        MAILBOXES.with_borrow_mut(|open| open.push((mailbox, notices)));
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

/// The hand-written alternative, which keeps every key forever.
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
