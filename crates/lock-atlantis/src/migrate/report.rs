//! The report of a migration.

use std::fmt;

use super::{Kind, RecordName};
use lock_compat::legacy::Damaged;

/// The outcome of every record of a migration; none is left out.
///
/// Its text is for people. It contains keys and pull request numbers, but no secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// True if it was a dry run: "moved" are then the records that would have been moved.
    pub is_dry_run: bool,
    /// Records that the target lacked and now has.
    pub moved: Vec<RecordName>,
    /// Records that the target already had, to the byte.
    pub same: Vec<RecordName>,
    /// Records of which the target has another version, which it keeps.
    pub conflicts: Vec<Finding>,
    /// Records that the target cannot store.
    pub refused: Vec<Finding>,
    /// Values at the source that cannot be read, and stay there.
    pub damaged: Vec<Damaged>,
    /// Foreign keys at the source, which are left alone.
    pub foreign: Vec<String>,
    /// Records that differed when both sides were read again.
    pub differences: Vec<Finding>,
    /// Records that were removed from the source.
    pub removed: Vec<RecordName>,
    /// The number of the target's records that never came from this source.
    pub others: usize,
}

/// A finding about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The record.
    pub record: RecordName,
    /// The finding, in words.
    pub reason: String,
}

impl Finding {
    pub(super) fn new(record: &RecordName, reason: impl Into<String>) -> Self {
        Self { record: record.clone(), reason: reason.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, reason } = self;
        write!(f, "{:?}: {reason}", record.key)
    }
}

impl Report {
    /// Returns `true` if the target has, or in a dry run would have, everything that the source
    /// has.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.conflicts.is_empty()
            && self.refused.is_empty()
            && self.damaged.is_empty()
            && self.differences.is_empty()
    }

    /// The first column, and the count of each kind.
    fn rows(&self) -> Vec<(&'static str, [usize; 3])> {
        fn count<'a>(names: impl Iterator<Item = &'a RecordName>) -> [usize; 3] {
            let mut counts = [0; 3];
            for name in names {
                for (kind, count) in Kind::ALL.into_iter().zip(&mut counts) {
                    *count += usize::from(kind == name.kind);
                }
            }
            counts
        }
        let findings = |findings: &'static str, found: &[Finding]| {
            (findings, count(found.iter().map(|finding| &finding.record)))
        };
        let moved = if self.is_dry_run { "would be moved" } else { "moved" };
        vec![
            (moved, count(self.moved.iter())),
            ("there already", count(self.same.iter())),
            findings("in conflict", &self.conflicts),
            findings("refused", &self.refused),
            findings("different", &self.differences),
            ("removed at the source", count(self.removed.iter())),
        ]
    }

    fn verdict(&self) -> &'static str {
        match (self.is_dry_run, self.is_clean()) {
            (true, _) => "nothing was written: it was a dry run",
            (false, true) => "both sides agree",
            (false, false) => "not everything is on both sides: see above",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [locks, statuses, commands] = ["locks", "statuses", "commands"];
        writeln!(f, "{:<22}{locks:>9}{statuses:>10}{commands:>10}", "records")?;
        for (what, [locks, statuses, commands]) in self.rows() {
            writeln!(f, "{what:<22}{locks:>9}{statuses:>10}{commands:>10}")?;
        }
        writeln!(f, "damaged at the source: {}", self.damaged.len())?;
        writeln!(f, "others at the target: {}", self.others)?;
        if !self.foreign.is_empty() {
            writeln!(f, "foreign keys at the source, left alone: {}", self.foreign.len())?;
        }
        for (what, findings) in [
            ("in conflict", &self.conflicts),
            ("refused", &self.refused),
            ("different", &self.differences),
        ] {
            findings.iter().try_for_each(|finding| writeln!(f, "{what}: {finding}"))?;
        }
        self.damaged.iter().try_for_each(|damaged| writeln!(f, "damaged: {damaged}"))?;
        self.foreign.iter().try_for_each(|key| writeln!(f, "foreign: {key:?}"))?;
        f.write_str(self.verdict())
    }
}
