//! The front: one type for programs that take turns, over any store.

mod acquire;
mod backoff;
mod bounded;
mod config;
mod departure;
mod evidence;
mod guard;
mod hold;
mod mailbox;
mod operate;
mod pending;
mod queue;
mod renewal;
mod schedule;

pub use acquire::{Acquire, Attempt, Once, Queueing};
pub use config::ManagerConfig;
pub use guard::LockGuard;
pub use hold::LossReason;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::{Error, ErrorKind, InvalidInput, LockKey, LockStore, Operation, OwnerId, Result};
use departure::Departure;
use mailbox::Mailbox;
use renewal::Renewals;

/// Takes turns on named keys, for one owner, on any store.
///
/// It queues and waits without polling, renews what it holds in batches, notices losses before the
/// store gives the key to another, and gives back what is dropped. Clones share all of that. Make
/// one for each process or each pull request, not one for each key.
///
/// Its tasks run in the tokio runtime in which it acquires. When that ends, what it held is no
/// longer renewed; the next request starts the tasks again, in the runtime that it is made in.
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

/// What the clones of a manager, its guards and its pending requests share.
struct Shared {
    store: Arc<dyn LockStore>,
    owner: OwnerId,
    config: ManagerConfig,
    renewals: Arc<Renewals>,
    mailbox: Arc<Mailbox>,
    /// The way to the task that sees departures off; none before the first request and after the
    /// shutdown.
    departures: Mutex<Option<mpsc::UnboundedSender<Departure>>>,
    closed: AtomicBool,
    closing: Notify,
    /// How many requests are pending, held or being given back.
    stays: AtomicUsize,
    left: Notify,
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
        let shared = Shared {
            store: Arc::new(store),
            owner,
            config,
            renewals: Arc::default(),
            mailbox: Arc::new(Mailbox::new()),
            departures: Mutex::new(None),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
            stays: AtomicUsize::new(0),
            left: Notify::new(),
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

    /// Asks for a key, and waits in the queue until it is granted.
    ///
    /// What is returned is set up further and then awaited. A value outside its limits is reported
    /// when it is awaited.
    ///
    /// # Cancel safety
    /// Dropped at any time, it leaves the queue, and gives back what it was granted meanwhile, in
    /// the background.
    ///
    /// # Panics
    /// Awaited outside of a tokio runtime.
    pub fn acquire<K>(&self, key: K) -> Acquire<Queueing>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        Acquire::new(self.clone(), key)
    }

    /// Asks for a key once: it is granted now or not at all.
    ///
    /// # Cancel safety
    /// Dropped at any time, it gives back what it was granted meanwhile, in the background.
    ///
    /// # Panics
    /// Awaited outside of a tokio runtime.
    pub fn try_acquire<K>(&self, key: K) -> Acquire<Once>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        Acquire::new(self.clone(), key)
    }

    /// Refuses new requests, ends those that wait, waits until every guard was released or dropped
    /// and the store was told, and ends the tasks of the manager.
    ///
    /// Requests that wait end in [`ErrorKind::ShutDown`]. Guards that live on are looked after meanwhile: put a time-out around it if there may be
    /// such. Leases that were taken out of their guards do not count.
    ///
    /// # Cancel safety
    /// New requests stay refused; call it again to wait on.
    pub async fn shutdown(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.closing.notify_waiters();
        loop {
            let left = self.shared.left.notified();
            if self.shared.stays.load(Ordering::SeqCst) == 0 {
                break;
            }
            left.await;
        }
        self.shared.renewals.stop();
        *self.shared.departures() = None;
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
        self.renewals.stop();
    }
}

/// The presence of one request in a manager: from the moment it is asked for until the store was
/// told that it is over. It moves from the pending request to the guard to the departure, and
/// [`LockManager::shutdown`] waits for the last to go.
struct Stay {
    shared: Arc<Shared>,
}

impl Stay {
    /// Enters a request.
    fn enter(shared: &Arc<Shared>, operation: Operation) -> Result<Self> {
        shared.stays.fetch_add(1, Ordering::SeqCst);
        let stay = Self { shared: Arc::clone(shared) };
        if shared.closed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::ShutDown, operation));
        }
        shared.start();
        Ok(stay)
    }
}

impl Clone for Stay {
    fn clone(&self) -> Self {
        self.shared.stays.fetch_add(1, Ordering::SeqCst);
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.shared.stays.fetch_sub(1, Ordering::SeqCst);
        if self.shared.closed.load(Ordering::SeqCst) {
            self.shared.left.notify_waiters();
        }
    }
}

impl Shared {
    /// Starts the tasks of the manager, if they do not run.
    fn start(&self) {
        let mut departures = self.departures();
        if departures.as_ref().is_some_and(|departures| !departures.is_closed()) {
            return;
        }
        let limit = self.config.operation_timeout;
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(departure::see_off(receiver));
        tokio::spawn(renewal::keep(self.renewals.clone(), self.store.clone(), limit));
        let (mailbox, renewals) = (self.mailbox.clone(), self.renewals.clone());
        tokio::spawn(mailbox::read(mailbox, renewals, self.store.clone()));
        *departures = Some(sender);
    }

    fn departures(&self) -> MutexGuard<'_, Option<mpsc::UnboundedSender<Departure>>> {
        self.departures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the manager is being shut down.
    async fn until_closed(&self) {
        loop {
            let closing = self.closing.notified();
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            closing.await;
        }
    }
}
