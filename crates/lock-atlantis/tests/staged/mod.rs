//! A store with hooks around every call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lock_atlantis::fallback::FallbackStore;
use lock_atlantis::migrate::{Put, Record, RecordStore, Records, Source};
use lock_compat::legacy::{
    CommandLock, CommandName, Project, ProjectLock, ProjectPlanStatus, ProjectResult, PullRequest,
    PullStatus, Timestamp,
};
use lock_compat::{LegacyBackend, Listing, Result};

/// Hooks around the calls of a store.
#[async_trait]
pub(crate) trait Stage: Send + Sync + 'static {
    /// Before the call of this number; an error keeps it from the store.
    async fn before(&self, call: usize) -> Result<()>;

    /// After the call of this number; an error takes the place of its answer.
    async fn after(&self, call: usize) -> Result<()>;
}

/// A store with hooks around every call.
pub(crate) struct Staged<G> {
    store: Arc<dyn FallbackStore>,
    stage: G,
    calls: AtomicUsize,
}

impl<G: Stage> Staged<G> {
    pub(crate) fn new(store: Arc<dyn FallbackStore>, stage: G) -> Self {
        Self { store, stage, calls: AtomicUsize::new(0) }
    }

    /// Number of calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        self.stage.before(number).await?;
        let answer = call.await;
        self.stage.after(number).await?;
        answer
    }
}

impl<G> fmt::Debug for Staged<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staged").field("store", &self.store).finish_non_exhaustive()
    }
}

#[async_trait]
impl<G: Stage> LegacyBackend for Staged<G> {
    async fn try_lock(&self, lock: ProjectLock) -> Result<(bool, ProjectLock)> {
        self.around(self.store.try_lock(lock)).await
    }
    async fn unlock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.around(self.store.unlock(project, workspace)).await
    }
    async fn unlock_if_owned_by_pull(
        &self,
        project: &Project,
        workspace: &str,
        pull_num: i64,
    ) -> Result<Option<ProjectLock>> {
        self.around(self.store.unlock_if_owned_by_pull(project, workspace, pull_num)).await
    }
    async fn list(&self) -> Result<Listing> {
        self.around(self.store.list()).await
    }
    async fn get_lock(&self, project: &Project, workspace: &str) -> Result<Option<ProjectLock>> {
        self.around(self.store.get_lock(project, workspace)).await
    }
    async fn unlock_by_pull(&self, repo: &str, pull_num: i64) -> Result<Listing> {
        self.around(self.store.unlock_by_pull(repo, pull_num)).await
    }
    async fn update_project_status(
        &self,
        pull: &PullRequest,
        workspace: &str,
        dir: &str,
        status: ProjectPlanStatus,
    ) -> Result<()> {
        self.around(self.store.update_project_status(pull, workspace, dir, status)).await
    }
    async fn get_pull_status(&self, pull: &PullRequest) -> Result<Option<PullStatus>> {
        self.around(self.store.get_pull_status(pull)).await
    }
    async fn delete_pull_status(&self, pull: &PullRequest) -> Result<()> {
        self.around(self.store.delete_pull_status(pull)).await
    }
    async fn update_pull_with_results(
        &self,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> Result<PullStatus> {
        self.around(self.store.update_pull_with_results(pull, results)).await
    }
    async fn lock_command(&self, name: CommandName, time: Timestamp) -> Result<CommandLock> {
        self.around(self.store.lock_command(name, time)).await
    }
    async fn unlock_command(&self, name: CommandName) -> Result<()> {
        self.around(self.store.unlock_command(name)).await
    }
    async fn check_command_lock(&self, name: CommandName) -> Result<Option<CommandLock>> {
        self.around(self.store.check_command_lock(name)).await
    }
    async fn ping(&self) -> Result<()> {
        self.around(self.store.ping()).await
    }
    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

#[async_trait]
impl<G: Stage> Source for Staged<G> {
    async fn records(&self) -> Result<Records> {
        self.around(self.store.records()).await
    }
}

#[async_trait]
impl<G: Stage> RecordStore for Staged<G> {
    async fn read(&self, record: &Record) -> Result<Option<Vec<u8>>> {
        self.around(RecordStore::read(&*self.store, record)).await
    }
    async fn put(&self, record: &Record) -> Result<Put> {
        self.around(self.store.put(record)).await
    }
    async fn remove(&self, record: &Record) -> Result<bool> {
        self.around(self.store.remove(record)).await
    }
}

#[async_trait]
impl<G: Stage> FallbackStore for Staged<G> {
    async fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.around(self.store.document(name)).await
    }
    async fn swap_document(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        self.around(self.store.swap_document(name, old, new)).await
    }
    async fn document_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.around(self.store.document_names(prefix)).await
    }
}
