//! Locks, on which the mirror decides.

use std::collections::BTreeSet;

use async_trait::async_trait;

use super::notes::{Ended, Standing, is_same};
use super::records::{half_done, refused};
use super::{Fallback, FallbackStore, MOST_ATTEMPTS};
use crate::migrate::{Put, Record, RecordStore};
use lock_compat::legacy::{
    LegacyKey, Project, ProjectLock, PullRequest, Stored, Timestamp, User, decode,
};
use lock_compat::{LegacyError, LegacyLocks, Listing, Result, Unlocking};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LegacyLocks for Fallback {
    async fn try_project(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        let _gate = self.0.gate.read().await;
        let own = Record::lock(Stored::new(lock.clone()));
        Ok(match self.take(&own).await? {
            None => (true, lock),
            Some(holder) => (false, project_lock(&holder)?),
        })
    }

    async fn unlock_if(
        &self,
        project: &Project,
        workspace: &str,
        unlocking: Unlocking,
    ) -> Result<Option<ProjectLock>> {
        self.unlock_where(project, workspace, |lock| unlocking.may_end(lock)).await
    }

    async fn projects(&self) -> Result<Listing> {
        let _gate = self.0.gate.read().await;
        let primary = self.ask_primary(self.primary().list());
        let (primary, mirror) = tokio::join!(primary, self.mirror().list());
        let (Some(primary), mut listing) = (primary?, mirror?) else {
            return self.mirror().list().await;
        };
        let known: BTreeSet<_> =
            listing.locks.iter().map(|lock| LegacyKey::of(lock).to_string()).collect();
        let mut unfound = Vec::new();
        for lock in primary.locks {
            if known.contains(&LegacyKey::of(&lock).to_string()) {
                continue;
            }
            let record = Record::lock(Stored::new(lock.clone()));
            match self.standing(&record).await? {
                Some(Standing::Counts) => listing.locks.push(lock),
                // It has ended since, or an Atlantis before 0.40 wrote it, under another key.
                Some(Standing::IsGone) => unfound.push(lock),
                Some(Standing::IsOver) | None => {}
            }
        }
        listing.locks.extend(self.still_listed(unfound).await?);
        Ok(Listing::new(listing.locks, primary.damaged))
    }

    async fn project(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        let _gate = self.0.gate.read().await;
        self.found(&place(project, workspace)).await?.as_ref().map(project_lock).transpose()
    }

    async fn unlock_all(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing> {
        let is_wanted = |lock: &ProjectLock| {
            lock.project.repo_full_name == repo_full_name && lock.pull.num == pull_num
        };
        let Listing { locks, damaged, .. } = self.projects().await?;
        let mut unlocked: Vec<ProjectLock> = Vec::new();
        for lock in locks.into_iter().filter(is_wanted) {
            let unlock = self.unlock_where(&lock.project, &lock.workspace, is_wanted);
            unlocked.extend(unlock.await?);
        }
        Ok(Listing::new(unlocked, damaged))
    }

    async fn reach(&self) -> Result<()> {
        let _gate = self.0.gate.read().await;
        self.ask_primary(self.primary().ping()).await?;
        self.mirror().ping().await
    }

    async fn shut(&self) -> Result<()> {
        self.primary().close().await?;
        self.mirror().close().await
    }
}

impl Fallback {
    /// Locks with this record; returns the record that blocks it, if any.
    pub(super) async fn take(&self, own: &Record) -> Result<Option<Record>> {
        self.look_before().await?;
        for _ in 0..MOST_ATTEMPTS {
            if self.mirror().put(own).await? != Put::Written {
                match self.holder(own).await? {
                    Some(holder) => return Ok(Some(holder)),
                    None => continue,
                }
            }
            let other = match self.take_in_primary(own).await {
                Ok(None) => return Ok(None),
                Ok(Some(other)) => other,
                Err(error @ LegacyError::Store { .. }) => return Err(half_done(error)),
                // The primary answered that it cannot have it.
                Err(error) => {
                    self.mirror().remove(own).await.map_err(half_done)?;
                    return Err(error);
                }
            };
            self.mirror().remove(own).await.map_err(half_done)?;
            copy(&other, self.primary(), self.mirror()).await?;
            return Ok(Some(other));
        }
        Err(LegacyError::Contended { key: own.key().to_owned() })
    }

    /// The record that blocks a place that is taken in the mirror.
    ///
    /// An attempt that will find a lock made without the mirror has its own in the mirror until
    /// then. So the primary is read too, and second: what ended before is not there any more.
    async fn holder(&self, place: &Record) -> Result<Option<Record>> {
        let Some(mirrored) = read(self.mirror(), place).await? else { return Ok(None) };
        let primary = match self.ask_primary(read(self.primary(), place)).await {
            // Whatever is under the key of the primary, the place is taken.
            Err(LegacyError::Damaged(_)) => return Ok(Some(mirrored)),
            primary => primary.map_err(refused)?.flatten(),
        };
        let Some(primary) = primary.filter(|primary| !is_same(primary, &mirrored)) else {
            return Ok(Some(mirrored));
        };
        let counts = self.standing(&primary).await.map_err(refused)? == Some(Standing::Counts);
        Ok(Some(if counts { primary } else { mirrored }))
    }

    /// Those of the locks that the primary lists again.
    async fn still_listed(&self, mut locks: Vec<ProjectLock>) -> Result<Vec<ProjectLock>> {
        if locks.is_empty() {
            return Ok(locks);
        }
        let again = self.ask_primary(self.primary().list()).await?.unwrap_or_default();
        let name = |lock: &ProjectLock| (LegacyKey::of(lock).to_string(), lock.time.to_string());
        let listed: BTreeSet<_> = again.locks.iter().map(name).collect();
        locks.retain(|lock| listed.contains(&name(lock)));
        Ok(locks)
    }

    /// Locks in the primary the record locked in the mirror; returns a lock that was made without
    /// the mirror, which therefore counts.
    async fn take_in_primary(&self, own: &Record) -> Result<Option<Record>> {
        for _ in 0..MOST_ATTEMPTS {
            match self.ask_primary(self.primary().put(own)).await? {
                None | Some(Put::Written | Put::Same) => return Ok(None),
                Some(Put::Conflict(_)) => {}
            }
            let other = match self.ask_primary(read(self.primary(), own)).await? {
                None => return Ok(None),
                Some(None) => continue,
                // A reconciliation may have given it to the primary, with other bytes.
                Some(Some(other)) if is_same(&other, own) => return Ok(None),
                Some(Some(other)) => other,
            };
            let is_answered = match self.standing(&other).await? {
                Some(Standing::Counts) => return Ok(Some(other)),
                Some(Standing::IsGone) => true,
                Some(Standing::IsOver) => {
                    self.ask_primary(self.primary().remove(&other)).await?.is_some()
                }
                None => false,
            };
            if !is_answered {
                return Ok(None);
            }
        }
        Err(LegacyError::Contended { key: own.key().to_owned() })
    }

    async fn unlock_where(
        &self,
        project: &Project,
        workspace: &str,
        is_wanted: impl Fn(&ProjectLock) -> bool,
    ) -> Result<Option<ProjectLock>> {
        let _gate = self.0.gate.read().await;
        let ended = self.end_if(place(project, workspace), |record| {
            Ok(record.as_lock().is_some_and(|lock| is_wanted(lock.value())))
        });
        ended.await?.as_ref().map(project_lock).transpose()
    }

    /// Ends the lock at this place if `is_wanted`, and returns it.
    pub(super) async fn end_if(
        &self,
        mut place: Record,
        is_wanted: impl Fn(&Record) -> Result<bool>,
    ) -> Result<Option<Record>> {
        self.look_before().await?;
        for _ in 0..MOST_ATTEMPTS {
            if let Some(record) = read(self.mirror(), &place).await? {
                if !is_wanted(&record)? {
                    return Ok(None);
                }
                // A lock made after somebody else ended this one is not the requested one.
                return Ok(self.end(&record).await?.then_some(record));
            }
            let other = self.ask_primary(read(self.primary(), &place)).await?.flatten();
            let Some(other) = other else { return Ok(None) };
            // In Atlantis' layout several projects may share a key; the lock names its project.
            // Another process may be about to lock it.
            if read(self.mirror(), &other).await?.is_some() {
                place = other;
                continue;
            }
            let Some(standing) = self.standing(&other).await? else { return Ok(None) };
            let counts = match standing {
                Standing::IsGone => continue,
                Standing::IsOver => false,
                Standing::Counts if is_wanted(&other)? => true,
                Standing::Counts => return Ok(None),
            };
            let is_removed = self.ask_primary(self.primary().remove(&other)).await? == Some(true);
            if is_removed && counts {
                return Ok(Some(other));
            }
            if self.0.health.is_lost() {
                return Ok(None);
            }
        }
        Err(LegacyError::Contended { key: place.key().to_owned() })
    }

    /// Ends exactly this lock, in the mirror last; `false` if somebody else ended it.
    async fn end(&self, record: &Record) -> Result<bool> {
        // If it is not in the primary, the process that locked it may be about to write it there.
        let is_gone = self.end_in_primary(record).await? == Some(true);
        if !is_gone {
            self.note(&Ended::of(record)).await?;
        }
        let is_ended = self.mirror().remove(record).await?;
        if is_gone {
            // A reconciliation may have restored it meanwhile. From here on it has ended, whatever
            // fails.
            match self.end_in_primary(record).await {
                Ok(Some(false)) => {}
                Ok(Some(true)) => drop(self.mirror().remove(record).await.map_err(half_done)?),
                Ok(None) | Err(_) => self.note(&Ended::of(record)).await.map_err(half_done)?,
            }
        }
        Ok(is_ended)
    }

    /// Ends a lock in the primary, whatever its bytes there.
    async fn end_in_primary(&self, record: &Record) -> Result<Option<bool>> {
        let end = async {
            if self.primary().remove(record).await? {
                return Ok(true);
            }
            match read(self.primary(), record).await? {
                Some(other) if is_same(&other, record) => self.primary().remove(&other).await,
                _ => Ok(false),
            }
        };
        self.ask_primary(end).await
    }

    /// The record of the mirror, or else of the primary.
    pub(super) async fn found(&self, place: &Record) -> Result<Option<Record>> {
        let primary = self.ask_primary(read(self.primary(), place));
        let (primary, mirror) = tokio::join!(primary, read(self.mirror(), place));
        Ok(match (mirror?, primary?.flatten()) {
            (Some(record), _) => Some(record),
            (None, Some(record)) => {
                let counts = self.standing(&record).await? == Some(Standing::Counts);
                counts.then_some(record)
            }
            (None, None) => None,
        })
    }
}

/// The place of a project's lock.
fn place(project: &Project, workspace: &str) -> Record {
    let (pull, user) = (PullRequest::default(), User::default());
    let time = Timestamp::default();
    Record::lock(Stored::new(ProjectLock::new(project.clone(), pull, user, workspace, time)))
}

fn project_lock(record: &Record) -> Result<ProjectLock> {
    match record.as_lock() {
        Some(lock) => Ok(lock.value().clone()),
        None => Ok(decode(record.key(), &record.encode())?),
    }
}

/// The record at the place of this one.
pub(super) async fn read(store: &dyn FallbackStore, record: &Record) -> Result<Option<Record>> {
    let bytes = RecordStore::read(store, record).await?;
    Ok(bytes.map(|bytes| Record::read(record.key(), &bytes)).transpose()?)
}

/// Copies a record of one store to the other, which has none; `false` if it was too late.
pub(super) async fn copy(
    record: &Record,
    from: &dyn FallbackStore,
    to: &dyn FallbackStore,
) -> Result<bool> {
    if RecordStore::put(to, record).await? != Put::Written {
        return Ok(false);
    }
    // A process that ended it meanwhile checks once more afterwards; otherwise we see that it
    // ended.
    let is_there = RecordStore::read(from, record).await?.is_some_and(|it| it == record.encode());
    if !is_there {
        to.remove(record).await?;
    }
    Ok(is_there)
}
