//! Locks, which the mirror decides on.

use super::{Fallback, FallbackStore};
use crate::legacy::{
    CommandLock, CommandName, Project, ProjectLock, Stored, Timestamp, command_key, encode,
};
use crate::migrate::{Archive, Record};
use crate::{LegacyBackend, LegacyError, Listing, Result};

impl Fallback {
    pub(super) async fn try_project(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        let _gate = self.gate.read().await;
        let (is_new, held) = self.mirror.try_lock(lock.clone()).await?;
        if !is_new {
            return Ok((false, held));
        }
        let own = Record::lock(Stored::new(lock.clone()));
        match self.ask_primary(self.primary.try_lock(lock)).await {
            Ok(None | Some((true, _))) => Ok((true, held)),
            Ok(Some((false, other))) => {
                // Somebody locked without the mirror, or nobody heard of the answer: it counts.
                self.mirror.remove(&own).await?;
                let _ = self.mirror.put(&Record::lock(Stored::new(other.clone()))).await?;
                Ok((false, other))
            }
            Err(error) => {
                // Nobody was told that it is locked.
                self.mirror.remove(&own).await?;
                Err(error)
            }
        }
    }

    pub(super) async fn unlock_if(
        &self,
        project: &Project,
        workspace: &str,
        is_wanted: impl Fn(&ProjectLock) -> bool,
    ) -> Result<Option<ProjectLock>> {
        let _gate = self.gate.read().await;
        let mut mirrored = self.mirror.get_lock(project, workspace).await?;
        if mirrored.is_none()
            && let Some(Some(other)) =
                self.ask_primary(self.primary.get_lock(project, workspace)).await?
        {
            // To Atlantis' layout several projects may be one; the lock says which it is.
            mirrored = self.mirror.get_lock(&other.project, &other.workspace).await?;
        }
        let mirrored = mirrored.filter(|lock| is_wanted(lock));
        let record = match &mirrored {
            Some(lock) => stored(&*self.mirror, Record::lock(Stored::new(lock.clone()))).await?,
            None => None,
        };
        // It goes from the mirror last: until then nobody else can lock it.
        let primary = self.end(record.as_ref(), async {
            match self.primary.get_lock(project, workspace).await? {
                Some(lock) if is_wanted(&lock) => {
                    let num = lock.pull.num;
                    self.primary.unlock_if_owned_by_pull(project, workspace, num).await
                }
                _ => Ok(None),
            }
        });
        let primary = primary.await?.flatten();
        let mirrored = match record {
            Some(record) if self.forget(&record).await? => mirrored,
            _ => None,
        };
        Ok(primary.or(mirrored))
    }

    pub(super) async fn unlock_all(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing> {
        let is_wanted = |lock: &ProjectLock| {
            lock.project.repo_full_name == repo_full_name && lock.pull.num == pull_num
        };
        let Listing { locks, damaged } = self.list().await?;
        // What only the mirror has is as locked as the rest.
        let mirrored = self.mirror.list().await?.locks;
        let mut unlocked: Vec<ProjectLock> = Vec::new();
        for lock in locks.into_iter().chain(mirrored).filter(is_wanted) {
            let unlock = self.unlock_if(&lock.project, &lock.workspace, is_wanted);
            unlocked.extend(unlock.await?);
        }
        Ok(Listing::new(unlocked, damaged))
    }

    pub(super) async fn keep_command(
        &self,
        name: CommandName,
        time: Timestamp,
    ) -> Result<CommandLock> {
        let _gate = self.gate.read().await;
        let lock = self.mirror.lock_command(name, time).await?;
        let Err(error) = self.ask_primary(self.primary.lock_command(name, time)).await else {
            return Ok(lock);
        };
        let own = Record::read(&command_key(name), &encode(&lock))?;
        self.mirror.remove(&own).await?;
        if matches!(error, LegacyError::CommandLocked)
            && let Some(other) = stored(&*self.primary, own).await?
        {
            // Somebody locked it without the mirror, or nobody heard of the answer: it counts.
            let _ = self.mirror.put(&other).await?;
        }
        Err(error)
    }

    pub(super) async fn forget_command(&self, name: CommandName) -> Result<()> {
        let _gate = self.gate.read().await;
        let mirrored = self.mirror.check_command_lock(name).await?;
        let record = match mirrored {
            Some(lock) => {
                stored(&*self.mirror, Record::read(&command_key(name), &encode(&lock))?).await?
            }
            None => None,
        };
        let call = async {
            match self.primary.unlock_command(name).await {
                Err(LegacyError::CommandNotLocked) => Ok(false),
                answer => answer.map(|()| true),
            }
        };
        let was_locked = self.end(record.as_ref(), call).await?.unwrap_or(false);
        let was_mirrored = match record {
            Some(record) => self.forget(&record).await?,
            None => false,
        };
        if was_locked || was_mirrored { Ok(()) } else { Err(LegacyError::CommandNotLocked) }
    }

    /// Ends this very lock in the mirror, and nothing that was locked meanwhile.
    async fn forget(&self, record: &Record) -> Result<bool> {
        let was_there = self.mirror.remove(record).await?;
        // A process that just compared the stores may have given it back to the primary.
        self.end(Some(record), self.primary.remove(record)).await?;
        Ok(was_there)
    }

    /// Ends a lock in the primary; where that is lost, it is noted what has to end there.
    async fn end<T>(
        &self,
        record: Option<&Record>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        let answer = self.ask_primary(call).await?;
        if let (None, Some(record)) = (&answer, record) {
            self.changed().ended.push(record.clone());
        }
        Ok(answer)
    }
}

/// The record that is where this one would be, in the bytes that it has there.
async fn stored(store: &dyn FallbackStore, record: Record) -> Result<Option<Record>> {
    let bytes = Archive::read(store, &record).await?;
    Ok(bytes.map(|bytes| Record::read(record.key(), &bytes)).transpose()?)
}
