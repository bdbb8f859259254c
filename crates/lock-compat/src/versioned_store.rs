//! Store of versioned records: statuses of pull requests and locks of commands.

use async_trait::async_trait;

use crate::legacy::{
    CommandLock, CommandName, ProjectPlanStatus, ProjectResult, PullRequest, PullStatus, Stored,
    Timestamp, command_key, decode, encode, pull_key,
};
use crate::{LegacyError, LegacyRecords, Result};

/// Maximum number of compare-and-swap attempts.
const MOST_ATTEMPTS: usize = 1000;

/// Store of statuses of pull requests and locks of commands, each encoded under its key.
///
/// Its two methods provide [`LegacyRecords`], the part of a [`LegacyBackend`](crate::LegacyBackend)
/// for these records.
///
/// # Cancel safety
/// A call that is dropped, or whose error [is unknown](LegacyError::is_unknown), may have happened.
#[async_trait]
pub trait VersionedStore: Sync {
    /// Version of a record.
    type Version: Send;

    /// Returns a record with its version.
    ///
    /// # Errors
    /// When the store failed.
    async fn get(&self, key: &str) -> Result<Option<(Self::Version, Vec<u8>)>>;

    /// Replaces a record of this version, or none, with another record, or none; `false` when the
    /// stored version differs.
    ///
    /// # Errors
    /// When the store failed.
    async fn compare_and_swap(
        &self,
        key: &str,
        seen: Option<Self::Version>,
        record: Option<&[u8]>,
    ) -> Result<bool>;
}

#[async_trait]
impl<S: VersionedStore> LegacyRecords for S {
    async fn set_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        let key = pull_key(pull)?;
        change(self, &key, |record| {
            let Some(record) = record else { return Ok(Change::Keep(())) };
            let mut stored: Stored<PullStatus> = Stored::read(&key, record)?;
            let mut changed = stored.value().clone();
            if !changed.set_first(workspace, repo_rel_dir, status) {
                return Ok(Change::Keep(()));
            }
            stored.update(changed);
            Ok(Change::Write(stored.encode(), ()))
        })
        .await
    }

    async fn status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        let key = pull_key(pull)?;
        let record = self.get(&key).await?;
        Ok(record.map(|(_, record)| decode(&key, &record)).transpose()?)
    }

    async fn forget_status(&self, pull: &PullRequest) -> Result<()> {
        change(self, &pull_key(pull)?, |record| {
            Ok(if record.is_some() { Change::Remove(()) } else { Change::Keep(()) })
        })
        .await
    }

    async fn merge_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        let key = pull_key(pull)?;
        change(self, &key, |record| {
            let merged = PullStatus::merged_into(&key, record, pull, results)?;
            Ok(Change::Write(encode(&merged), merged))
        })
        .await
    }

    async fn keep_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock> {
        change(self, &command_key(name), |record| {
            if record.is_some() {
                return Err(LegacyError::CommandLocked);
            }
            let lock = CommandLock::new(name, time);
            Ok(Change::Write(encode(&lock), lock))
        })
        .await
    }

    async fn forget_command(&self, name: CommandName) -> Result<()> {
        change(self, &command_key(name), |record| match record {
            Some(_) => Ok(Change::Remove(())),
            None => Err(LegacyError::CommandNotLocked),
        })
        .await
    }

    async fn command(&self, name: CommandName) -> Result<Option<CommandLock>> {
        let key = command_key(name);
        let record = self.get(&key).await?;
        Ok(record.map(|(_, record)| decode(&key, &record)).transpose()?)
    }
}

/// Outcome of a change.
enum Change<T> {
    /// Keep the record and return this answer.
    Keep(T),
    /// Write this record and return the answer.
    Write(Vec<u8>, T),
    /// Remove the record and return this answer.
    Remove(T),
}

/// Reads and changes a record, and retries after a conflict.
async fn change<S: VersionedStore + ?Sized, T>(
    store: &S,
    key: &str,
    change: impl Fn(Option<&[u8]>) -> Result<Change<T>>,
) -> Result<T> {
    for _ in 0..MOST_ATTEMPTS {
        let (seen, record) = store.get(key).await?.unzip();
        let (record, answer) = match change(record.as_deref())? {
            Change::Keep(answer) => return Ok(answer),
            Change::Write(record, answer) => (Some(record), answer),
            Change::Remove(answer) => (None, answer),
        };
        if store.compare_and_swap(key, seen, record.as_deref()).await? {
            return Ok(answer);
        }
    }
    Err(LegacyError::Contended { key: key.to_owned() })
}
