//! The hosts of repositories whose projects were locked: Atlantis names a project without its host.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use lock_core::{Lease, LockKey};

use super::{LockAdapter, MOST_ATTEMPTS, name};
use crate::documents::{Document, Replacement};
use crate::legacy::{Damaged, Project, decode, encode};
use crate::{LegacyError, Result};

/// The document that has them, as a list in JSON.
const HOSTS: &str = "lock-hosts";

/// The hosts that this process knows to be in the document.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<BTreeSet<String>>);

impl Hosts {
    fn has(&self, host: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(host)
    }

    fn add(&self, host: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
    }
}

impl LockAdapter {
    /// The key of a project at a host, which is also found without knowing the host.
    pub(super) async fn key(
        &self,
        project: &Project,
        workspace: &str,
        host: &str,
    ) -> Result<LockKey> {
        let key = name::key(project, workspace, host)?;
        if host.is_empty() || self.0.hosts.has(host) {
            return Ok(key);
        }
        for _ in 0..MOST_ATTEMPTS {
            let there = self.documents().read(HOSTS).await?;
            let mut hosts = read(there.as_ref())?;
            let is_done = !hosts.insert(host.to_owned()) || {
                let body = encode(&hosts);
                let revision = there.as_ref().map(|there| there.revision);
                self.documents().replace(HOSTS, revision, Some(&body)).await? == Replacement::Done
            };
            if is_done {
                self.0.hosts.add(host);
                return Ok(key);
            }
        }
        Err(LegacyError::Contended { key: HOSTS.to_owned() })
    }

    /// All hosts at which a project may be locked; the empty one is that of old records.
    pub(super) async fn hosts(&self) -> Result<BTreeSet<String>> {
        let mut hosts = read(self.documents().read(HOSTS).await?.as_ref())?;
        hosts.insert(String::new());
        Ok(hosts)
    }

    /// The leases of a project at whatever host.
    pub(super) async fn leases_of(&self, project: &Project, workspace: &str) -> Result<Vec<Lease>> {
        let mut leases = Vec::new();
        for host in self.hosts().await? {
            // Where the key is too long nothing is locked.
            if let Ok(key) = name::key(project, workspace, &host) {
                leases.extend(self.head(&key).await?.0);
            }
        }
        Ok(leases)
    }
}

fn read(document: Option<&Document>) -> Result<BTreeSet<String>, Damaged> {
    document
        .map(|document| decode(HOSTS, &document.body))
        .transpose()
        .map(Option::unwrap_or_default)
}
