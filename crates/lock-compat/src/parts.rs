//! The two parts of Atlantis' store, each of which a store offers by itself.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::legacy::{
    CommandLock, CommandName, Project, ProjectLock, ProjectPlanStatus, ProjectResult, PullRequest,
    PullStatus, Timestamp,
};
use crate::{LegacyBackend, Listing, Result};

/// The party that ends the lock of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unlocking {
    /// Anybody, by force.
    Anybody,
    /// The pull request of this number, which ends only its own lock.
    Pull(i64),
}

impl Unlocking {
    /// Returns `true` if the lock may be ended so.
    #[must_use]
    pub const fn may_end(self, lock: &ProjectLock) -> bool {
        match self {
            Self::Anybody => true,
            Self::Pull(number) => lock.pull.num == number,
        }
    }
}

/// The part of a [`LegacyBackend`] that is about locks of projects, and about the store as a whole.
///
/// A store implements this and [`LegacyRecords`], and so is a [`LegacyBackend`], whose callers use
/// only that.
///
/// # Cancel safety
/// A call that is dropped, or whose error [is unknown](crate::LegacyError::is_unknown), may have
/// happened.
#[async_trait]
pub trait LegacyLocks: Debug + Send + Sync + 'static {
    /// Does as [`try_lock`](LegacyBackend::try_lock).
    ///
    /// # Errors
    /// As there.
    async fn try_project(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)>;

    /// Does as [`unlock`](LegacyBackend::unlock), or as
    /// [`unlock_if_owned_by_pull`](LegacyBackend::unlock_if_owned_by_pull).
    ///
    /// # Errors
    /// As there.
    async fn unlock_if(
        &self,
        project: &Project,
        workspace: &str,
        unlocking: Unlocking,
    ) -> Result<Option<ProjectLock>>;

    /// Does as [`list`](LegacyBackend::list).
    ///
    /// # Errors
    /// As there.
    async fn projects(&self) -> Result<Listing>;

    /// Does as [`get_lock`](LegacyBackend::get_lock).
    ///
    /// # Errors
    /// As there.
    async fn project(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>>;

    /// Does as [`unlock_by_pull`](LegacyBackend::unlock_by_pull).
    ///
    /// # Errors
    /// As there.
    async fn unlock_all(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing>;

    /// Does as [`ping`](LegacyBackend::ping).
    ///
    /// # Errors
    /// As there.
    async fn reach(&self) -> Result<()>;

    /// Does as [`close`](LegacyBackend::close).
    ///
    /// # Errors
    /// As there.
    async fn shut(&self) -> Result<()>;
}

/// The part of a [`LegacyBackend`] that is about records: statuses of pull requests and locks of
/// commands.
///
/// Every [`VersionedStore`](crate::VersionedStore) has it. A store that is not one, such as one
/// that keeps each record in two places, implements it by itself.
///
/// # Cancel safety
/// A call that is dropped, or whose error [is unknown](crate::LegacyError::is_unknown), may have
/// happened.
#[async_trait]
pub trait LegacyRecords: Sync {
    /// Does as [`update_project_status`](LegacyBackend::update_project_status).
    ///
    /// # Errors
    /// As there.
    async fn set_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()>;

    /// Does as [`get_pull_status`](LegacyBackend::get_pull_status).
    ///
    /// # Errors
    /// As there.
    async fn status(&self, pull: &PullRequest) -> Result<Option<PullStatus>>;

    /// Does as [`delete_pull_status`](LegacyBackend::delete_pull_status).
    ///
    /// # Errors
    /// As there.
    async fn forget_status(&self, pull: &PullRequest) -> Result<()>;

    /// Does as [`update_pull_with_results`](LegacyBackend::update_pull_with_results).
    ///
    /// # Errors
    /// As there.
    async fn merge_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus>;

    /// Does as [`lock_command`](LegacyBackend::lock_command).
    ///
    /// # Errors
    /// As there.
    async fn keep_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock>;

    /// Does as [`unlock_command`](LegacyBackend::unlock_command).
    ///
    /// # Errors
    /// As there.
    async fn forget_command(&self, name: CommandName) -> Result<()>;

    /// Does as [`check_command_lock`](LegacyBackend::check_command_lock).
    ///
    /// # Errors
    /// As there.
    async fn command(&self, name: CommandName) -> Result<Option<CommandLock>>;
}

/// A store that has both parts has the whole.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LegacyLocks + LegacyRecords> LegacyBackend for S {
    async fn try_lock(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        self.try_project(lock).await
    }

    async fn unlock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.unlock_if(project, workspace, Unlocking::Anybody).await
    }

    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>> {
        self.unlock_if(project, workspace, Unlocking::Pull(pull_num)).await
    }

    async fn list(&self) -> Result<Listing> {
        self.projects().await
    }

    async fn get_lock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.project(project, workspace).await
    }

    async fn unlock_by_pull(&self, repo_full_name: &str, pull_num: i64) -> Result<Listing> {
        self.unlock_all(repo_full_name, pull_num).await
    }

    async fn update_project_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        self.set_status(pull, workspace, repo_rel_dir, status).await
    }

    async fn get_pull_status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        self.status(pull).await
    }

    async fn delete_pull_status(&self, pull: &PullRequest) -> Result<()> {
        self.forget_status(pull).await
    }

    async fn update_pull_with_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        self.merge_results(pull, results).await
    }

    async fn lock_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock> {
        self.keep_command(name, time).await
    }

    async fn unlock_command(&self, name: CommandName) -> Result<()> {
        self.forget_command(name).await
    }

    async fn check_command_lock(&self, name: CommandName) -> Result<Option<CommandLock>> {
        self.command(name).await
    }

    async fn ping(&self) -> Result<()> {
        self.reach().await
    }

    async fn close(&self) -> Result<()> {
        self.shut().await
    }
}
