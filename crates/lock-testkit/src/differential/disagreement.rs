//! How a store and the machine disagree, and after what.

use std::fmt;

use lock_core::Timestamp;

use super::call::Call;

/// A store answered otherwise than the machine.
#[derive(Clone, Debug)]
pub struct Disagreement {
    pub(super) history: Vec<Entry>,
    pub(super) expected: String,
    pub(super) answered: String,
}

/// What was done.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Clock(Timestamp),
    Sent(Call),
}

impl Disagreement {
    /// How many commands were sent, the last of which was answered wrongly.
    #[must_use]
    pub fn commands(&self) -> usize {
        self.history.iter().filter(|entry| matches!(entry, Entry::Sent(_))).count()
    }
}

/// Shows everything that was sent, one command a line, and then both answers to the last.
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
            // Debug forms keep the texts of metadata to themselves.
            write!(f, "\n  which differ in the texts of their metadata")?;
        }
        Ok(())
    }
}

impl std::error::Error for Disagreement {}
