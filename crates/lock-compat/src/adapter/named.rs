//! Leases by the keys that Atlantis gives to locks.

use lock_core::{InvalidInput, Lease, LockKey};

use super::{LockAdapter, convert_to_legacy, load, name};
use crate::legacy::{LegacyKey, Project, ProjectLock, encode};
use crate::{LegacyError, Result};

/// Maximum number of ways to read one key, at one host.
const MOST_READINGS: usize = 256;

impl LockAdapter {
    /// The leases of all projects that have this key in Atlantis, at whatever host:
    /// `REPO/PATH/WORKSPACE/NAME`, the name often empty.
    ///
    /// The text does not tell where its parts end, so it is read in every way in which the workspace
    /// has no `/`; Terraform has no other workspaces.
    ///
    /// # Errors
    /// [`InvalidKey`](LegacyError::InvalidKey) when the text has fewer than four parts or too many,
    /// and when the store failed.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn leases_named(&self, key: &str) -> Result<Vec<Lease>> {
        let readings = readings(key);
        if readings.is_empty() || readings.len() > MOST_READINGS {
            return Err(LegacyError::InvalidKey { key: key.to_owned() });
        }
        let mut leases = Vec::new();
        for host in self.hosts().await? {
            for LegacyKey { project, workspace } in &readings {
                // Where the key is too long nothing is locked.
                if let Ok(key) = name::key(project, workspace, &host) {
                    leases.extend(self.head(&key).await?.0);
                }
            }
        }
        leases.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        Ok(leases)
    }

    /// The leases of all projects, or of those of exactly this repository, in the order of their keys.
    ///
    /// # Errors
    /// When the store failed.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn project_leases(&self, repo_full_name: Option<&str>) -> Result<Vec<Lease>> {
        let prefix = repo_full_name.map_or_else(|| name::PROJECTS.to_owned(), name::keys_of);
        Ok(self.leases(&prefix).await?)
    }

    /// The key of the lease that a lock of a project has.
    ///
    /// # Errors
    /// When it is too long.
    pub fn lock_key(lock: &ProjectLock) -> Result<LockKey, InvalidInput> {
        name::key(&lock.project, &lock.workspace, name::host(&lock.pull))
    }

    /// Prefix of exactly the keys of the leases of all projects of a repository.
    #[must_use]
    pub fn key_prefix(repo_full_name: &str) -> String {
        name::keys_of(repo_full_name)
    }

    /// The key that the project of a lease has in Atlantis; `None` if the lease is not of a project.
    #[must_use]
    pub fn legacy_key(key: &LockKey) -> Option<LegacyKey> {
        let (project, workspace, _) = name::project_of(key)?;
        Some(LegacyKey::new(project, &workspace))
    }

    /// Returns `true` if [`leases_named`](Self::leases_named) finds a lock of this key by its text.
    #[must_use]
    pub fn is_found_by_text(key: &LegacyKey) -> bool {
        let readings = readings(&key.to_string());
        readings.len() <= MOST_READINGS && readings.contains(key)
    }

    /// The lock that a lease represents, in Atlantis' bytes: those that it carries, or else those of
    /// [`convert_to_legacy`].
    #[must_use]
    pub fn lock_bytes(lease: &Lease) -> Vec<u8> {
        match load::read(lease) {
            Ok(stored) => stored.encode(),
            Err(_) => encode(&convert_to_legacy(lease)),
        }
    }
}

/// The ways to read a key, those with a short repository and a long path first.
fn readings(key: &str) -> Vec<LegacyKey> {
    let parts: Vec<&str> = key.split('/').collect();
    let is_unnamed = parts.last().is_some_and(|last| last.is_empty());
    let mut readings = Vec::new();
    for repo in 2..parts.len().saturating_sub(2) {
        for workspace in (repo + 1..parts.len() - 1).rev() {
            // A name that is not empty does not end in a slash.
            if is_unnamed && workspace != parts.len() - 2 {
                continue;
            }
            let path = parts[repo..workspace].join("/");
            let mut project = Project::default();
            project.repo_full_name = parts[..repo].join("/");
            project.project_name = parts[workspace + 1..].join("/");
            // Paths are clean, so that `.` is the whole of one.
            let is_clean =
                path == "." || !path.split('/').any(|part| part.is_empty() || part == ".");
            if is_clean && !parts[workspace].is_empty() {
                project.path = path;
                readings.push(LegacyKey::new(project, parts[workspace]));
            }
            if readings.len() > MOST_READINGS {
                return readings;
            }
        }
    }
    readings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str) -> Vec<[String; 4]> {
        let parts = |key: LegacyKey| {
            let Project { repo_full_name, path, project_name, .. } = key.project;
            [repo_full_name, path, key.workspace, project_name]
        };
        readings(key).into_iter().map(parts).collect()
    }

    #[test]
    fn each_reading_makes_the_same_key() {
        for key in
            ["a/b/./default/", "a/b/c/d/default/", "a/b/c/d/default/name", "a/b/c/d/e/f/g/h/i"]
        {
            assert!(!readings(key).is_empty(), "{key}");
            for reading in readings(key) {
                assert_eq!(reading.to_string(), key);
            }
        }
    }

    #[test]
    fn key_of_the_root_of_a_repository_has_one_reading() {
        assert_eq!(read("a/b/./default/"), [["a/b", ".", "default", ""].map(str::to_owned)]);
    }

    #[test]
    fn nested_paths_grouped_repositories_and_names_with_slashes_are_among_the_readings() {
        let all = read("a/b/c/d/e/f");
        for parts in [["a/b", "c/d", "e", "f"], ["a/b/c", "d", "e", "f"], ["a/b", "c", "d", "e/f"]]
        {
            assert!(all.contains(&parts.map(str::to_owned)), "{parts:?}");
        }
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn text_of_too_few_parts_has_no_reading_and_one_of_too_many_is_given_up() {
        for key in ["", "a", "a/b/c", "a/b/c/d", "a/b//default/"] {
            assert!(readings(key).is_empty(), "{key}");
        }
        assert!(readings(&"x/".repeat(500)).len() > MOST_READINGS);
    }
}
