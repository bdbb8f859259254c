//! The store of Atlantis' locks and statuses: the interface of every implementation.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::Result;
use crate::legacy::{
    CommandLock, CommandName, Damaged, Project, ProjectLock, ProjectPlanStatus, ProjectResult,
    PullRequest, PullStatus, Timestamp,
};

/// Atlantis' `locking.Backend`, which is `db.Database` in later versions: the locks of projects,
/// the locks of commands and the statuses of pull requests.
///
/// The results have the shape of the original's: a missing record is `None` and not an error. What
/// one call reads and writes it does at once: of several callers at the same time one wins, and no
/// update is lost. A lock of a project has no end but [`unlock`](Self::unlock) and its sisters.
///
/// Callers use this trait. A store implements its two parts, [`LegacyLocks`](crate::LegacyLocks) and
/// [`LegacyRecords`](crate::LegacyRecords), and has this one by that.
///
/// # Cancel safety
/// A call that is dropped, or whose error [is unknown](crate::LegacyError::is_unknown), may have
/// happened.
#[async_trait]
pub trait LegacyBackend: Debug + Send + Sync + 'static {
    /// Locks a project: `true` and the new lock, or `false` and the lock that is in its way, also
    /// when that is of the same pull request.
    ///
    /// # Errors
    /// When the lock cannot be kept, the one in its way cannot be read, or the store failed.
    async fn try_lock(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)>;

    /// Unlocks a project, whoever locked it, and returns the lock that ended.
    ///
    /// # Errors
    /// When the lock cannot be read, which then stays, or the store failed.
    async fn unlock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>>;

    /// Unlocks a project that this pull request locked, and returns the lock that ended.
    ///
    /// # Errors
    /// When the lock cannot be read, which then stays, or the store failed.
    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>>;

    /// Shows the locks of all projects, in no order.
    ///
    /// # Errors
    /// When the store failed. What cannot be read is no error, but reported beside the locks.
    async fn list(&self) -> Result<Listing>;

    /// Shows the lock of a project.
    ///
    /// # Errors
    /// When the lock cannot be read, or the store failed.
    async fn get_lock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>>;

    /// Unlocks every project that the pull request of this number in this very repository locked,
    /// and returns the locks that ended.
    ///
    /// # Errors
    /// When the store failed, which may be after some have ended: the same call again goes on. What
    /// cannot be read stays, and is reported beside the locks.
    async fn unlock_by_pull(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing>;

    /// Sets the status of the first project of this workspace and directory, whatever its name;
    /// nothing when the pull request has no status.
    ///
    /// # Errors
    /// When the pull request has no valid key, its status cannot be read, or the store failed.
    async fn update_project_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()>;

    /// Shows the status of a pull request.
    ///
    /// # Errors
    /// When the pull request has no valid key, its status cannot be read, or the store failed.
    async fn get_pull_status(&self, pull: &PullRequest) -> Result<Option<PullStatus>>;

    /// Forgets the status of a pull request, if there is one.
    ///
    /// # Errors
    /// When the pull request has no valid key, or the store failed.
    async fn delete_pull_status(&self, pull: &PullRequest) -> Result<()>;

    /// Merges results into the status of a pull request, and returns the new status; see
    /// [`PullStatus::merged`]. A status that cannot be read is replaced.
    ///
    /// # Errors
    /// When the pull request has no valid key, a result is of a command that has none, or the store
    /// failed.
    async fn update_pull_with_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus>;

    /// Locks a command everywhere, from this time on.
    ///
    /// # Errors
    /// [`CommandLocked`](crate::LegacyError::CommandLocked) when it is locked already, and when the
    /// store failed.
    async fn lock_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock>;

    /// Unlocks a command.
    ///
    /// # Errors
    /// [`CommandNotLocked`](crate::LegacyError::CommandNotLocked) when it is not locked, and when
    /// the store failed.
    async fn unlock_command(&self, name: CommandName) -> Result<()>;

    /// Shows the lock of a command.
    ///
    /// # Errors
    /// When the lock cannot be read, or the store failed.
    async fn check_command_lock(&self, name: CommandName) -> Result<Option<CommandLock>>;

    /// Checks that the store answers.
    ///
    /// # Errors
    /// When it does not.
    async fn ping(&self) -> Result<()>;

    /// Ends the background tasks of this store.
    ///
    /// # Errors
    /// When something is left undone.
    async fn close(&self) -> Result<()>;
}

/// The locks that were found, and the values that are not locks.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listing {
    /// The locks.
    pub locks: Vec<ProjectLock>,
    /// Stored values in the place of locks that cannot be decoded.
    pub damaged: Vec<Damaged>,
}

impl Listing {
    /// These locks, and the values that cannot be read.
    #[must_use]
    pub const fn new(locks: Vec<ProjectLock>, damaged: Vec<Damaged>) -> Self {
        Self { locks, damaged }
    }
}
