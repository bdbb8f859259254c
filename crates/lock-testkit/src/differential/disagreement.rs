//! A disagreement between a store and the machine, with the commands that led to it.

use std::fmt;

use lock_core::Timestamp;

use super::call::Call;

/// The answers of a store and of the machine differ.
#[derive(Clone, Debug)]
pub struct Disagreement {
    pub(super) history: Vec<Entry>,
    pub(super) expected: String,
    pub(super) answered: String,
}

/// A step of the sequence.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Clock(Timestamp),
    Sent(Call),
}

impl Disagreement {
    /// The number of commands sent; the answer to the last was wrong.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.history.iter().filter(|entry| matches!(entry, Entry::Sent(_))).count()
    }
}

/// Shows all commands, one per line, and then both answers to the last.
impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.history {
            match entry {
                Entry::Clock(now) => writeln!(f, "  the clock is set to {now:?}")?,
                Entry::Sent(call) => writeln!(f, "  {call:?}")?,
            }
        }
        writeln!(f, "the machine answers {}", self.expected)?;
        write!(f, "  the store answers {}", self.answered)?;
        if self.expected == self.answered {
            // Debug output hides the texts of metadata.
            write!(f, "\n  which differ in the texts of their metadata")?;
        }
        Ok(())
    }
}

impl std::error::Error for Disagreement {}
