//! The result of a differential test.

use std::collections::BTreeMap;
use std::fmt;

use lock_core::{LockEvent, MailboxId, Notice};

use super::Disagreement;
use super::answer::{self, Answer, KINDS};

/// The counts of answers, notices and changes, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// All kinds of answers, changes and notices.
    #[must_use]
    pub const fn kinds() -> &'static [&'static str] {
        KINDS
    }

    /// The count of this kind.
    #[must_use]
    pub fn of(&self, kind: &str) -> u64 {
        self.0.get(kind).copied().unwrap_or_default()
    }

    pub(super) fn count(&mut self, answer: &Answer) {
        for kind in answer.kinds() {
            *self.0.entry(kind).or_default() += 1;
        }
    }

    pub(super) fn count_changes(&mut self, events: &[LockEvent]) {
        for event in events {
            *self.0.entry(answer::change(&event.change)).or_default() += 1;
        }
    }

    pub(super) fn count_notices(&mut self, notices: &[(MailboxId, Notice)]) {
        for (_, notice) in notices {
            *self.0.entry(answer::notice(notice)).or_default() += 1;
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            *self.0.entry(kind).or_default() += count;
        }
    }
}

/// One kind per line.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(kind, count)| writeln!(f, "{count:>9} {kind}"))
    }
}

/// A run in which store and machine agreed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The number of sequences run.
    pub sequences: u32,
    /// The seed of the first; the others follow by one.
    pub seed: u64,
    /// The counts of answers, notices and changes, by kind.
    pub tally: Tally,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { sequences: 0, seed, tally: Tally::default() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequences, seed, tally } = self;
        write!(f, "{sequences} sequences from seed {seed} on agree:\n{tally}")
    }
}

/// A run that ended with a disagreement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The number of sequences that agreed before.
    pub agreed: u32,
    /// The seed of the sequence that did not.
    pub seed: u64,
    /// The disagreement of the shortest sequence found from there.
    pub disagreement: Disagreement,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreed, seed, disagreement } = self;
        writeln!(f, "{agreed} sequences agree, but not the one of seed {seed}:")?;
        writeln!(f, "{disagreement}")?;
        write!(f, "run it alone: LOCK_DIFFERENTIAL_SEED={seed} LOCK_DIFFERENTIAL_SEQUENCES=1")
    }
}

impl std::error::Error for Failure {}
