//! The locks of projects: leases that never end, whose owners are pull requests.

use bytes::Bytes;
use lock_compat::legacy::{LegacyKey, ProjectLock, Stored};
use lock_compat::{LegacyError, LockAdapter};
use lock_core::Lease;

use super::views::Version;
use super::{Party, Put, Records, Scope};
use crate::codec::Reply;

/// Maximum attempts to end a lock that changes meanwhile.
const MOST_ATTEMPTS: usize = 100;
/// The lock is not the one that the client saw.
pub(super) const NOT_SEEN: &str =
    "the lock is not the one that this client read, and was not ended";
/// The words of the audit log.
const UNLOCK: &str = "atlantis_unlock";

impl Records {
    /// The keys of the locks in this scope, each once.
    pub(super) async fn lock_keys(
        &self,
        party: &Party,
        scope: &Scope,
    ) -> Result<Vec<String>, Reply> {
        let repo = match scope {
            Scope::All => None,
            Scope::Repo(repo) => Some(repo.as_str()),
        };
        let leases = self.adapter.project_leases(repo).await?;
        let seen = leases.iter().filter(|lease| party.access.covers(lease.key.as_str()));
        let keys = seen.filter_map(|lease| LockAdapter::legacy_key(&lease.key));
        // A key that its text does not lead back to would be shown and never found.
        let keys = keys.filter(LockAdapter::is_found_by_text).map(|key| format!("pr/{key}"));
        let mut keys: Vec<String> = keys.collect();
        // Two hosts may have a project of one name.
        keys.sort_unstable();
        keys.dedup();
        Ok(keys)
    }

    /// The lock of this key, which the client has then seen.
    pub(super) async fn lock(&self, party: &Party, key: &str) -> Result<Option<Bytes>, Reply> {
        let Some(lease) = self.adapter.leases_named(key).await?.into_iter().next() else {
            return Ok(None);
        };
        party.needs(lease.key.as_str())?;
        self.views.show(&party.id, lease.key.as_str(), Version::Lease(lease.token));
        Ok(Some(LockAdapter::lock_bytes(&lease).into()))
    }

    /// Locks a project if nobody has. The same lock once more is a repetition.
    pub(super) async fn put_lock(
        &self,
        party: &Party,
        key: &str,
        value: &[u8],
    ) -> Result<Put, Reply> {
        let stored = Stored::<ProjectLock>::read(&format!("pr/{key}"), value);
        let stored = stored.map_err(|damaged| Reply::error(damaged.to_string()))?;
        let named = LegacyKey::of(stored.value());
        if named.to_string() != key {
            return Err(Reply::error(
                "the lock is of another project than its key, or of an Atlantis before 0.40",
            ));
        }
        if !LockAdapter::is_found_by_text(&named) {
            return Err(Reply::error(
                "the path of the project is not clean, or its workspace is empty or has a slash",
            ));
        }
        let lock_key = LockAdapter::lock_key(stored.value());
        party.needs(lock_key.map_err(|error| Reply::error(error.to_string()))?.as_str())?;
        match self.adapter.try_stored(&stored).await? {
            None => Ok(Put::Done),
            Some(holder) if holder.encode() == value => Ok(Put::Done),
            Some(holder) => {
                let ProjectLock { pull, user, .. } = holder.value();
                Ok(Put::Held(Reply::error(format!(
                    "this project was locked meanwhile by pull request {} of {:?}",
                    pull.num, user.username
                ))))
            }
        }
    }

    /// Ends the lock of this key if it is the one that the client saw.
    pub(super) async fn end_lock(&self, party: &Party, key: &str) -> Result<bool, Reply> {
        let leases = self.adapter.leases_named(key).await?;
        for lease in &leases {
            party.needs(lease.key.as_str())?;
            if self.views.take(&party.id, lease.key.as_str(), Version::Lease(lease.token)) {
                return self.end(party, lease).await;
            }
        }
        match leases.first() {
            None => Ok(false),
            // Atlantis does not look at the answer.
            Some(lease) => {
                tracing::warn!(key = lease.key.as_str(), peer = %party.peer, "{NOT_SEEN}");
                Err(Reply::error(NOT_SEEN))
            }
        }
    }

    /// Ends the lock of this key if it is that of this pull request, and returns it.
    pub(super) async fn end_lock_of(
        &self,
        party: &Party,
        key: &str,
        number: i64,
    ) -> Result<Option<Bytes>, Reply> {
        for _ in 0..MOST_ATTEMPTS {
            let leases = self.adapter.leases_named(key).await?;
            let own = |lease: &&Lease| lock_compat::convert_to_legacy(lease).pull.num == number;
            let Some(lease) = leases.iter().find(own) else { return Ok(None) };
            party.needs(lease.key.as_str())?;
            if self.end(party, lease).await? {
                return Ok(Some(LockAdapter::lock_bytes(lease).into()));
            }
        }
        Err(Reply::error("the lock keeps changing"))
    }

    /// Ends a lease by its name; `false` when it is over already.
    async fn end(&self, party: &Party, lease: &Lease) -> Result<bool, Reply> {
        // Whoever holds by other means renews, and works while it does.
        if !lease.owner.as_str().starts_with("pull:") {
            return Err(Reply::error(format!(
                "this project is held by {:?}, which is no pull request: end it by `lockctl break`",
                lease.owner.as_str()
            )));
        }
        let ended = self.adapter.manager().release_lease(lease).await;
        if let Some(audit) = &self.audit {
            let outcome = match &ended {
                Ok(true) => "done",
                Err(error) if error.is_unknown() => "unknown",
                Ok(false) | Err(_) => "did_not_happen",
            };
            audit.lease_ended(&party.access, party.peer, UNLOCK, lease, outcome);
        }
        ended.map_err(|error| LegacyError::from(error).into())
    }
}
