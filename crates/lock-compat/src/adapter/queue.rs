//! What Atlantis does not have: priorities, waiting, places in the queue, and handing on.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{ErrorKind, LockKey, OwnerId, Priority, Transfer, TransferTo, Ttl};
use tokio::sync::Notify;

use super::locks::{metadata, read};
use super::view::Standing;
use super::{LockAdapter, MOST_ATTEMPTS, name};
use crate::legacy::{Project, ProjectLock, PullRequest, Stored};
use crate::{LegacyError, Result};

/// How a project is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireOptions {
    /// How much earlier than its arrival the pull request ranks.
    pub priority: Priority,
    /// How long it waits at the most; `None` is as long as it takes.
    pub wait: Option<Duration>,
    /// How long a queue it joins at the most, itself included; `None` is any.
    pub queue_limit: Option<NonZeroU32>,
}

impl AcquireOptions {
    /// The same with this priority.
    #[must_use]
    pub fn with_priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// The same, waiting this long at the most.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// The same, joining no longer queue than this.
    #[must_use]
    pub fn with_queue_limit(self, queue_limit: NonZeroU32) -> Self {
        Self { queue_limit: Some(queue_limit), ..self }
    }
}

/// Where a pull request stands in the queue of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuePlace {
    /// Its place, 1 being the next.
    pub position: u64,
    /// How many wait.
    pub waiting: u64,
    /// The lock that it waits for the end of; `None` while the project is handed on.
    pub holder: Option<ProjectLock>,
}

impl LockAdapter {
    /// Locks a project as soon as it is the pull request's turn.
    ///
    /// # Errors
    /// [`NotAcquired`](LegacyError::NotAcquired), with the place and the holder behind it, when the
    /// time is up or the queue is too long; [`Cancelled`](LegacyError::Cancelled) after
    /// [`cancel_wait`](Self::cancel_wait); and when the lock cannot be kept or the store failed.
    ///
    /// # Cancel safety
    /// A dropped call leaves the queue, and unlocks if its turn had come.
    pub async fn acquire(
        &self,
        lock: ProjectLock,
        options: &AcquireOptions,
    ) -> Result<ProjectLock> {
        let key = name::key(&lock.project, &lock.workspace)?;
        let owner = name::owner(&lock.pull)?;
        let stored = Stored::new(lock);
        let mut request = self.manager().acquire(key.clone()).ttl(Ttl::Never);
        request = request.owner(owner.clone()).metadata(metadata(&stored)?);
        request = request.priority(options.priority);
        if let Some(wait) = options.wait {
            request = request.wait(wait);
        }
        if let Some(limit) = options.queue_limit {
            request = request.queue_limit(limit);
        }
        let wait = self.0.waits.begin(key, owner);
        tokio::select! {
            biased;
            () = wait.cancelled.notified() => Err(LegacyError::Cancelled),
            guard = request => match guard {
                Ok(guard) => {
                    self.keep(guard).await?;
                    Ok(stored.into_value())
                }
                Err(error) if is_in_vain(&error) => Err(LegacyError::NotAcquired(error)),
                Err(error) => Err(error.into()),
            },
        }
    }

    /// Shows where a pull request stands in the queue of a project; `None` when it does not wait.
    ///
    /// # Errors
    /// When the holder's lock cannot be read, or the store failed.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn queue_place(
        &self,
        project: &Project,
        workspace: &str,
        pull: &PullRequest,
    ) -> Result<Option<QueuePlace>> {
        let (key, owner) = (name::key(project, workspace)?, name::owner(pull)?);
        let Some(Standing { position, waiting, holder }) = self.standing(key, &owner).await? else {
            return Ok(None);
        };
        let holder = holder.as_ref().map(read).transpose()?.map(Stored::into_value);
        Ok(Some(QueuePlace { position, waiting, holder }))
    }

    /// Ends the wait of a pull request for a project, whose [`acquire`](Self::acquire) is a call of
    /// this adapter or a clone; `false` when there is none.
    #[must_use]
    pub fn cancel_wait(&self, project: &Project, workspace: &str, pull: &PullRequest) -> bool {
        let (Ok(key), Ok(owner)) = (name::key(project, workspace), name::owner(pull)) else {
            // What has no name does not wait.
            return false;
        };
        self.0.waits.cancel(&key, &owner)
    }

    /// Hands a project from the pull request that locked it to the next in its queue, and answers
    /// with the new lock; `None` when nobody has locked it or nobody waits.
    ///
    /// Who watches the lock store sees one event with both leases, each with the lock and the
    /// author of the pull request.
    ///
    /// # Errors
    /// When the new lock cannot be read, or the store failed.
    ///
    /// # Cancel safety
    /// A dropped call may have happened.
    pub async fn transfer_to_next(
        &self,
        project: &Project,
        workspace: &str,
    ) -> Result<Option<ProjectLock>> {
        let key = name::key(project, workspace)?;
        for _ in 0..MOST_ATTEMPTS {
            let (Some(lease), Some(next)) = self.head(&key).await? else { return Ok(None) };
            let transfer = self.manager().transfer(&lease, TransferTo::Waiter(next.request));
            // Otherwise the holder unlocked, or the waiter left, since they were seen.
            if let Transfer::Transferred(lease) = transfer.await? {
                return Ok(Some(read(&lease)?.into_value()));
            }
        }
        Err(LegacyError::Contended { key: key.to_string() })
    }
}

/// Whether a wait ended without the lock although the request had a position in the queue. The store
/// may have been silent when the time was up.
fn is_in_vain(error: &lock_core::Error) -> bool {
    use ErrorKind::{Ended, QueueFull, Unavailable, WaitOver};
    let is_in_vain = matches!(error.kind(), WaitOver | Unavailable | QueueFull | Ended);
    is_in_vain && error.position().is_some()
}

/// Who waits through this adapter.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Vec<Arc<Wait>>>);

#[derive(Debug)]
struct Wait {
    key: LockKey,
    owner: OwnerId,
    cancelled: Notify,
}

/// One who waits, until dropped.
struct Waiting<'a> {
    waits: &'a Waits,
    wait: Arc<Wait>,
}

impl std::ops::Deref for Waiting<'_> {
    type Target = Wait;
    fn deref(&self) -> &Wait {
        &self.wait
    }
}

impl Waits {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Wait>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, key: LockKey, owner: OwnerId) -> Waiting<'_> {
        let wait = Arc::new(Wait { key, owner, cancelled: Notify::new() });
        self.all().push(Arc::clone(&wait));
        Waiting { waits: self, wait }
    }

    fn cancel(&self, key: &LockKey, owner: &OwnerId) -> bool {
        let all = self.all();
        let mut meant = all.iter().filter(|wait| wait.key == *key && wait.owner == *owner);
        // Who was told already and has not looked yet is told twice.
        meant.by_ref().map(|wait| wait.cancelled.notify_one()).count() > 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waits.all().retain(|wait| !Arc::ptr_eq(wait, &self.wait));
    }
}
