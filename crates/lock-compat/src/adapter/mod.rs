//! Atlantis' store of locks and statuses on top of a lock store and a document store.

mod convert;
mod hosts;
mod load;
mod locks;
mod name;
mod named;
mod project_queue;
mod queue;
mod queues;
mod statistics;
mod view;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::LockManager;

use crate::documents::{DocumentStore, Replacement, Revision};
use crate::{Result, VersionedStore};
use hosts::Hosts;

pub use convert::{convert_from_legacy, convert_to_legacy};
pub use project_queue::{ProjectName, ProjectQueue, PullName, QueueHolder, QueuedPull, Queues};
pub use queue::{AcquireOptions, ProjectQueuePosition};
pub use statistics::{QueueStatistics, Spans};

/// Maximum number of compare-and-swap attempts.
const MOST_ATTEMPTS: usize = 1000;

/// Atlantis' store over a [`LockManager`], and so over any backend.
///
/// The lock of a project is a lease that never ends, whose owner is the pull request and whose
/// metadata keeps the whole [`ProjectLock`](crate::legacy::ProjectLock). Projects of the same name at different hosts are
/// different; where a call does not say which is meant, and two are locked, it is refused. Statuses of pull requests and locks of commands are
/// documents. Clones share everything.
///
/// Locks outlive the process only where the lock store does. A manager's shutdown leaves them: they
/// belong to the pull requests, and not to the process.
#[derive(Clone)]
pub struct LockAdapter(Arc<Shared>);

struct Shared {
    manager: LockManager,
    documents: Arc<dyn DocumentStore>,
    hosts: Hosts,
}

impl LockAdapter {
    /// Keeps locks with `manager`, and everything else in `documents`.
    #[must_use]
    pub fn new(manager: LockManager, documents: impl DocumentStore) -> Self {
        let documents = Arc::new(documents);
        Self(Arc::new(Shared { manager, documents, hosts: Hosts::default() }))
    }

    /// The manager of the locks.
    #[must_use]
    pub fn manager(&self) -> &LockManager {
        &self.0.manager
    }

    /// The store of everything else.
    #[must_use]
    pub fn documents(&self) -> &dyn DocumentStore {
        &*self.0.documents
    }
}

impl fmt::Debug for LockAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { manager, documents, .. } = &*self.0;
        f.debug_struct("LockAdapter")
            .field("manager", manager)
            .field("documents", documents)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl VersionedStore for LockAdapter {
    type Version = Revision;

    async fn get(&self, key: &str) -> Result<Option<(Revision, Vec<u8>)>> {
        let document = self.documents().read(key).await?;
        Ok(document.map(|document| (document.revision, document.body)))
    }

    async fn compare_and_swap(
        &self,
        key: &str,
        seen: Option<Revision>,
        record: Option<&[u8]>,
    ) -> Result<bool> {
        Ok(self.documents().replace(key, seen, record).await? == Replacement::Done)
    }
}
