//! Check whether a pull request may proceed with a project, with messages for users.

use std::sync::Arc;

use crate::legacy::{Project, PullRequest, User, VcsHostKind};
use crate::{LegacyLocker, Result};

/// Atlantis' `events.DefaultProjectLocker`: a pull request goes on with a project that is free or
/// that it locked itself, and otherwise learns which pull request blocks it.
#[derive(Clone, Debug)]
pub struct ProjectLocker {
    locker: Arc<dyn LegacyLocker>,
    executable: String,
}

/// Outcome of an attempt to proceed with a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectLockResponse {
    /// `true` if the pull request may go on.
    pub lock_acquired: bool,
    /// Why it may not; empty otherwise.
    pub lock_failure_reason: String,
    /// The key of the lock; empty when the pull request may not go on.
    pub lock_key: String,
}

impl ProjectLocker {
    /// Locks with `locker`, for an Atlantis that people call `atlantis` in their comments.
    #[must_use]
    pub fn new(locker: Arc<dyn LegacyLocker>) -> Self {
        Self { locker, executable: "atlantis".to_owned() }
    }

    /// The same, for an Atlantis that people call so.
    #[must_use]
    pub fn with_executable(self, name: &str) -> Self {
        Self { executable: name.to_owned(), ..self }
    }

    /// Locks a project for a pull request, unless it has locked it already.
    ///
    /// Pull requests are compared by their numbers: the project says which repository is meant.
    ///
    /// # Errors
    /// Errors of [`LegacyLocker::try_lock`].
    ///
    /// # Cancel safety
    /// A dropped call may have happened.
    pub async fn try_lock(
        &self,
        pull: PullRequest,
        user: User,
        workspace: &str,
        project: Project,
    ) -> Result<ProjectLockResponse> {
        let num = pull.num;
        let answer = self.locker.try_lock(project, workspace, pull, user).await?;
        if !answer.lock_acquired && answer.curr_lock.pull.num != num {
            let link = link(&answer.curr_lock.pull);
            let lock_failure_reason = format!(
                "This project is currently locked by an unapplied plan from pull {link}. To \
                 continue, delete the lock from {link} or apply that plan and merge the pull \
                 request.\n\nOnce the lock is released, comment `{} plan` here to re-plan.",
                self.executable,
            );
            return Ok(ProjectLockResponse { lock_failure_reason, ..Default::default() });
        }
        let (lock_acquired, lock_key) = (true, answer.lock_key);
        Ok(ProjectLockResponse { lock_acquired, lock_key, ..Default::default() })
    }
}

/// Returns a link to a pull request for a comment at its host.
fn link(pull: &PullRequest) -> String {
    let sign = match pull.base_repo.vcs_host.kind {
        VcsHostKind::Gitlab | VcsHostKind::AzureDevops => '!',
        _ => '#',
    };
    format!("{sign}{}", pull.num)
}
