//! Conversion between leases and project locks, for users of the lock store itself.

use lock_core::{AcquireRequest, FencingToken, InvalidInput, Lease, RequestId, Ttl};

use super::{load, name};
use crate::legacy::{Project, ProjectLock, PullRequest, Stored, Timestamp, User};

/// The project lock that a lease represents.
///
/// A lease of a [`LockAdapter`](super::LockAdapter) carries its lock. Of any other the lock is made:
/// the project and the pull request by the names of the key and the owner, as far as they are
/// those of the adapter, or else with the key as the path and the owner as the user; and the time
/// that it was granted.
#[must_use]
pub fn convert_to_legacy(lease: &Lease) -> ProjectLock {
    if let Ok(stored) = load::read(lease) {
        return stored.into_value();
    }
    let (project, workspace, host) = name::project_of(&lease.key).unwrap_or_else(|| {
        let mut project = Project::default();
        lease.key.as_str().clone_into(&mut project.path);
        (project, String::new(), String::new())
    });
    let mut pull = PullRequest::default();
    pull.base_repo.vcs_host.hostname = host;
    pull.base_repo.full_name.clone_from(&project.repo_full_name);
    let username = match name::pull_of(&lease.owner) {
        Some((host, repo, num)) => {
            pull.base_repo.vcs_host.hostname = host;
            (pull.base_repo.full_name, pull.num) = (repo, num);
            lease.metadata.get(load::AUTHOR).unwrap_or_default()
        }
        None => lease.owner.as_str(),
    };
    username.clone_into(&mut pull.author);
    let (user, time) = (User::new(username), Timestamp::from(lease.granted_at));
    ProjectLock::new(project, pull, user, &workspace, time)
}

/// The lease that a [`LockAdapter`](super::LockAdapter) has of a lock, of this request and with this
/// token; [`convert_to_legacy`] makes the same lock of it again.
///
/// # Errors
/// [`InvalidInput`] when a name of the lock, or the whole of it, is too long for a lease.
pub fn convert_from_legacy(
    lock: &ProjectLock,
    request: RequestId,
    token: FencingToken,
) -> Result<Lease, InvalidInput> {
    let key = name::key(&lock.project, &lock.workspace, name::host(&lock.pull))?;
    let request = AcquireRequest::new(request, key, name::owner(&lock.pull)?)
        .with_ttl(Ttl::Never)
        .with_metadata(load::metadata(&Stored::new(lock.clone()))?);
    Ok(Lease::granted(&request, token, lock.time.into()))
}
