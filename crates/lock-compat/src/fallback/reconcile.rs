//! Making both stores the same again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use super::{Changed, Fallback, FallbackStore};
use crate::Result;
use crate::legacy::Damaged;
use crate::migrate::{Archive, Kind, Put, Record, Records};

/// What was done to make both stores the same.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reconciliation {
    /// The keys that the mirror had and the primary was given.
    pub returned: Vec<String>,
    /// The keys that the primary had and the mirror was given: nobody knows that they ended.
    pub mirrored: Vec<String>,
    /// The keys that ended in the mirror while it served alone, and now in the primary.
    pub ended: Vec<String>,
    /// The keys under which both have something else, which stays.
    pub conflicts: Vec<String>,
    /// What cannot be read in one of them.
    pub damaged: Vec<Damaged>,
}

impl Reconciliation {
    /// Whether both stores are the same now.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.conflicts.is_empty() && self.damaged.is_empty()
    }
}

impl fmt::Display for Reconciliation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { returned, mirrored, ended, conflicts, damaged } = self;
        write!(
            f,
            "{} returned to the primary, {} mirrored, {} ended, {} in conflict, {} damaged",
            returned.len(),
            mirrored.len(),
            ended.len(),
            conflicts.len(),
            damaged.len(),
        )?;
        conflicts.iter().try_for_each(|key| write!(f, "; {key}"))?;
        damaged.iter().try_for_each(|damaged| write!(f, "; {damaged}"))
    }
}

impl Fallback {
    /// Compares both stores, makes them the same where that is safe, and serves from both if they
    /// are.
    ///
    /// What this process ended while the mirror served alone ends in the primary too. A lock that
    /// only one of them has is given to the other: that nobody holds it any more, nobody knows. Two
    /// different locks of one project or command are a conflict, which an operator has to settle:
    /// until then the mirror serves alone if it does, or the stores serve as before.
    ///
    /// Call it when the primary is back; calls of this process wait for it. Other processes do the
    /// same for themselves.
    ///
    /// # Errors
    /// When one of the stores failed; then nothing changes about who serves.
    ///
    /// # Cancel safety
    /// Dropped, some records may have been copied; the same call again goes on.
    pub async fn reconcile(&self) -> Result<Reconciliation> {
        let _gate = self.gate.write().await;
        let mut reconciliation = Reconciliation::default();
        let primary = by_key(&*self.primary, &mut reconciliation).await?;
        let mirror = by_key(&*self.mirror, &mut reconciliation).await?;
        let changed = std::mem::take(&mut *self.changed());
        let result = self.settle(&primary, &mirror, &changed, &mut reconciliation).await;
        if result.is_err() || !reconciliation.is_clean() {
            // What is not settled yet has to be known the next time.
            let mut now = self.changed();
            now.ended.extend(changed.ended);
            now.statuses.extend(changed.statuses);
        }
        result?;
        if reconciliation.is_clean() {
            self.is_mirror_alone.store(false, Ordering::SeqCst);
        }
        Ok(reconciliation)
    }

    async fn settle(
        &self,
        primary: &BTreeMap<String, Record>,
        mirror: &BTreeMap<String, Record>,
        changed: &Changed,
        reconciliation: &mut Reconciliation,
    ) -> Result<()> {
        for (key, record) in primary {
            let mirrored = mirror.get(key);
            if mirrored.is_some_and(|mirrored| mirrored.encode() == record.encode()) {
                continue;
            }
            let has_ended = changed.ended.contains(&(key.clone(), record.encode()))
                || changed.statuses.contains(key);
            if has_ended {
                if self.primary.remove(record).await? {
                    reconciliation.ended.push(key.clone());
                }
            } else if let Some(mirrored) = mirrored {
                if record.kind() != Kind::Status {
                    reconciliation.conflicts.push(key.clone());
                    continue;
                }
                // The primary's is the one that people saw.
                self.mirror.remove(mirrored).await?;
            }
            if !has_ended {
                copy(&*self.mirror, record, &mut reconciliation.mirrored).await?;
            }
        }
        for (key, record) in mirror {
            let is_in_primary = primary.contains_key(key);
            let was_removed = reconciliation.ended.contains(key);
            if (!is_in_primary || was_removed) && !reconciliation.conflicts.contains(key) {
                copy(&*self.primary, record, &mut reconciliation.returned).await?;
            }
        }
        Ok(())
    }
}

/// Gives a record to a store that has none.
async fn copy(store: &dyn FallbackStore, record: &Record, copied: &mut Vec<String>) -> Result<()> {
    // Somebody may have been quicker, and then the next comparison sees.
    if Archive::put(store, record).await? == Put::Written {
        copied.push(record.key().to_owned());
    }
    Ok(())
}

async fn by_key(
    store: &dyn FallbackStore,
    reconciliation: &mut Reconciliation,
) -> Result<BTreeMap<String, Record>> {
    let Records { records, damaged } = store.records().await?;
    reconciliation.damaged.extend(damaged);
    Ok(records.into_iter().map(|record| (record.key().to_owned(), record)).collect())
}
