//! The locks of projects as Atlantis' commands see them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::Clock;

use crate::legacy::{LegacyKey, Project, ProjectLock, PullRequest, Timestamp, User, exact_key};
use crate::{LegacyBackend, LegacyError, Listing, Result};

/// Atlantis' `locking.Locker`: the locks of projects by the keys that it shows to people.
#[async_trait]
pub trait LegacyLocker: Debug + Send + Sync + 'static {
    /// Locks a project for a pull request.
    ///
    /// # Errors
    /// Errors of [`LegacyBackend::try_lock`].
    async fn try_lock(
        &self,
        project: Project,
        workspace: &str,
        pull: PullRequest,
        user: User,
    ) -> Result<TryLockResponse>;

    /// Unlocks by the key of a lock, and returns the lock that ended.
    ///
    /// # Errors
    /// [`InvalidKey`](crate::LegacyError::InvalidKey),
    /// [`AmbiguousKey`](crate::LegacyError::AmbiguousKey), and what [`LegacyBackend::unlock`] reports.
    async fn unlock(&self, key: &str) -> Result<Option<ProjectLock>>;

    /// Unlocks a project that this pull request locked, and returns the lock that ended.
    ///
    /// # Errors
    /// Errors of [`LegacyBackend::unlock_if_owned_by_pull`].
    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>>;

    /// Shows all locks by their keys.
    ///
    /// # Errors
    /// Errors of [`LegacyBackend::list`].
    async fn list(&self) -> Result<BTreeMap<String, ProjectLock>>;

    /// Unlocks all projects of a pull request, and returns the locks that ended.
    ///
    /// # Errors
    /// Errors of [`LegacyBackend::unlock_by_pull`].
    async fn unlock_by_pull(&self, repo_full_name: &str, pull_num: i64)
    -> Result<Vec<ProjectLock>>;

    /// Shows a lock by its key.
    ///
    /// # Errors
    /// [`InvalidKey`](crate::LegacyError::InvalidKey), and what [`LegacyBackend::get_lock`] reports.
    async fn get_lock(&self, key: &str) -> Result<Option<ProjectLock>>;
}

/// Outcome of an attempt to lock a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TryLockResponse {
    /// `true` if the project was free.
    pub lock_acquired: bool,
    /// The lock of the project now.
    pub curr_lock: ProjectLock,
    /// The key of the project's lock.
    pub lock_key: String,
}

/// The locks of projects in a store of Atlantis' locks.
#[derive(Clone, Debug)]
pub struct LockerClient {
    backend: Arc<dyn LegacyBackend>,
    clock: Arc<dyn Clock>,
}

impl LockerClient {
    /// Keeps the locks in `backend`, stamped by `clock` in UTC.
    #[must_use]
    pub fn new(backend: Arc<dyn LegacyBackend>, clock: Arc<dyn Clock>) -> Self {
        Self { backend, clock }
    }
}

impl LockerClient {
    /// The lock of a key. The text of a key does not tell where its parts end, so all locks are
    /// looked through.
    async fn find(&self, key: &str) -> Result<Option<ProjectLock>> {
        // Atlantis lists a key whose names have a line break, and does not accept it.
        if !key.contains('\n') {
            LegacyKey::parse(key)?;
        }
        let Listing { locks, damaged, .. } = self.backend.list().await?;
        let mut found: Vec<_> = locks
            .into_iter()
            .filter(|lock| key_of(lock) == key || exact_key(lock) == key)
            .collect();
        // Atlantis may have two locks of one project, of which the store knows the order.
        let exact: BTreeSet<_> = found.iter().map(exact_key).collect();
        if exact.len() > 1 {
            let exact = exact.into_iter().collect();
            return Err(LegacyError::AmbiguousKey { key: key.to_owned(), exact });
        }
        match damaged.into_iter().find(|damaged| damaged.key == format!("pr/{key}")) {
            Some(damaged) if found.is_empty() => Err(damaged.into()),
            _ => Ok(found.pop()),
        }
    }
}

fn key_of(lock: &ProjectLock) -> String {
    LegacyKey::of(lock).to_string()
}

/// Locks by their keys; those that share one by keys that tell them apart.
fn by_key(locks: Vec<ProjectLock>) -> BTreeMap<String, ProjectLock> {
    let mut shared: BTreeMap<String, BTreeMap<String, ProjectLock>> = BTreeMap::new();
    for lock in locks {
        shared.entry(key_of(&lock)).or_default().insert(exact_key(&lock), lock);
    }
    let mut keys = BTreeMap::new();
    for (key, locks) in shared {
        if locks.len() > 1 {
            keys.extend(locks);
        } else {
            keys.extend(locks.into_values().map(|lock| (key.clone(), lock)));
        }
    }
    keys
}

/// The locks of a listing; the original's shape has no room for unreadable ones.
fn warned(listing: Listing) -> Vec<ProjectLock> {
    for damaged in &listing.damaged {
        tracing::warn!(error = %damaged, "a record among the locks cannot be read");
    }
    listing.locks
}

#[async_trait]
impl LegacyLocker for LockerClient {
    async fn try_lock(
        &self,
        project: Project,
        workspace: &str,
        pull: PullRequest,
        user: User,
    ) -> Result<TryLockResponse> {
        let lock_key = LegacyKey::new(project.clone(), workspace).to_string();
        let time = Timestamp::from(self.clock.now());
        let lock = ProjectLock::new(project, pull, user, workspace, time);
        let (lock_acquired, curr_lock) = self.backend.try_lock(lock).await?;
        Ok(TryLockResponse { lock_acquired, curr_lock, lock_key })
    }

    async fn unlock(&self, key: &str) -> Result<Option<ProjectLock>> {
        let Some(lock) = self.find(key).await? else { return Ok(None) };
        match self.backend.unlock(&lock.project, &lock.workspace).await {
            // The key distinguished it from the others; its number does so too, as far as a call
            // can express it.
            Err(LegacyError::AmbiguousKey { .. }) => {
                let num = lock.pull.num;
                self.backend.unlock_if_owned_by_pull(&lock.project, &lock.workspace, num).await
            }
            answer => answer,
        }
    }

    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>> {
        self.backend.unlock_if_owned_by_pull(project, workspace, pull_num).await
    }

    async fn list(&self) -> Result<BTreeMap<String, ProjectLock>> {
        Ok(by_key(warned(self.backend.list().await?)))
    }

    async fn unlock_by_pull(
        &self,
        repo_full_name: &str,
        pull_num: i64,
    ) -> Result<Vec<ProjectLock>> {
        Ok(warned(self.backend.unlock_by_pull(repo_full_name, pull_num).await?))
    }

    async fn get_lock(&self, key: &str) -> Result<Option<ProjectLock>> {
        self.find(key).await
    }
}

/// Locks nothing: every attempt succeeds.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoOpLocker;

impl NoOpLocker {
    /// The locker that locks nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

#[async_trait]
impl LegacyLocker for NoOpLocker {
    async fn try_lock(
        &self,
        project: Project,
        workspace: &str,
        _pull: PullRequest,
        _user: User,
    ) -> Result<TryLockResponse> {
        let lock_key = LegacyKey::new(project, workspace).to_string();
        Ok(TryLockResponse { lock_acquired: true, curr_lock: ProjectLock::default(), lock_key })
    }

    async fn unlock(&self, _key: &str) -> Result<Option<ProjectLock>> {
        Ok(None)
    }

    async fn unlock_if_owned_by_pull(
        &self,
        _project: &Project,
        _workspace: &str,
        _pull_num: i64,
    ) -> Result<Option<ProjectLock>> {
        Ok(None)
    }

    async fn list(&self) -> Result<BTreeMap<String, ProjectLock>> {
        Ok(BTreeMap::new())
    }

    async fn unlock_by_pull(
        &self,
        _repo_full_name: &str,
        _pull_num: i64,
    ) -> Result<Vec<ProjectLock>> {
        Ok(Vec::new())
    }

    async fn get_lock(&self, _key: &str) -> Result<Option<ProjectLock>> {
        Ok(None)
    }
}
