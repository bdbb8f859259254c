//! Statuses of pull requests and locks of commands.

use super::{AtlantisRedis, MOST_ATTEMPTS};
use crate::legacy::{
    CommandLock, CommandName, ProjectPlanStatus, ProjectResult, PullRequest, PullStatus, Stored,
    Timestamp, command_key, decode, encode, pull_key,
};
use crate::server::named;
use crate::{LegacyError, Result};

impl AtlantisRedis {
    pub(super) async fn set_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        let key = pull_key(pull)?;
        for _ in 0..MOST_ATTEMPTS {
            let Some(old) = self.server().get(&key).await? else { return Ok(()) };
            let mut stored: Stored<PullStatus> = Stored::read(&key, &old)?;
            let mut changed = stored.value().clone();
            if !changed.set_first(workspace, repo_rel_dir, status) {
                return Ok(());
            }
            stored.update(changed);
            if self.put_if_same(&key, Some(&old), &stored.encode()).await? {
                return Ok(());
            }
        }
        Err(LegacyError::Contended { key })
    }

    pub(super) async fn status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        let key = pull_key(pull)?;
        let bytes = self.server().get(&key).await?;
        Ok(bytes.map(|bytes| decode(&key, &bytes)).transpose()?)
    }

    pub(super) async fn forget_status(&self, pull: &PullRequest) -> Result<()> {
        self.server().ask(redis::cmd("DEL").arg(pull_key(pull)?)).await
    }

    pub(super) async fn merge_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        let key = pull_key(pull)?;
        for _ in 0..MOST_ATTEMPTS {
            let old = self.server().get(&key).await?;
            let merged = PullStatus::merged_into(&key, old.as_deref(), pull, results)?;
            if self.put_if_same(&key, old.as_deref(), &encode(&merged)).await? {
                return Ok(merged);
            }
        }
        Err(LegacyError::Contended { key })
    }

    pub(super) async fn keep_command(
        &self,
        name: CommandName,
        time: Timestamp,
    ) -> Result<CommandLock> {
        let (key, lock) = (command_key(name), CommandLock::new(name, time));
        let held = self.put_if_free(&key, &encode(&lock)).await;
        match held.map_err(|error| named(error, &key))? {
            None => Ok(lock),
            Some(_) => Err(LegacyError::CommandLocked),
        }
    }

    pub(super) async fn forget_command(&self, name: CommandName) -> Result<()> {
        let was_there: bool = self.server().ask(redis::cmd("DEL").arg(command_key(name))).await?;
        if was_there { Ok(()) } else { Err(LegacyError::CommandNotLocked) }
    }

    pub(super) async fn command(&self, name: CommandName) -> Result<Option<CommandLock>> {
        let key = command_key(name);
        let bytes = self.server().get(&key).await?;
        Ok(bytes.map(|bytes| decode(&key, &bytes)).transpose()?)
    }
}
