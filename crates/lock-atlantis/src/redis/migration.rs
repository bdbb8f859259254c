//! Locks under keys of the form before version 0.40, which had no name of the project.

use std::fmt;

use super::AtlantisRedis;
use super::locks::LOCKS;
use lock_compat::Result;
use lock_compat::legacy::{Damaged, LegacyKey, ProjectLock, Stored};

/// What became of locks under old keys.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct KeyMigration {
    /// The old keys of those that were moved.
    pub moved: Vec<String>,
    /// The old keys of those that stay, because their present key has another lock.
    pub conflicts: Vec<String>,
    /// The keys of those that stay, because their lock is of another project than they say.
    pub strangers: Vec<String>,
    /// What cannot be read, and stays.
    pub damaged: Vec<Damaged>,
}

impl KeyMigration {
    /// Whether every lock is under its present key.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.conflicts.is_empty() && self.strangers.is_empty() && self.damaged.is_empty()
    }
}

impl fmt::Display for KeyMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, conflicts, strangers, damaged } = self;
        write!(
            f,
            "{} moved, {} in conflict, {} of another project, {} damaged",
            moved.len(),
            conflicts.len(),
            strangers.len(),
            damaged.len(),
        )?;
        for key in conflicts.iter().chain(strangers) {
            write!(f, "; {key}")?;
        }
        damaged.iter().try_for_each(|damaged| write!(f, "; {damaged}"))
    }
}

impl AtlantisRedis {
    /// Moves locks under keys of the form before version 0.40 to their present keys.
    ///
    /// What the present key is the lock says itself, so that folders within folders and grouped
    /// repositories, whose old keys look like new ones, are moved as well. A lock is under its new
    /// key before it leaves the old one, and never over another lock.
    ///
    /// # Errors
    /// When the server cannot be reached.
    ///
    /// # Cancel safety
    /// Dropped, some locks may have been moved; the next call goes on.
    pub async fn migrate_keys(&self) -> Result<KeyMigration> {
        let (locks, damaged) = self.locks_below(LOCKS, Stored::<ProjectLock>::read).await?;
        let mut migration = KeyMigration { damaged, ..KeyMigration::default() };
        for (key, stored) in locks {
            let present = LegacyKey::of(stored.value());
            let new = format!("{LOCKS}{present}");
            if key == new {
                continue;
            }
            if key != format!("{LOCKS}{}", present.before_names()) {
                migration.strangers.push(key);
                continue;
            }
            let bytes = stored.encode();
            match self.put_if_free(&new, &bytes).await? {
                // A move that was cut short has left the same lock under both.
                Some(held) if held != bytes => migration.conflicts.push(key),
                _ => {
                    self.remove_if_same(&key, &bytes).await?;
                    migration.moved.push(key);
                }
            }
        }
        Ok(migration)
    }
}
