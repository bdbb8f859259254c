//! The locks of projects: leases that never end.

use async_trait::async_trait;
use lock_core::{Attempt, Lease, LockGuard, Ttl};

use super::load::{metadata, read, text};
use super::{LockAdapter, MOST_ATTEMPTS, name};
use crate::legacy::{Damaged, LegacyKey, Project, ProjectLock, Stored, exact_key};
use crate::{LegacyError, LegacyLocks, Listing, Result, Unlocking};

/// The reason for evicting a lease whose project somebody unlocks.
const UNLOCKED: &str = "unlocked";

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LegacyLocks for LockAdapter {
    async fn try_project(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        let stored = Stored::new(lock);
        let holder = self.try_stored(&stored).await?;
        Ok(match holder {
            None => (true, stored.into_value()),
            Some(holder) => (false, holder.into_value()),
        })
    }

    async fn unlock_if(
        &self,
        project: &Project,
        workspace: &str,
        unlocking: Unlocking,
    ) -> Result<Option<ProjectLock>> {
        for _ in 0..MOST_ATTEMPTS {
            let is_wanted = |lease: &Lease| match (unlocking, read(lease)) {
                (Unlocking::Pull(_), Ok(lock)) => unlocking.may_end(lock.value()),
                _ => true,
            };
            let Some(lease) = self.only(project, workspace, is_wanted).await? else {
                return Ok(None);
            };
            let lock = read(&lease)?.into_value();
            if self.end(&lease, unlocking).await? {
                return Ok(Some(lock));
            }
        }
        Err(LegacyError::Contended { key: LegacyKey::new(project.clone(), workspace).to_string() })
    }

    async fn projects(&self) -> Result<Listing> {
        let (locks, damaged) = self.locks(name::PROJECTS).await?;
        let locks = locks.into_iter().map(|(_, lock)| lock.into_value()).collect();
        Ok(Listing::new(locks, damaged))
    }

    async fn project(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        Ok(self.stored(project, workspace).await?.map(Stored::into_value))
    }

    async fn unlock_all(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing> {
        // First, so that no lock is handed to a request of its own.
        self.end_waits(repo_full_name, pull_num).await?;
        let (locks, damaged) = self.locks(&name::keys_of(repo_full_name)).await?;
        let (unlocking, mut unlocked) = (Unlocking::Pull(pull_num), Vec::new());
        for (lease, lock) in locks {
            if unlocking.may_end(lock.value()) && self.end(&lease, unlocking).await? {
                unlocked.push(lock.into_value());
            }
        }
        Ok(Listing::new(unlocked, damaged))
    }

    async fn reach(&self) -> Result<()> {
        self.manager().health().await?;
        self.documents().read("ping").await?;
        Ok(())
    }

    async fn shut(&self) -> Result<()> {
        self.manager().shutdown().await;
        Ok(())
    }
}

impl LockAdapter {
    /// Locks a project with a lock as it was stored elsewhere, to the byte; returns the lock that
    /// is in its way, if there is one.
    ///
    /// # Errors
    /// Errors of [`try_lock`](crate::LegacyBackend::try_lock).
    ///
    /// # Cancel safety
    /// A dropped call may have happened.
    pub async fn try_stored(
        &self,
        stored: &Stored<ProjectLock>,
    ) -> Result<Option<Stored<ProjectLock>>> {
        let lock = stored.value();
        let metadata = metadata(stored)?;
        let key = self.key(&lock.project, &lock.workspace, name::host(&lock.pull)).await?;
        for _ in 0..MOST_ATTEMPTS {
            let request = self.manager().try_acquire(key.clone()).ttl(Ttl::Never);
            let request = request.owner(name::owner(&lock.pull)?).metadata(metadata.clone());
            if let Attempt::Acquired(guard) = request.await? {
                self.keep(guard).await?;
                return Ok(None);
            }
            // A refusal names the holder without its lock. The project may be free by now.
            if let (Some(lease), _) = self.head(&key).await? {
                return Ok(Some(read(&lease)?));
            }
        }
        Err(LegacyError::Contended { key: key.to_string() })
    }

    /// Leaves the lease to the pull request, at its full length.
    pub(super) async fn keep(&self, guard: LockGuard) -> Result<()> {
        guard.into_lease().await.map_err(lock_core::Error::from)?;
        Ok(())
    }

    /// The lock of a project as it is stored, to the byte.
    ///
    /// # Errors
    /// Errors of [`get_lock`](crate::LegacyBackend::get_lock).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn stored(
        &self,
        project: &Project,
        workspace: &str,
    ) -> Result<Option<Stored<ProjectLock>>> {
        let lease = self.only(project, workspace, |_| true).await?;
        Ok(lease.as_ref().map(read).transpose()?)
    }

    /// The lease of the project and workspace of a lock, at its host if it names one, and the bytes
    /// of the lock that it carries, readable or not.
    ///
    /// # Errors
    /// When the store failed.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn carried(&self, lock: &ProjectLock) -> Result<Option<(Lease, Vec<u8>)>> {
        let host = name::host(&lock.pull);
        let lease = if host.is_empty() {
            self.only(&lock.project, &lock.workspace, |_| true).await?
        } else {
            self.head(&name::key(&lock.project, &lock.workspace, host)?).await?.0
        };
        Ok(lease.map(|lease| {
            let bytes = text(&lease).unwrap_or_default().as_bytes().to_vec();
            (lease, bytes)
        }))
    }

    /// Ends a lease by its name, so that whoever locked in between keeps the lock; `false` when it
    /// is over already.
    ///
    /// A release leaves no mark, so the next attempt at the project is as short as the first.
    async fn end(&self, lease: &Lease, unlocking: Unlocking) -> Result<bool> {
        Ok(match unlocking {
            Unlocking::Anybody => self.manager().evict(lease, UNLOCKED).await?,
            Unlocking::Pull(_) => self.manager().release_lease(lease).await?,
        })
    }

    /// All locks as they are stored, to the byte, and the values that cannot be read.
    ///
    /// # Errors
    /// Errors of [`list`](crate::LegacyBackend::list).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn all_stored(&self) -> Result<(Vec<Stored<ProjectLock>>, Vec<Damaged>)> {
        let (locks, damaged) = self.locks(name::PROJECTS).await?;
        Ok((locks.into_iter().map(|(_, lock)| lock).collect(), damaged))
    }

    /// The lease of a project that is wanted, at whatever host.
    pub(super) async fn only(
        &self,
        project: &Project,
        workspace: &str,
        is_wanted: impl Fn(&Lease) -> bool,
    ) -> Result<Option<Lease>> {
        let mut leases = self.leases_of(project, workspace).await?;
        leases.retain(is_wanted);
        if leases.len() > 1 {
            let key = LegacyKey::new(project.clone(), workspace).to_string();
            let locks = leases.iter().filter_map(|lease| read(lease).ok());
            let exact = locks.map(|lock| exact_key(lock.value())).collect();
            return Err(LegacyError::AmbiguousKey { key, exact });
        }
        Ok(leases.pop())
    }

    /// The leases of all keys that begin with `prefix`, with their locks.
    async fn locks(
        &self,
        prefix: &str,
    ) -> Result<(Vec<(Lease, Stored<ProjectLock>)>, Vec<Damaged>)> {
        let (mut locks, mut damaged) = (Vec::new(), Vec::new());
        for lease in self.leases(prefix).await? {
            match read(&lease) {
                Ok(lock) => locks.push((lease, lock)),
                Err(reason) => damaged.push(reason),
            }
        }
        Ok((locks, damaged))
    }
}
