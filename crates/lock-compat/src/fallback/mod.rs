//! A second store that takes over when the first is lost, without there ever being two holders.

mod locks;
mod reconcile;
mod statuses;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::RwLock;

pub use reconcile::Reconciliation;

use crate::legacy::{
    CommandLock, CommandName, Project, ProjectLock, ProjectPlanStatus, ProjectResult, PullRequest,
    PullStatus, Timestamp,
};
use crate::migrate::{Archive, Record};
use crate::{LegacyBackend, LegacyError, Listing, Result};

/// A store that can be one of the two of a [`Fallback`].
///
/// Every store of Atlantis' records that can be migrated is one.
pub trait FallbackStore: LegacyBackend + Archive {}

impl<S: LegacyBackend + Archive> FallbackStore for S {}

/// What is done when the primary store is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLoss {
    /// Every call fails until it is back.
    #[default]
    FailClosed,
    /// The mirror serves alone.
    ServeMirror,
}

/// A primary store whose every record is written through to a mirror, which can serve when the
/// primary is lost.
///
/// Nothing is locked that is not locked in the mirror first, whether the primary is there or not.
/// So two processes never lock the same, even if the one sees the primary and the other does not,
/// as long as they share the mirror. The price is that nothing is locked without the mirror either:
/// when that is lost, calls fail until it is back.
///
/// That is why there is no other way to make one than to [open](Self::open) it, which compares both
/// stores first: a store that was not written through to cannot take over.
pub struct Fallback {
    primary: Arc<dyn FallbackStore>,
    mirror: Arc<dyn FallbackStore>,
    on_loss: OnLoss,
    is_mirror_alone: AtomicBool,
    /// Calls hold it to read, and who compares the stores to write.
    gate: RwLock<()>,
    /// What this process changed while the mirror served alone.
    changed: Mutex<Changed>,
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// Both stores, of which the primary is read.
    WriteThrough,
    /// The mirror alone.
    MirrorAlone,
}

#[derive(Clone, Debug, Default)]
struct Changed {
    /// Locks that ended.
    ended: Vec<Record>,
    /// The keys of statuses.
    statuses: BTreeSet<String>,
}

impl Fallback {
    /// Compares both stores, makes them the same where that is safe, and serves from then on.
    ///
    /// # Errors
    /// [`NotReconciled`](LegacyError::NotReconciled) when they hold different locks of one project
    /// or command, or something that cannot be read; and when one of the stores failed: what was
    /// not compared cannot take over.
    ///
    /// # Cancel safety
    /// Dropped, some records may have been copied; the same call again goes on.
    pub async fn open(
        primary: Arc<dyn FallbackStore>,
        mirror: Arc<dyn FallbackStore>,
        on_loss: OnLoss,
    ) -> Result<Self> {
        let fallback = Self {
            primary,
            mirror,
            on_loss,
            is_mirror_alone: AtomicBool::new(true),
            gate: RwLock::default(),
            changed: Mutex::default(),
        };
        let reconciliation = fallback.reconcile().await?;
        if reconciliation.is_clean() {
            Ok(fallback)
        } else {
            Err(LegacyError::NotReconciled(Box::new(reconciliation)))
        }
    }

    /// Who serves now.
    #[must_use]
    pub fn mode(&self) -> Mode {
        if self.is_mirror_alone() { Mode::MirrorAlone } else { Mode::WriteThrough }
    }

    fn is_mirror_alone(&self) -> bool {
        self.is_mirror_alone.load(Ordering::SeqCst)
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the primary, unless the mirror serves alone; `None` when it does from now on.
    async fn ask_primary<T>(&self, call: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        if self.is_mirror_alone() {
            return Ok(None);
        }
        match call.await {
            Err(error @ LegacyError::Store { .. }) if self.on_loss == OnLoss::ServeMirror => {
                if !self.is_mirror_alone.swap(true, Ordering::SeqCst) {
                    tracing::warn!(%error, "the primary store is lost: the mirror serves alone");
                }
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("primary", &self.primary)
            .field("mirror", &self.mirror)
            .field("on_loss", &self.on_loss)
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl LegacyBackend for Fallback {
    async fn try_lock(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        self.try_project(lock).await
    }

    async fn unlock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.unlock_if(project, workspace, |_| true).await
    }

    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>> {
        self.unlock_if(project, workspace, |lock| lock.pull.num == pull_num).await
    }

    async fn list(&self) -> Result<Listing> {
        let _gate = self.gate.read().await;
        match self.ask_primary(self.primary.list()).await? {
            Some(listing) => Ok(listing),
            None => self.mirror.list().await,
        }
    }

    async fn get_lock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        let _gate = self.gate.read().await;
        match self.ask_primary(self.primary.get_lock(project, workspace)).await? {
            Some(lock) => Ok(lock),
            None => self.mirror.get_lock(project, workspace).await,
        }
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
        let calls = [&self.primary, &self.mirror]
            .map(|store| store.update_project_status(pull, workspace, repo_rel_dir, status));
        self.change_status(pull, calls).await
    }

    async fn get_pull_status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        let _gate = self.gate.read().await;
        match self.ask_primary(self.primary.get_pull_status(pull)).await? {
            Some(status) => Ok(status),
            None => self.mirror.get_pull_status(pull).await,
        }
    }

    async fn delete_pull_status(&self, pull: &PullRequest) -> Result<()> {
        let calls = [&self.primary, &self.mirror].map(|store| store.delete_pull_status(pull));
        self.change_status(pull, calls).await
    }

    async fn update_pull_with_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        let calls = [&self.primary, &self.mirror]
            .map(|store| store.update_pull_with_results(pull, results));
        self.change_status(pull, calls).await
    }

    async fn lock_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock> {
        self.keep_command(name, time).await
    }

    async fn unlock_command(&self, name: CommandName) -> Result<()> {
        self.forget_command(name).await
    }

    async fn check_command_lock(&self, name: CommandName) -> Result<Option<CommandLock>> {
        let _gate = self.gate.read().await;
        match self.ask_primary(self.primary.check_command_lock(name)).await? {
            Some(lock) => Ok(lock),
            None => self.mirror.check_command_lock(name).await,
        }
    }

    async fn ping(&self) -> Result<()> {
        let _gate = self.gate.read().await;
        self.ask_primary(self.primary.ping()).await?;
        self.mirror.ping().await
    }

    async fn close(&self) -> Result<()> {
        self.primary.close().await?;
        self.mirror.close().await
    }
}
