//! Locks under keys of the form before version 0.40, which had no name of the project.

use std::fmt;

use super::AtlantisRedis;
use super::locks::LOCKS;
use lock_compat::Result;
use lock_compat::legacy::{Damaged, LegacyKey, ProjectLock, Stored};

/// The result of moving locks from old keys.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct KeyMigration {
    /// The old keys of the moved locks.
    pub moved: Vec<String>,
    /// The old keys of locks that stay, because their present key has another lock.
    pub conflicts: Vec<String>,
    /// The keys of locks that stay, because the lock is of another project than its key.
    pub strangers: Vec<String>,
    /// Values that cannot be read, and stay.
    pub damaged: Vec<Damaged>,
}

impl KeyMigration {
    /// Returns `true` if every lock is under its present key.
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
    /// The lock itself names its present key, so that nested folders and grouped repositories,
    /// whose old keys look like new ones, are moved as well. A lock is under its new key before it
    /// leaves the old one, and never over another lock.
    ///
    /// # Errors
    /// When the server cannot be reached.
    ///
    /// # Cancel safety
    /// A dropped call may have moved some locks; the next call continues.
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
                // An interrupted move has left the same lock under both.
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
