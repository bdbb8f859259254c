//! Statuses, of which the mirror's counts and the primary's follows; and the locks of commands.

use async_trait::async_trait;

use super::notes::{Ended, Standing};
use super::{Fallback, MOST_ATTEMPTS};
use crate::migrate::Record;
use lock_compat::legacy::{
    CommandLock, CommandName, ProjectPlanStatus, ProjectResult, PullRequest, PullStatus, Timestamp,
    command_key, decode, encode, pull_key,
};
use lock_compat::{LegacyError, LegacyRecords, Result};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LegacyRecords for Fallback {
    async fn set_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        let call = self.mirror().update_project_status(pull, workspace, repo_rel_dir, status);
        self.change_status(pull, call).await
    }

    async fn status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        let key = pull_key(pull)?;
        let _gate = self.0.gate.read().await;
        let primary = self.ask_primary(self.primary().document(&key));
        let (primary, mirror) = tokio::join!(primary, self.mirror().document(&key));
        let (primary, mirror) = (primary?, mirror?);
        let found = match (mirror, primary.flatten()) {
            (Some(mirror), _) => mirror,
            (None, Some(primary)) => {
                let record = Record::read(&key, &primary)?;
                if self.standing(&record).await? != Some(Standing::Counts) {
                    return Ok(None);
                }
                primary
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(decode(&key, &found)?))
    }

    async fn forget_status(&self, pull: &PullRequest) -> Result<()> {
        let key = pull_key(pull)?;
        let _gate = self.0.gate.read().await;
        self.look_before().await?;
        let is_gone = self.forget_in_primary(&key).await?.is_some();
        if !is_gone {
            self.note(&Ended::Status(key.clone())).await?;
        }
        self.mirror().delete_pull_status(pull).await?;
        // A comparison may have given it back meanwhile.
        let settled = match self.forget_in_primary(&key).await {
            Ok(Some(true)) if is_gone => self.mirror().delete_pull_status(pull).await,
            Ok(Some(_)) => Ok(()),
            Ok(None) if !is_gone => Ok(()),
            Ok(None) | Err(_) => self.note(&Ended::Status(key)).await,
        };
        settled.map_err(half_done)
    }

    async fn merge_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        self.change_status(pull, self.mirror().update_pull_with_results(pull, results)).await
    }

    async fn keep_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock> {
        let _gate = self.0.gate.read().await;
        let lock = CommandLock::new(name, time);
        match self.take(&Record::read(&command_key(name), &encode(&lock))?).await? {
            None => Ok(lock),
            Some(_) => Err(LegacyError::CommandLocked),
        }
    }

    async fn forget_command(&self, name: CommandName) -> Result<()> {
        let _gate = self.0.gate.read().await;
        match self.end_if(place_of(name)?, |_| Ok(true)).await? {
            Some(_) => Ok(()),
            None => Err(LegacyError::CommandNotLocked),
        }
    }

    async fn command(&self, name: CommandName) -> Result<Option<CommandLock>> {
        let _gate = self.0.gate.read().await;
        let found = self.found(&place_of(name)?).await?;
        Ok(found.map(|record| decode(record.key(), &record.encode())).transpose()?)
    }
}

impl Fallback {
    /// Changes a status in the mirror, then in the primary.
    async fn change_status<T>(
        &self,
        pull: &PullRequest,
        change: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let key = pull_key(pull)?;
        let _gate = self.0.gate.read().await;
        self.look_before().await?;
        let answer = change.await?;
        // If the primary does not follow, a reconciliation finds the difference.
        self.follow(&key).await.map_err(half_done)?;
        Ok(answer)
    }

    /// Removes a status from the primary, and returns `true` if there was one.
    async fn forget_in_primary(&self, key: &str) -> Result<Option<bool>> {
        for _ in 0..MOST_ATTEMPTS {
            let Some(there) = self.ask_primary(self.primary().document(key)).await? else {
                return Ok(None);
            };
            let Some(there) = there else { return Ok(Some(false)) };
            let remove = self.primary().swap_document(key, Some(&there), None);
            match self.ask_primary(remove).await? {
                None => return Ok(None),
                Some(true) => return Ok(Some(true)),
                Some(false) => {}
            }
        }
        Err(LegacyError::Contended { key: key.to_owned() })
    }

    /// Copies a status from the mirror to the primary; `None` if the mirror serves alone.
    async fn follow(&self, key: &str) -> Result<Option<()>> {
        for _ in 0..MOST_ATTEMPTS {
            // In this order, so that the status written is never older than the one it replaces.
            let Some(primary) = self.ask_primary(self.primary().document(key)).await? else {
                return Ok(None);
            };
            let mirror = self.mirror().document(key).await?;
            if primary == mirror {
                return Ok(Some(()));
            }
            let swap = self.primary().swap_document(key, primary.as_deref(), mirror.as_deref());
            match self.ask_primary(swap).await? {
                None => return Ok(None),
                Some(true) if self.mirror().document(key).await? == mirror => return Ok(Some(())),
                Some(_) => {}
            }
        }
        Err(LegacyError::Contended { key: key.to_owned() })
    }
}

/// The mirror refused: the call certainly did not happen, whatever was asked after that.
pub(super) fn refused(error: LegacyError) -> LegacyError {
    match error {
        LegacyError::Store { source, .. } => LegacyError::Store { unknown: false, source },
        error => error,
    }
}

/// The mirror has it and the primary may not: the call may have happened.
pub(super) fn half_done(error: LegacyError) -> LegacyError {
    match error {
        LegacyError::Store { source, .. } => LegacyError::Store { unknown: true, source },
        error => error,
    }
}

/// The place of a command's lock.
fn place_of(name: CommandName) -> Result<Record> {
    Ok(Record::read(&command_key(name), &encode(&CommandLock::default()))?)
}
