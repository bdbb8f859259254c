//! The locks of projects, below `pr/`.

use async_trait::async_trait;

use super::{AtlantisRedis, MOST_ATTEMPTS};
use crate::server::plain;
use lock_compat::legacy::{Damaged, LegacyKey, Project, ProjectLock, Stored, decode};
use lock_compat::{LegacyError, LegacyLocks, Listing, Result, Unlocking};
use tokio::time::sleep;

/// The prefix of all keys of locks.
pub(super) const LOCKS: &str = "pr/";

/// The key of the lock of a project.
fn key(project: &Project, workspace: &str) -> String {
    format!("{LOCKS}{}", LegacyKey::new(project.clone(), workspace))
}

/// The keys under which a project may be locked: the present one, and that of versions before 0.40,
/// where a lock in conflict with another stays.
fn keys(project: &Project, workspace: &str) -> [String; 2] {
    let old = LegacyKey::new(project.clone(), workspace).before_names();
    [key(project, workspace), format!("{LOCKS}{old}")]
}

/// Returns `true` if a lock is that of the project; an old key may hold that of another name.
fn is_of(lock: &ProjectLock, project: &Project, key: &str) -> bool {
    key == format!("{LOCKS}{}", LegacyKey::of(lock)) || lock.project == *project
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LegacyLocks for AtlantisRedis {
    async fn try_project(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        let stored = Stored::new(lock);
        Ok(match self.try_stored(&stored).await? {
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
        for key in keys(project, workspace) {
            for attempt in 0.. {
                if attempt == MOST_ATTEMPTS {
                    return Err(LegacyError::Contended { key });
                }
                let Some(bytes) = self.server().get(&key).await? else { break };
                let lock = Stored::<ProjectLock>::read(&key, &bytes)?.into_value();
                if !is_of(&lock, project, &key) || !unlocking.may_end(&lock) {
                    break;
                }
                if self.remove_if_same(&key, &bytes).await? {
                    return Ok(Some(lock));
                }
            }
        }
        Ok(None)
    }

    async fn projects(&self) -> Result<Listing> {
        let (locks, damaged) = self.locks_below(LOCKS, decode).await?;
        Ok(Listing::new(locks.into_iter().map(|(_, lock)| lock).collect(), damaged))
    }

    async fn project(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        Ok(self.stored(project, workspace).await?.map(Stored::into_value))
    }

    async fn unlock_all(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing> {
        let (locks, damaged) =
            self.locks_below(&format!("{LOCKS}{repo_full_name}/"), Stored::read).await?;
        // The keys below `a/b` include those of a repository `a/b/c`.
        let is_wanted = |(_, stored): &(String, Stored<ProjectLock>)| {
            let lock = stored.value();
            lock.project.repo_full_name == repo_full_name && lock.pull.num == pull_num
        };
        let wanted: Vec<_> = locks.into_iter().filter(is_wanted).collect();
        let values: Vec<_> =
            wanted.iter().map(|(key, stored)| (key.as_str(), stored.encode())).collect();
        let removed = self.remove_all_if_same(&values).await?;
        let unlocked = wanted.into_iter().zip(removed).filter(|(_, is_removed)| *is_removed);
        let unlocked = unlocked.map(|((_, stored), _)| stored.into_value()).collect();
        Ok(Listing::new(unlocked, damaged))
    }

    async fn reach(&self) -> Result<()> {
        self.server().ask(&redis::cmd("PING")).await
    }

    async fn shut(&self) -> Result<()> {
        self.server().close();
        Ok(())
    }
}

impl AtlantisRedis {
    /// Locks a project with a lock as it was stored elsewhere, to the byte; returns the lock that
    /// blocks it, if any. It takes one round trip, if it is not [read back](Self::reading_back).
    ///
    /// # Errors
    /// As [`try_lock`](lock_compat::LegacyBackend::try_lock).
    ///
    /// # Cancel safety
    /// A dropped call may have happened.
    pub async fn try_stored(
        &self,
        stored: &Stored<ProjectLock>,
    ) -> Result<Option<Stored<ProjectLock>>> {
        let lock = stored.value();
        let key = key(&lock.project, &lock.workspace);
        let bytes = stored.encode();
        let mut held = self.put_if_free(&key, &bytes).await?;
        if let (None, Some(after)) = (&held, self.0.read_back) {
            sleep(after).await;
            held = self.server().get(&key).await?.filter(|held| *held != bytes);
        }
        Ok(held.map(|bytes| Stored::read(&key, &bytes)).transpose()?)
    }

    /// The lock of a project as it is stored, to the byte.
    ///
    /// # Errors
    /// As [`get_lock`](lock_compat::LegacyBackend::get_lock).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn stored(
        &self,
        project: &Project,
        workspace: &str,
    ) -> Result<Option<Stored<ProjectLock>>> {
        for key in keys(project, workspace) {
            if let Some(bytes) = self.server().get(&key).await? {
                let stored = Stored::<ProjectLock>::read(&key, &bytes)?;
                if is_of(stored.value(), project, &key) {
                    return Ok(Some(stored));
                }
            }
        }
        Ok(None)
    }

    /// All locks as they are stored, to the byte, and the values that cannot be read.
    ///
    /// # Errors
    /// As [`list`](lock_compat::LegacyBackend::list).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn all_stored(&self) -> Result<(Vec<Stored<ProjectLock>>, Vec<Damaged>)> {
        let (locks, damaged) = self.locks_below(LOCKS, Stored::read).await?;
        Ok((locks.into_iter().map(|(_, lock)| lock).collect(), damaged))
    }

    /// The locks whose keys have this prefix, with their keys.
    pub(super) async fn locks_below<T: Send + 'static>(
        &self,
        prefix: &str,
        read: fn(&str, &[u8]) -> Result<T, Damaged>,
    ) -> Result<(Vec<(String, T)>, Vec<Damaged>)> {
        let keys = self.server().keys(&(plain(prefix) + "*")).await?;
        self.server().values(keys, read).await
    }
}
