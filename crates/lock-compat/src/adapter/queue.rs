//! Extensions of Atlantis: priorities, waiting, queue positions and transfers.

use std::num::NonZeroU32;
use std::time::Duration;

use lock_core::{
    End, ErrorKind, Lease, LockKey, OwnerId, Priority, RequestId, Transfer, TransferTo, Ttl, Waiter,
};
use tokio::time::sleep;

use super::load::{metadata, read};
use super::view::WaiterPosition;
use super::{LockAdapter, MOST_ATTEMPTS, name};
use crate::legacy::{LegacyKey, Project, ProjectLock, PullRequest, Stored};
use crate::{LegacyError, Result};

/// Why a request is taken out of the queue whose pull request waits no more.
const CANCELLED: &str = "cancelled";
/// The interval between checks whether another request of the same pull request holds.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Options for acquiring a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireOptions {
    /// Priority of the pull request.
    pub priority: Priority,
    /// Maximum wait; `None` for no limit.
    pub wait: Option<Duration>,
    /// Maximum queue length to join, itself included; `None` for no limit.
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
pub struct ProjectQueuePosition {
    /// Its place, 1 being the next.
    pub position: u64,
    /// Number of waiters.
    pub waiting: u64,
    /// The lock that it waits for the end of; `None` while the project is handed on.
    pub holder: Option<ProjectLock>,
}

impl LockAdapter {
    /// Locks a project as soon as it is the pull request's turn. One that has locked it already goes
    /// on with the lock that it has, as in Atlantis.
    ///
    /// # Errors
    /// [`NotAcquired`](LegacyError::NotAcquired), with the place and the holder behind it, when the
    /// time is up or the queue is too long; [`Cancelled`](LegacyError::Cancelled) when the pull
    /// request was closed, or after [`cancel_wait`](Self::cancel_wait), by whatever process; and
    /// when the lock cannot be kept or the store failed.
    ///
    /// # Cancel safety
    /// A dropped call leaves the queue, and unlocks if its turn had come.
    pub async fn acquire(
        &self,
        lock: ProjectLock,
        options: &AcquireOptions,
    ) -> Result<ProjectLock> {
        let owner = name::owner(&lock.pull)?;
        let stored = Stored::new(lock);
        let metadata = metadata(&stored)?;
        let lock = stored.into_value();
        let key = self.key(&lock.project, &lock.workspace, name::host(&lock.pull)).await?;
        if let Some(held) = self.held_by(&key, &owner).await? {
            return Ok(read(&held)?.into_value());
        }
        let mut request = self.manager().acquire(key.clone()).ttl(Ttl::Never);
        let own = RequestId::random();
        request = request.request(own).owner(owner.clone()).metadata(metadata);
        request = request.priority(options.priority);
        if let Some(wait) = options.wait {
            request = request.wait(wait);
        }
        if let Some(limit) = options.queue_limit {
            request = request.queue_limit(limit);
        }
        tokio::select! {
            biased;
            guard = request => match guard {
                Ok(guard) => {
                    self.keep(guard).await?;
                    Ok(lock)
                }
                Err(error) if is_cancelled(&error) => Err(LegacyError::Cancelled),
                Err(error) if is_in_vain(&error) => Err(LegacyError::NotAcquired(error)),
                Err(error) => Err(error.into()),
            },
            held = self.until_held_by(&key, &owner, own) => Ok(read(&held?)?.into_value()),
        }
    }

    /// The lease of a key if it is of this owner.
    async fn held_by(&self, key: &LockKey, owner: &OwnerId) -> Result<Option<Lease>> {
        Ok(self.head(key).await?.0.filter(|lease| lease.owner == *owner))
    }

    /// Another request of the same pull request may lock the project, and would be waited for for
    /// ever.
    async fn until_held_by(&self, key: &LockKey, owner: &OwnerId, own: RequestId) -> Result<Lease> {
        loop {
            sleep(LOOK_EVERY).await;
            // The request itself reports a failing store, and its grant.
            if let Ok(Some(held)) = self.held_by(key, owner).await
                && held.request != own
            {
                return Ok(held);
            }
        }
    }

    /// Shows where a pull request stands in the queue of a project; `None` when it does not wait.
    ///
    /// # Errors
    /// When the holder's lock cannot be read, or the store failed.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn queue_position(
        &self,
        project: &Project,
        workspace: &str,
        pull: &PullRequest,
    ) -> Result<Option<ProjectQueuePosition>> {
        let (Ok(key), Ok(owner)) =
            (name::key(project, workspace, name::host(pull)), name::owner(pull))
        else {
            // What has no name does not wait.
            return Ok(None);
        };
        let Some(WaiterPosition { position, waiting, holder }) = self.standing(key, &owner).await?
        else {
            return Ok(None);
        };
        let holder = holder.as_ref().map(read).transpose()?.map(Stored::into_value);
        Ok(Some(ProjectQueuePosition { position, waiting, holder }))
    }

    /// Ends the wait of a pull request for a project, in whatever process it is; `false` when it
    /// does not wait.
    ///
    /// # Errors
    /// When the store failed.
    ///
    /// # Cancel safety
    /// A dropped call may have happened.
    pub async fn cancel_wait(
        &self,
        project: &Project,
        workspace: &str,
        pull: &PullRequest,
    ) -> Result<bool> {
        let (Ok(key), Ok(owner)) =
            (name::key(project, workspace, name::host(pull)), name::owner(pull))
        else {
            // What has no name does not wait.
            return Ok(false);
        };
        self.end_waits_of(owner, |waiter| waiter.key == key).await
    }

    /// Ends all waits of a pull request, at whatever host its repository is.
    pub(super) async fn end_waits(&self, repo_full_name: &str, pull_num: i64) -> Result<()> {
        for host in self.hosts().await? {
            if let Ok(owner) = name::owner_of(&host, repo_full_name, pull_num) {
                self.end_waits_of(owner, |_| true).await?;
            }
        }
        Ok(())
    }

    async fn end_waits_of(
        &self,
        owner: OwnerId,
        is_meant: impl Fn(&Waiter) -> bool,
    ) -> Result<bool> {
        let mut is_ended = false;
        for waiter in self.waiters_of(owner).await?.into_iter().filter(is_meant) {
            is_ended |= self.manager().evict_waiter(waiter.key, waiter.request, CANCELLED).await?;
        }
        Ok(is_ended)
    }

    /// The pull request to which the lease of a key was transferred, according to the [`End`] that
    /// its manager received; `None` if that is not a transfer to a pull request.
    ///
    /// An end names owners, and so the host, the repository and the number. The author, and what
    /// else is known of the pull request, is in the lease that it has: where that is over, they are
    /// empty. Who is told has the lease that ended, and
    /// [`convert_to_legacy`](crate::convert_to_legacy) names its author.
    ///
    /// # Errors
    /// When the lock cannot be read, or the store failed.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn pull_handed_to(&self, key: &LockKey, end: &End) -> Result<Option<PullRequest>> {
        let End::Transferred { to, .. } = end else { return Ok(None) };
        let Some(named) = name::pull_named(to) else { return Ok(None) };
        let held = self.held_by(key, to).await?;
        let pull = held.as_ref().map(read).transpose()?.map(|lock| lock.into_value().pull);
        Ok(Some(pull.unwrap_or(named)))
    }

    /// Hands a project from the pull request that locked it to the next in its queue, and returns
    /// the new lock; `None` if it is not locked or has no queue.
    ///
    /// A watcher of the lock store sees one event with both leases, each with the lock and the
    /// author of the pull request. Without a watch, the manager of the lease that ended still
    /// receives a notice; see [`pull_handed_to`](Self::pull_handed_to).
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
        for _ in 0..MOST_ATTEMPTS {
            let Some(lease) = self.only(project, workspace, |_| true).await? else {
                return Ok(None);
            };
            let Some(next) = self.head(&lease.key).await?.1 else { return Ok(None) };
            let transfer = self.manager().transfer(&lease, TransferTo::Waiter(next.request));
            // Otherwise the holder unlocked, or the waiter left, since they were seen.
            if let Transfer::Transferred(lease) = transfer.await? {
                return Ok(Some(read(&lease)?.into_value()));
            }
        }
        Err(LegacyError::Contended { key: LegacyKey::new(project.clone(), workspace).to_string() })
    }
}

/// Returns `true` if a wait ended without the lock although the request had a position in the
/// queue. The store may have been silent when the time was up.
fn is_in_vain(error: &lock_core::Error) -> bool {
    use ErrorKind::{Ended, QueueFull, Unavailable, WaitOver};
    let is_in_vain = matches!(error.kind(), WaitOver | Unavailable | QueueFull | Ended);
    is_in_vain && error.position().is_some()
}

/// Returns `true` if the wait was ended on behalf of the pull request.
fn is_cancelled(error: &lock_core::Error) -> bool {
    matches!(error.end(), Some(End::Evicted { reason, .. }) if reason.as_str() == CANCELLED)
}
