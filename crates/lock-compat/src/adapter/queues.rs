//! The queues of a lock store: of a project, of a repository, of a pull request, and all.

use std::collections::BTreeSet;

use lock_core::{InspectQuery, Inspection, Lease, LockKey};
use tokio::task::JoinSet;

use super::project_queue::{ProjectQueue, Queues};
use super::view::PAGE;
use super::{LockAdapter, load, name};
use crate::legacy::{Damaged, Project};
use crate::{LegacyError, Result};

/// Maximum number of keys that are inspected at one time.
const AT_ONCE: usize = 32;

impl LockAdapter {
    /// The queues of all projects that are locked.
    ///
    /// A project is found by its lock. So that of a grant that nobody claimed is missing from the
    /// end of the claim window to the next command on its key, which its next waiter's heartbeat
    /// is.
    ///
    /// # Errors
    /// When the store failed. What cannot be read is no error, but reported beside the queues.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn queues(&self) -> Result<Queues> {
        self.queues_below(name::PROJECTS).await
    }

    /// The queues of the projects of exactly this repository that are locked, at whatever host.
    ///
    /// # Errors
    /// Errors of [`queues`](Self::queues).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn queues_of_repo(&self, repo_full_name: &str) -> Result<Queues> {
        self.queues_below(&name::keys_of(repo_full_name)).await
    }

    /// The queue of a project: one for each host at which it is locked.
    ///
    /// # Errors
    /// [`Invalid`](LegacyError::Invalid) when the names are too long for a key, which then cannot
    /// be locked; and errors of [`queues`](Self::queues).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn queues_of_project(&self, project: &Project, workspace: &str) -> Result<Queues> {
        // The shortest of the keys.
        name::key(project, workspace, "")?;
        let hosts = self.hosts().await?;
        let keys = hosts.iter().filter_map(|host| name::key(project, workspace, host).ok());
        self.read_queues(keys.collect()).await
    }

    /// The queues in which a pull request waits, at whatever host its repository is. Of the waiters
    /// each has those of the pull request alone, at their places among all.
    ///
    /// # Errors
    /// [`Invalid`](LegacyError::Invalid) when the repository is too long for the name of an owner,
    /// which then cannot wait; and errors of [`queues`](Self::queues).
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn queues_of_pull(&self, repo_full_name: &str, pull_num: i64) -> Result<Queues> {
        // The shortest of the names.
        name::owner_of("", repo_full_name, pull_num)?;
        let (mut owners, mut keys) = (Vec::new(), BTreeSet::new());
        for host in self.hosts().await? {
            let Ok(owner) = name::owner_of(&host, repo_full_name, pull_num) else { continue };
            let waiters = self.waiters_of(owner.clone()).await?;
            keys.extend(waiters.into_iter().map(|waiter| waiter.key));
            owners.push(owner);
        }
        keys.retain(|key| name::project_of(key).is_some());
        let mut found = self.read_queues(keys).await?;
        for queue in &mut found.queues {
            queue.waiters.retain(|waiter| owners.contains(&waiter.owner));
        }
        // The turn of a request may have come in the meantime.
        found.queues.retain(|queue| !queue.waiters.is_empty());
        Ok(found)
    }

    async fn queues_below(&self, prefix: &str) -> Result<Queues> {
        let leases = self.leases(prefix).await?;
        self.read_queues(leases.into_iter().map(|lease| lease.key).collect()).await
    }

    /// The queues of these keys, some at one time.
    async fn read_queues(&self, keys: BTreeSet<LockKey>) -> Result<Queues> {
        let (mut reads, mut read) = (JoinSet::new(), Vec::with_capacity(keys.len()));
        let mut keys = keys.into_iter();
        loop {
            while reads.len() < AT_ONCE
                && let Some(key) = keys.next()
            {
                let adapter = self.clone();
                reads.spawn(async move { (key.clone(), adapter.read_queue(key).await) });
            }
            match reads.join_next().await {
                Some(Ok((key, queue))) => read.push((key, queue?)),
                Some(Err(error)) => return Err(LegacyError::store(false, error)),
                None => break,
            }
        }
        read.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut found = Queues::default();
        for (_, (queue, damaged)) in read {
            found.queues.extend(queue);
            found.damaged.extend(damaged);
        }
        Ok(found)
    }

    /// The whole queue of a key, page by page, if it is that of a project, and what is damaged there.
    async fn read_queue(&self, key: LockKey) -> Result<(Option<ProjectQueue>, Option<Damaged>)> {
        let mut query = InspectQuery::new(key).with_limit(PAGE);
        let seen = self.manager().inspect_page(&query).await?;
        let Inspection { leases, holders, waiting, .. } = &seen.value;
        if *holders == 0 && *waiting == 0 {
            return Ok((None, None));
        }
        let Some(mut queue) = ProjectQueue::of(&seen) else {
            let foreign = Damaged::new(seen.value.key.as_str(), "the key is not of a project");
            return Ok((None, Some(foreign)));
        };
        let damaged = leases.first().and_then(unreadable);
        let mut next = seen.value.waiters.next;
        while let Some(cursor) = next {
            query = query.after(cursor);
            let page = self.manager().inspect_page(&query).await?;
            queue.extend(page.observed_at, &page.value.waiters.items);
            next = page.value.waiters.next;
        }
        // The store counts the dead until it drops them.
        queue.waiting = queue.waiters.len() as u64;
        Ok((Some(queue), damaged))
    }
}

/// Why the lock that a lease carries cannot be read.
fn unreadable(lease: &Lease) -> Option<Damaged> {
    load::read(lease).err()
}
