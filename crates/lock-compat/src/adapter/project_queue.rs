//! The queue of a project, as an inspection of its key shows it.

use std::fmt;
use std::time::Duration;

use lock_core::{
    HeadStart, Inspection, InvalidInput, Lease, LockKey, OwnerId, RequestId, Timed, Timestamp, Ttl,
    Waiter,
};

use super::{load, name};
use crate::legacy::{Damaged, LegacyKey, Project, ProjectLock, Stored};

/// The name of the lock of a project: Atlantis' names, and the host, which Atlantis leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectName {
    /// The project.
    pub project: Project,
    /// The workspace.
    pub workspace: String,
    /// The host of the repository; empty in records of versions that do not write it.
    pub host: String,
}

impl ProjectName {
    /// The name of the lock of a project in a workspace, for pull requests at this host.
    #[must_use]
    pub fn new(project: Project, workspace: &str, host: &str) -> Self {
        Self { project, workspace: workspace.to_owned(), host: host.to_owned() }
    }

    /// The name that a key of a lock store is; `None` if it is not of a project.
    #[must_use]
    pub fn of_key(key: &LockKey) -> Option<Self> {
        let (project, workspace, host) = name::project_of(key)?;
        Some(Self { project, workspace, host })
    }

    /// The key in a lock store.
    ///
    /// # Errors
    /// [`InvalidInput`] when the names are together too long for a key.
    pub fn key(&self) -> Result<LockKey, InvalidInput> {
        name::key(&self.project, &self.workspace, &self.host)
    }

    /// Prefix of exactly the keys of all projects, of whatever repository.
    pub const PREFIX: &str = name::PROJECTS;
}

/// As Atlantis shows the key of a lock.
impl fmt::Display for ProjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LegacyKey::new(self.project.clone(), &self.workspace).fmt(f)
    }
}

/// The name of a pull request, which is all that a lock store knows of one that waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct PullName {
    /// The host of the repository; empty in records of versions that do not write it.
    pub host: String,
    /// Owner and name of the repository.
    pub repo_full_name: String,
    /// The number of the pull request.
    pub num: i64,
}

impl PullName {
    /// The pull request that an owner is; `None` if the owner is something else.
    #[must_use]
    pub fn of_owner(owner: &OwnerId) -> Option<Self> {
        let (host, repo_full_name, num) = name::pull_of(owner)?;
        Some(Self { host, repo_full_name, num })
    }
}

/// As people write it: `REPO#NUMBER`.
impl fmt::Display for PullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.repo_full_name, self.num)
    }
}

/// The queue of a project, and the lock that it waits for the end of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectQueue {
    /// The key in the lock store.
    pub key: LockKey,
    /// The project.
    pub name: ProjectName,
    /// The lock; `None` while the project is handed on.
    pub holder: Option<QueueHolder>,
    /// The number of requests that wait, also where [`waiters`](Self::waiters) has not all of them.
    pub waiting: u64,
    /// The requests that wait, the next one first.
    pub waiters: Vec<QueuedPull>,
}

/// Whoever has the lock of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueHolder {
    /// The owner of the lease.
    pub owner: OwnerId,
    /// The pull request that the owner is; `None` if it is something else.
    pub pull: Option<PullName>,
    /// The lock; `None` if the lease carries none that can be read.
    pub lock: Option<ProjectLock>,
    /// Whether a waiter was granted the lock and its process has not yet claimed it.
    pub is_unclaimed: bool,
    /// Time since the lock was granted.
    pub held: Duration,
}

/// A request in the queue of a project.
///
/// A queue has no metadata: author and description of the pull request are in the lock that it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuedPull {
    /// Its place, 1 being the next.
    pub position: u64,
    /// The owner of the request.
    pub owner: OwnerId,
    /// The pull request that the owner is; `None` if it is something else.
    pub pull: Option<PullName>,
    /// The request.
    pub request: RequestId,
    /// Its head start over its arrival, which its priority gives it.
    pub head_start: HeadStart,
    /// Time since it joined the queue.
    pub waited: Duration,
}

impl ProjectQueue {
    /// The queue that the first page of an inspection shows; `None` if its key is not of a project.
    #[must_use]
    pub fn of(seen: &Timed<Inspection>) -> Option<Self> {
        let name = ProjectName::of_key(&seen.value.key)?;
        let holder = seen.value.leases.first();
        let holder = holder.map(|lease| QueueHolder::of(lease, seen.observed_at));
        let waiting = seen.value.waiting;
        let key = seen.value.key.clone();
        let mut queue = Self { key, name, holder, waiting, waiters: Vec::new() };
        queue.extend(seen.observed_at, &seen.value.waiters.items);
        Some(queue)
    }

    /// Adds the waiters of the next page.
    pub(super) fn extend(&mut self, now: Timestamp, waiters: &[Waiter]) {
        let places = self.waiters.len() as u64 + 1..;
        let waiters = places.zip(waiters).map(|(position, waiter)| QueuedPull {
            position,
            owner: waiter.owner.clone(),
            pull: PullName::of_owner(&waiter.owner),
            request: waiter.request,
            head_start: waiter.head_start,
            waited: now.since(waiter.enqueued_at),
        });
        self.waiters.extend(waiters);
    }
}

impl QueueHolder {
    fn of(lease: &Lease, now: Timestamp) -> Self {
        Self {
            owner: lease.owner.clone(),
            pull: PullName::of_owner(&lease.owner),
            lock: load::read(lease).ok().map(Stored::into_value),
            // A lock never ends, but for the window in which a waiter claims it.
            is_unclaimed: lease.ttl == Ttl::Never && lease.expires_at.is_some(),
            held: now.since(lease.granted_at),
        }
    }
}

/// The queues that were found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Queues {
    /// The queues in the order of the keys, also those in which nobody waits.
    pub queues: Vec<ProjectQueue>,
    /// Keys that are not of a project although they begin as such, and locks that cannot be read.
    pub damaged: Vec<Damaged>,
}
