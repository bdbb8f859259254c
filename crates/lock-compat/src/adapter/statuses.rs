//! Statuses of pull requests and locks of commands: documents.

use super::{LockAdapter, MOST_ATTEMPTS};
use crate::documents::{Document, Replacement, Revision};
use crate::legacy::{
    CommandLock, CommandName, ProjectPlanStatus, ProjectResult, PullRequest, PullStatus, Stored,
    Timestamp, command_key, decode, encode, pull_key,
};
use crate::{LegacyError, Result};

/// What becomes of a document.
enum Change<T> {
    /// It stays, and this is the answer.
    Keep(T),
    /// It becomes this, and then that is the answer.
    Write(Vec<u8>, T),
    /// It goes, and then this is the answer.
    Remove(T),
}

impl LockAdapter {
    pub(super) async fn set_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        let key = pull_key(pull)?;
        self.change(&key, |document| {
            let Some(document) = document else { return Ok(Change::Keep(())) };
            let mut stored: Stored<PullStatus> = Stored::read(&key, &document.body)?;
            let mut changed = stored.value().clone();
            if !changed.set_first(workspace, repo_rel_dir, status) {
                return Ok(Change::Keep(()));
            }
            stored.update(changed);
            Ok(Change::Write(stored.encode(), ()))
        })
        .await
    }

    pub(super) async fn status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        let key = pull_key(pull)?;
        let Some(document) = self.documents().read(&key).await? else { return Ok(None) };
        Ok(Some(decode(&key, &document.body)?))
    }

    pub(super) async fn forget_status(&self, pull: &PullRequest) -> Result<()> {
        self.change(&pull_key(pull)?, |document| {
            Ok(if document.is_some() { Change::Remove(()) } else { Change::Keep(()) })
        })
        .await
    }

    pub(super) async fn merge_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        let key = pull_key(pull)?;
        self.change(&key, |document| {
            let body = document.map(|document| &*document.body);
            let merged = PullStatus::merged_into(&key, body, pull, results)?;
            Ok(Change::Write(encode(&merged), merged))
        })
        .await
    }

    pub(super) async fn keep_command(
        &self,
        name: CommandName,
        time: Timestamp,
    ) -> Result<CommandLock> {
        self.change(&command_key(name), |document| {
            if document.is_some() {
                return Err(LegacyError::CommandLocked);
            }
            let lock = CommandLock::new(name, time);
            Ok(Change::Write(encode(&lock), lock))
        })
        .await
    }

    pub(super) async fn forget_command(&self, name: CommandName) -> Result<()> {
        self.change(&command_key(name), |document| match document {
            Some(_) => Ok(Change::Remove(())),
            None => Err(LegacyError::CommandNotLocked),
        })
        .await
    }

    pub(super) async fn command(&self, name: CommandName) -> Result<Option<CommandLock>> {
        let key = command_key(name);
        let Some(document) = self.documents().read(&key).await? else { return Ok(None) };
        Ok(Some(decode(&key, &document.body)?))
    }

    /// Reads a document and changes it, again when somebody else was quicker.
    async fn change<T>(
        &self,
        name: &str,
        change: impl Fn(Option<&Document>) -> Result<Change<T>>,
    ) -> Result<T> {
        for _ in 0..MOST_ATTEMPTS {
            let document = self.documents().read(name).await?;
            let (body, answer) = match change(document.as_ref())? {
                Change::Keep(answer) => return Ok(answer),
                Change::Write(body, answer) => (Some(body), answer),
                Change::Remove(answer) => (None, answer),
            };
            let expected: Option<Revision> = document.map(|document| document.revision);
            match self.documents().replace(name, expected, body.as_deref()).await? {
                Replacement::Done => return Ok(answer),
                Replacement::Changed => {}
            }
        }
        Err(LegacyError::Contended { key: name.to_owned() })
    }
}
