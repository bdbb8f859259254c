//! Reconciliation: makes both stores the same again.

use std::collections::BTreeMap;
use std::fmt;

use super::locks::{copy, read};
use super::notes::{Standing, is_same};
use super::{Fallback, FallbackStore, MOST_ATTEMPTS};
use crate::migrate::{Kind, Record, Records};
use lock_compat::legacy::Damaged;
use lock_compat::{LegacyError, Result};

/// The changes that made both stores the same.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Reconciliation {
    /// The keys that were copied from the mirror to the primary, which lacked them or had another
    /// version.
    pub returned: Vec<String>,
    /// The keys that were copied from the primary to the mirror: no note says that they ended.
    pub mirrored: Vec<String>,
    /// The keys that ended in the mirror while it served alone, and were now removed from the
    /// primary.
    pub ended: Vec<String>,
    /// The keys under which the stores differ, which stay.
    pub conflicts: Vec<String>,
    /// Records that cannot be read in one of the stores.
    pub damaged: Vec<Damaged>,
}

impl Reconciliation {
    /// Returns `true` if both stores are the same now.
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
    /// are the same.
    ///
    /// A lock that only one of them has is copied to the other, unless it ended in the mirror while
    /// that served alone: then it ends in the primary too. Two different locks of one project or
    /// command are a conflict, which an operator must settle; until then the serving mode stays as
    /// it is. Of two statuses the mirror's counts.
    ///
    /// It runs automatically when the primary is back, and may be called at any time; calls of this
    /// process wait for it. Other processes reconcile for themselves.
    ///
    /// # Errors
    /// When one of the stores failed; the serving mode then stays as it is.
    ///
    /// # Cancel safety
    /// Dropped, some records may have been copied; the same call again goes on.
    pub async fn reconcile(&self) -> Result<Reconciliation> {
        let _gate = self.0.gate.write().await;
        let mut reconciliation = Reconciliation::default();
        let mut records = by_key(self.primary(), &mut reconciliation).await?;
        let mirrored = by_key(self.mirror(), &mut reconciliation).await?;
        // Records that are the same on both sides need nothing.
        for (key, record) in mirrored {
            if records.get(&key).is_some_and(|other| is_same(other, &record)) {
                records.remove(&key);
            } else {
                records.insert(key, record);
            }
        }
        for record in records.values() {
            for attempt in 0.. {
                if self.settle(record, &mut reconciliation).await? {
                    break;
                }
                if attempt == MOST_ATTEMPTS {
                    return Err(LegacyError::Contended { key: record.key().to_owned() });
                }
            }
        }
        self.settle_notes().await?;
        if reconciliation.is_clean() {
            self.0.health.restore();
        }
        Ok(reconciliation)
    }

    /// Settles the records under a key; `false` if another process changed them meanwhile.
    async fn settle(&self, record: &Record, report: &mut Reconciliation) -> Result<bool> {
        let key = record.key().to_owned();
        let (primary, mirror) = self.look(record).await?;
        match (primary, mirror) {
            (None, None) => {}
            (Some(primary), Some(mirror)) if is_same(&primary, &mirror) => {}
            (Some(primary), None) => match self.standing_now(&primary).await? {
                Standing::IsGone => return Ok(false),
                Standing::IsOver => {
                    if self.primary().remove(&primary).await? {
                        report.ended.push(key);
                    }
                }
                Standing::Counts => {
                    if copy(&primary, self.primary(), self.mirror()).await? {
                        report.mirrored.push(key);
                    }
                }
            },
            (None, Some(mirror)) => {
                if copy(&mirror, self.mirror(), self.primary()).await? {
                    report.returned.push(key);
                }
            }
            (Some(primary), Some(mirror)) if record.kind() == Kind::Status => {
                let (old, new) = (primary.encode(), mirror.encode());
                if self.primary().swap_document(&key, Some(&old), Some(&new)).await? {
                    report.returned.push(key);
                }
            }
            (Some(primary), Some(mirror)) => {
                match self.standing_now(&primary).await? {
                    Standing::IsGone => return Ok(false),
                    Standing::Counts => {
                        report.conflicts.push(key);
                        return Ok(true);
                    }
                    Standing::IsOver => {}
                }
                if self.primary().remove(&primary).await? {
                    report.ended.push(key.clone());
                }
                if copy(&mirror, self.mirror(), self.primary()).await? {
                    report.returned.push(key);
                }
            }
        }
        Ok(true)
    }

    /// The records of both stores under a key at one time, while other processes may change them.
    async fn look(&self, record: &Record) -> Result<(Option<Record>, Option<Record>)> {
        let mut primary = read(self.primary(), record).await?;
        for _ in 0..MOST_ATTEMPTS {
            let mirror = read(self.mirror(), record).await?;
            let again = read(self.primary(), record).await?;
            if again == primary {
                return Ok((primary, mirror));
            }
            primary = again;
        }
        Err(LegacyError::Contended { key: record.key().to_owned() })
    }
}

async fn by_key(
    store: &dyn FallbackStore,
    reconciliation: &mut Reconciliation,
) -> Result<BTreeMap<String, Record>> {
    let Records { records, damaged, .. } = store.records().await?;
    reconciliation.damaged.extend(damaged);
    let mut by_key: BTreeMap<String, Record> = BTreeMap::new();
    for record in records {
        let key = record.key().to_owned();
        // A store that distinguishes more than Atlantis may have several under one key.
        match by_key.insert(key.clone(), record) {
            Some(other) if !is_same(&other, &by_key[&key]) => reconciliation.conflicts.push(key),
            _ => {}
        }
    }
    Ok(by_key)
}
