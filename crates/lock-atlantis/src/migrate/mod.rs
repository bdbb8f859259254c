//! Migration: moves records between stores, from Atlantis' Redis or `BoltDB` file into any store,
//! and back.

mod adapter;
mod atlantis;
mod bolt;
mod record_store;
mod report;
mod verify;

use std::fmt;

pub use bolt::{BoltError, BoltFile};
pub use record_store::{Kind, Put, Record, RecordName, RecordStore, Records, Source};
pub use report::{Finding, Report};

use lock_compat::{LegacyError, Result};

/// The progress of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The present phase.
    pub phase: Phase,
    /// The number of records done.
    pub done: usize,
    /// The total.
    pub total: usize,
}

/// A phase of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// It writes records to the target, or in a dry run checks that it could.
    Moving,
    /// It removes records from the source.
    Removing,
}

type OnProgress<'a> = Box<dyn FnMut(Progress) + Send + 'a>;

/// A migration of all records of a source into a target.
///
/// The target never loses anything: where it has another record, it keeps it, and the report says
/// so. Afterwards both sides are read again and compared byte by byte. A record that cannot be read
/// or stored is reported and hides no other.
///
/// Neither side should change meanwhile; the report names the records that did.
pub struct Migration<'a> {
    from: &'a dyn Source,
    /// The source again, if it is to be emptied.
    emptied: Option<&'a dyn RecordStore>,
    to: &'a dyn RecordStore,
    is_dry_run: bool,
    on_progress: OnProgress<'a>,
}

impl<'a> Migration<'a> {
    /// A migration that leaves the source as it is.
    #[must_use]
    pub fn new(from: &'a dyn Source, to: &'a dyn RecordStore) -> Self {
        Self { from, emptied: None, to, is_dry_run: false, on_progress: Box::new(|_| {}) }
    }

    /// A migration that at the end removes from the source each record that the target has to the
    /// byte, if it is still unchanged.
    ///
    /// Source and target must be two stores. If the first removal also removes the record from the
    /// target, it is put back, the report says so, and no other is removed.
    #[must_use]
    pub fn removing_source(from: &'a dyn RecordStore, to: &'a dyn RecordStore) -> Self {
        Self { emptied: Some(from), ..Self::new(from, to) }
    }

    /// The same, as a dry run that writes nothing.
    #[must_use]
    pub fn dry_run(self) -> Self {
        Self { is_dry_run: true, ..self }
    }

    /// The same, reporting progress after each record.
    #[must_use]
    pub fn on_progress(self, on_progress: impl FnMut(Progress) + Send + 'a) -> Self {
        Self { on_progress: Box::new(on_progress), ..self }
    }

    /// Moves the records.
    ///
    /// # Errors
    /// When a store fails. Records moved so far stay moved; the same call again continues.
    ///
    /// # Cancel safety
    /// A dropped call may have moved or removed some records; the same call again continues.
    pub async fn run(mut self) -> Result<Report> {
        let mut report = Report { is_dry_run: self.is_dry_run, ..Report::default() };
        let Records { mut records, damaged, foreign } = self.from.records().await?;
        (report.damaged, report.foreign) = (damaged, foreign);
        // A lock under its present key takes precedence over the same under an older one, as in
        // Atlantis.
        records.sort_by_cached_key(|record| {
            (record.name().clone(), record.place() != record.key(), record.encode())
        });
        self.move_all(&records, &mut report).await?;
        drop(records);
        if !self.is_dry_run {
            let (source, target) = (self.from.records().await?, self.to.records().await?);
            let agreed = verify::compare(&mut report, source, &target);
            if let Some(source) = self.emptied {
                self.remove_all(source, &agreed, &mut report).await?;
            }
        }
        Ok(report)
    }

    async fn move_all(&mut self, records: &[Record], report: &mut Report) -> Result<()> {
        for (number, record) in records.iter().enumerate() {
            match self.put(record).await {
                Ok(Put::Written) => report.moved.push(record.name().clone()),
                Ok(Put::Same) => report.same.push(record.name().clone()),
                Ok(Put::Conflict(reason)) => report.conflicts.push(found(record, reason)),
                Err(error @ LegacyError::Store { .. }) => return Err(error),
                // The error concerns this record; others may succeed.
                Err(error) => report.refused.push(found(record, error.to_string())),
            }
            self.tell(Phase::Moving, number + 1, records.len());
        }
        Ok(())
    }

    async fn put(&self, record: &Record) -> Result<Put> {
        if !self.is_dry_run {
            return self.to.put(record).await;
        }
        let there = self.to.read(record).await?;
        Ok(there.map_or(Put::Written, |bytes| record.beside(&bytes)))
    }

    async fn remove_all(
        &mut self,
        source: &dyn RecordStore,
        agreed: &[Record],
        report: &mut Report,
    ) -> Result<()> {
        // Locks may be in another store than the other records.
        let mut is_apart = Vec::new();
        for (number, record) in agreed.iter().enumerate() {
            if !source.remove(record).await? {
                let finding = found(record, "it changed before it could be removed");
                report.differences.push(finding);
            } else if !is_apart.contains(&record.kind()) && self.to.read(record).await?.is_none() {
                let _ = self.to.put(record).await?;
                let finding = found(record, "source and target are one store; it was put back");
                report.differences.push(finding);
                return Ok(());
            } else {
                is_apart.push(record.kind());
                report.removed.push(record.name().clone());
            }
            self.tell(Phase::Removing, number + 1, agreed.len());
        }
        Ok(())
    }

    fn tell(&mut self, phase: Phase, done: usize, total: usize) {
        (self.on_progress)(Progress { phase, done, total });
    }
}

impl fmt::Debug for Migration<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, emptied, to, is_dry_run, .. } = self;
        f.debug_struct("Migration")
            .field("from", from)
            .field("to", to)
            .field("is_dry_run", is_dry_run)
            .field("is_removing", &emptied.is_some())
            .finish_non_exhaustive()
    }
}

/// A finding about a record, with its location if that is not its present key.
fn found(record: &Record, reason: impl fmt::Display) -> Finding {
    let is_old = record.place() != record.key();
    let place = if is_old { format!("found under {:?}: ", record.place()) } else { String::new() };
    Finding::new(record.name(), format!("{place}{reason}"))
}
