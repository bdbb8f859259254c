//! Making both stores the same again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;

use super::{Changed, Fallback, FallbackStore};
use crate::legacy::Damaged;
use crate::migrate::{Archive, Kind, Put, Record, Records};
use crate::{LegacyError, Result};

/// How often a record is read that changes all the time.
const MOST_LOOKS: usize = 100;

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
        let mut records = by_key(&*self.primary, &mut reconciliation).await?;
        let mirrored = by_key(&*self.mirror, &mut reconciliation).await?;
        // What is the same on both sides is as it should be.
        for (key, record) in mirrored {
            if records.get(&key).is_some_and(|other| is_same(other, &record)) {
                records.remove(&key);
            } else {
                records.insert(key, record);
            }
        }
        let changed = self.changed().clone();
        self.settle(&records, &changed, &mut reconciliation).await?;
        if reconciliation.is_clean() {
            // Until then it has to be known what is not settled. Nobody adds to it at the gate.
            *self.changed() = Changed::default();
            self.is_mirror_alone.store(false, Ordering::SeqCst);
        }
        Ok(reconciliation)
    }

    async fn settle(
        &self,
        records: &BTreeMap<String, Record>,
        changed: &Changed,
        reconciliation: &mut Reconciliation,
    ) -> Result<()> {
        for (key, record) in records {
            let (mut primary, mut mirror) = self.look(record).await?;
            let is_same = match (&primary, &mirror) {
                (Some(primary), Some(mirror)) => is_same(primary, mirror),
                (primary, mirror) => primary.is_none() && mirror.is_none(),
            };
            if is_same {
                // Another process was at it when it was read first.
                continue;
            }
            if let Some(over) = primary.take_if(|record| changed.is_over(record))
                && self.primary.remove(&over).await?
            {
                reconciliation.ended.push(key.clone());
            }
            if let (Some(_), Some(other)) = (&primary, &mirror) {
                if record.kind() != Kind::Status {
                    reconciliation.conflicts.push(key.clone());
                    continue;
                }
                // The primary's is the one that people saw.
                self.mirror.remove(other).await?;
                mirror = None;
            }
            let (primaries, mirrors) = (&*self.primary, &*self.mirror);
            match (primary, mirror) {
                (Some(record), None) if copy(&record, primaries, mirrors).await? => {
                    reconciliation.mirrored.push(key.clone());
                }
                (None, Some(record)) if copy(&record, mirrors, primaries).await? => {
                    reconciliation.returned.push(key.clone());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What both stores have under a key at one time, while other processes may change it.
    async fn look(&self, record: &Record) -> Result<(Option<Record>, Option<Record>)> {
        let mut primary = read(&*self.primary, record).await?;
        for _ in 0..MOST_LOOKS {
            let mirror = read(&*self.mirror, record).await?;
            let again = read(&*self.primary, record).await?;
            if again == primary {
                return Ok((primary, mirror));
            }
            primary = again;
        }
        Err(LegacyError::Contended { key: record.key().to_owned() })
    }
}

impl Changed {
    /// Whether the mirror went on without this record of the primary.
    fn is_over(&self, record: &Record) -> bool {
        let is_this = |other: &Record| other.key() == record.key() && is_same(other, record);
        self.statuses.contains(record.key()) || self.ended.iter().any(is_this)
    }
}

/// Whether two records say the same; Atlantis may have written the one in other bytes.
fn is_same(one: &Record, other: &Record) -> bool {
    let values = one.as_lock().zip(other.as_lock());
    one.encode() == other.encode()
        || values.is_some_and(|(one, other)| one.value() == other.value())
}

/// The record that is where this one would be.
async fn read(store: &dyn FallbackStore, record: &Record) -> Result<Option<Record>> {
    let bytes = Archive::read(store, record).await?;
    Ok(bytes.map(|bytes| Record::read(record.key(), &bytes)).transpose()?)
}

/// Gives a record of one store to the other that has none; `false` when it was too late.
async fn copy(record: &Record, from: &dyn FallbackStore, to: &dyn FallbackStore) -> Result<bool> {
    if Archive::put(to, record).await? != Put::Written {
        return Ok(false);
    }
    // Whoever ended it meanwhile looks for it once more afterwards; or else we see that it ended.
    let is_there = Archive::read(from, record).await?.is_some_and(|it| it == record.encode());
    if !is_there {
        to.remove(record).await?;
    }
    Ok(is_there)
}

async fn by_key(
    store: &dyn FallbackStore,
    reconciliation: &mut Reconciliation,
) -> Result<BTreeMap<String, Record>> {
    let Records { records, damaged } = store.records().await?;
    reconciliation.damaged.extend(damaged);
    Ok(records.into_iter().map(|record| (record.key().to_owned(), record)).collect())
}
