//! The front: one type for programs that take turns, over any store.

mod acquire;
mod acquire_all;
mod acquire_lease;
mod admin;
mod agenda;
mod attempt;
mod backoff;
mod bounded;
mod clock_bound;
mod config;
mod deadlock;
mod guard;
mod guard_error;
mod handover;
mod lease_validity;
mod life;
mod listing;
mod lock_set;
mod mailbox;
mod meters;
mod notification;
mod pending_request;
mod planted;
mod queue;
mod reentry;
mod releaser;
mod renewal;
mod retry_policy;
mod rounds;
mod session;
mod sessions;
mod successor;
mod upgrade;
mod waiter_entry;
mod waiter_registry;
mod wanted;

pub use acquire::{Acquire, Try, Wait};
pub use acquire_all::AcquireAll;
pub use attempt::Attempt;
pub use config::ManagerConfig;
pub use deadlock::{DeadlockPolicy, VictimChoice};
pub use guard::LockGuard;
pub use guard_error::GuardError;
pub use listing::LeaseStream;
pub use lock_set::LockSet;
#[cfg(feature = "test-util")]
pub use planted::{ManagerFault, plant};
pub use retry_policy::RetryPolicy;
pub use session::Session;
pub use upgrade::Upgrade;
pub use wanted::Wanted;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::{InvalidInput, LockKey, LockStore, MailboxId, Operation, OwnerId, Result};
use life::{Life, Task};
use mailbox::Mailbox;
use meters::Meters;
#[cfg(not(feature = "test-util"))]
use planted::ManagerFault;
use reentry::Reentries;
use renewal::Renewals;
use sessions::Sessions;
use waiter_registry::WaiterRegistry;

/// Takes turns on named keys, for one owner, on any store.
///
/// It queues and waits without polling, renews leases in batches, detects losses before the store
/// grants the key to another request, and releases what is dropped. Clones share this state. Create
/// one manager per process or per pull request, not one per key.
///
/// Its tasks run on the tokio runtime that was current at construction, or the one given to
/// [`with_runtime`](Self::with_runtime), or else that of the first request. It may be used from any
/// runtime. Once that runtime is gone, requests fail with
/// [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown), guards end at their deadlines, and unsent
/// releases are logged and counted. A current-thread runtime must be driven: leases are renewed
/// only inside its `block_on`.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use lock_core::{LockManager, OwnerId, Priority};
/// use lock_memory::MemoryBackend;
///
/// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("deploy-7")?);
/// let guard = manager
///     .acquire("acme/infra/prod")
///     .priority(Priority::High)
///     .ttl(Duration::from_secs(30))
///     .wait(Duration::from_secs(600))
///     .await?;
/// let applied = guard.run(async { "applied" }).await?;
/// assert_eq!(applied, "applied");
/// guard.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LockManager {
    shared: Arc<Shared>,
}

/// State shared by the clones of a manager, its guards and its pending requests.
#[derive(Debug)]
struct Shared {
    store: Arc<dyn LockStore>,
    owner: OwnerId,
    config: ManagerConfig,
    meters: Arc<Meters>,
    renewals: Arc<Renewals>,
    waiters: Arc<WaiterRegistry>,
    mailbox: Arc<Mailbox>,
    life: Arc<Life>,
    /// Requests that are pending or being released.
    tracker: TaskTracker,
    sessions: Arc<Sessions>,
    reentries: Arc<Reentries>,
    /// Number of releases abandoned before they reached the store.
    unreleased: AtomicUsize,
}

/// Outcome of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Number of guards that were still in use; they are [lost](crate::LossReason::ShutDown).
    pub in_use: usize,
    /// Number of leases and requests whose release did not reach the store: they expire by their
    /// ttl or keep-alive.
    pub unreleased: usize,
}

impl LockManager {
    /// A manager for `owner` on `store`, with the usual settings.
    #[must_use]
    pub fn new(store: impl LockStore, owner: OwnerId) -> Self {
        Self::with_config(store, owner, ManagerConfig::default())
    }

    /// A manager for `owner` on `store`, with these settings.
    #[must_use]
    pub fn with_config(store: impl LockStore, owner: OwnerId, config: ManagerConfig) -> Self {
        Self::with_life(Arc::new(store), owner, config, Life::new())
    }

    /// The same manager with tasks that live in `runtime`. Other clones keep theirs.
    #[must_use]
    pub fn with_runtime(self, runtime: Handle) -> Self {
        self.with_new_life(Life::in_runtime(runtime))
    }

    /// The same manager with tasks that `spawn` starts, each of them once.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn with_spawner(self, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        self.with_new_life(Life::with_spawner(Arc::new(spawn)))
    }

    fn with_new_life(self, life: Life) -> Self {
        let Shared { store, owner, config, .. } = &*self.shared;
        Self::with_life(Arc::clone(store), owner.clone(), config.clone(), life)
    }

    fn with_life(
        store: Arc<dyn LockStore>,
        owner: OwnerId,
        config: ManagerConfig,
        life: Life,
    ) -> Self {
        let (id, longest) = (MailboxId::random(), config.operation_timeout.span());
        let meters = Arc::new(Meters::new());
        let told_of = Arc::clone(&meters);
        let renewals = Arc::new(Renewals::new(Arc::clone(&store), id, longest, told_of));
        let waiters = Arc::new(WaiterRegistry::new(Arc::clone(&store), id, longest));
        let (told, looked_after) = (Arc::clone(&waiters), Arc::clone(&renewals));
        let mailbox = Mailbox::new(id, Arc::clone(&store), told, looked_after, longest);
        let shared = Shared {
            store,
            owner,
            config,
            meters,
            renewals,
            waiters,
            mailbox: Arc::new(mailbox),
            life: Arc::new(life),
            tracker: TaskTracker::new(),
            sessions: Arc::default(),
            reentries: Arc::default(),
            unreleased: AtomicUsize::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// For whom this manager acquires.
    #[must_use]
    pub fn owner(&self) -> &OwnerId {
        &self.shared.owner
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &ManagerConfig {
        &self.shared.config
    }

    /// Requests a key, and waits in the queue until it is granted.
    ///
    /// The returned builder is configured and then awaited. Values outside their limits are
    /// reported when it is awaited.
    ///
    /// # Cancel safety
    /// If dropped, the request leaves the queue, and a lease granted meanwhile is released in the
    /// background.
    ///
    /// # Panics
    /// Awaited outside of a tokio runtime.
    pub fn acquire<K>(&self, key: K) -> Acquire<Wait>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        Acquire::new(self.clone(), key)
    }

    /// Requests a key once: it is granted now or not at all.
    ///
    /// # Cancel safety
    /// If dropped, a lease granted meanwhile is released in the background.
    ///
    /// # Panics
    /// Awaited outside of a tokio runtime.
    pub fn try_acquire<K>(&self, key: K) -> Acquire<Try>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        Acquire::new(self.clone(), key)
    }

    /// Acquires a key, runs the work under its lease, and releases the lease on every path before
    /// returning. This is the recommended way to lock.
    ///
    /// When the lease is lost, the work is dropped at once. [`Acquire::hold`] does the same for a
    /// request that was set up further.
    ///
    /// # Errors
    /// Errors of the acquire; [`ErrorKind::Lost`](crate::ErrorKind::Lost), with the
    /// [reason](crate::Error::loss), when the lease was lost before the work completed. An
    /// unanswered release is not an error: the work has completed, and the release is retried in
    /// the background.
    ///
    /// # Cancel safety
    /// Dropped, it drops the work, and gives the lease back in the background.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use lock_core::{LockManager, OwnerId};
    /// # use lock_memory::MemoryBackend;
    /// # async fn apply(token: u64) -> Result<&'static str, std::io::Error> { Ok("applied") }
    /// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("deploy-7")?);
    /// let applied = manager
    ///     .hold("acme/infra/prod", async |guard| apply(guard.token().get()).await)
    ///     .await??;
    /// assert_eq!(applied, "applied");
    /// manager.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn hold<K, T, W>(&self, key: K, work: W) -> Result<T>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        W: AsyncFnOnce(&LockGuard) -> T,
    {
        self.acquire(key).hold(work).await
    }

    /// Rejects new requests, ends pending ones, waits until every guard is released and the store
    /// has received every release, and stops the tasks of the manager.
    ///
    /// Requests that wait end in [`ErrorKind::ShutDown`](crate::ErrorKind::ShutDown). Guards in use
    /// are renewed meanwhile; lost guards, and leases that were taken out of their guards, do not
    /// count. It takes no longer than [`shutdown_timeout`](ManagerConfig::shutdown_timeout): the
    /// report has what is left then, and its releases are still sent while the runtime lives. A
    /// request that is neither awaited nor dropped meanwhile is waited for as well: drop it first.
    ///
    /// # Cancel safety
    /// New requests stay refused; call it again to continue waiting.
    pub async fn shutdown(&self) -> ShutdownReport {
        let Shared { renewals, tracker, life, config, unreleased, .. } = &*self.shared;
        let until = Instant::now() + config.shutdown_timeout.span();
        life.close();
        tracker.close();
        // A dropped guard leaves a release, and a request that was sent before may become a guard.
        let all = async {
            loop {
                renewals.until_drained().await;
                tracker.wait().await;
                if renewals.is_drained() && tracker.is_empty() {
                    break;
                }
            }
        };
        // Without a runtime, no task is left to do more.
        if planted::has(ManagerFault::ShutdownWaits) {
            all.await;
        } else if !life.is_orphaned() {
            let _ = timeout_at(until, all).await;
        }
        let in_use = renewals.abandon();
        let unreleased = unreleased.load(Ordering::SeqCst) + tracker.len();
        life.stop();
        ShutdownReport { in_use, unreleased }
    }
}

impl fmt::Debug for LockManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockManager")
            .field("owner", &self.shared.owner)
            .field("store", &self.shared.store)
            .finish_non_exhaustive()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.life.stop();
    }
}

impl Shared {
    /// The tasks of the manager.
    fn tasks(&self) -> Vec<Task> {
        vec![
            Box::pin(rounds::keep(Arc::clone(&self.renewals))),
            Box::pin(rounds::keep(Arc::clone(&self.waiters))),
            Box::pin(Arc::clone(&self.mailbox).read()),
        ]
    }
}

/// Token that delays [`LockManager::shutdown`] for one request: from the call until the grant, and
/// from the drop until the release reached the store.
#[derive(Debug)]
struct TrackerToken {
    shared: Arc<Shared>,
    _token: TaskTrackerToken,
}

impl TrackerToken {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared), _token: shared.tracker.token() }
    }

    /// Enters a request, and starts the tasks for the first.
    fn enter(shared: &Arc<Shared>, operation: Operation) -> Result<Self> {
        let tracker = Self::new(shared);
        shared.life.start(operation, || shared.tasks())?;
        Ok(tracker)
    }
}

impl Clone for TrackerToken {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}
