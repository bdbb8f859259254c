//! Why a workload is refused.

use std::fmt;
use std::io;

/// A workload that is refused, with all that is wrong with it.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The name of the file, as the messages show it.
    pub(crate) file: String,
    /// The flaw.
    pub(crate) flaw: Flaw,
}

/// Flaw of a workload.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The file has no request.
    Empty,
    /// The file has more requests than this.
    TooMany(usize),
    /// These lines are bad.
    Lines(Vec<BadLine>),
}

/// A line that is bad.
#[derive(Debug)]
pub(crate) struct BadLine {
    /// Its number, the first being 1.
    pub(crate) number: usize,
    /// Its problems, one sentence each.
    pub(crate) problems: Vec<String>,
}

impl Refusal {
    /// The most bad lines that are shown.
    const MAX_SHOWN: usize = 20;
}

/// One bad line a line, as `FILE:LINE: problem; problem`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = &self.file;
        match &self.flaw {
            Flaw::Unreadable(error) => write!(f, "{file}: {error}"),
            Flaw::Empty => write!(f, "{file}: there is no request in it"),
            Flaw::TooMany(most) => write!(f, "{file}: more than {most} requests"),
            Flaw::Lines(lines) => {
                for (index, line) in lines.iter().take(Self::MAX_SHOWN).enumerate() {
                    let end = if index == 0 { "" } else { "\n" };
                    write!(f, "{end}{file}:{}: {}", line.number, line.problems.join("; "))?;
                }
                match lines.len().saturating_sub(Self::MAX_SHOWN) {
                    0 => Ok(()),
                    1 => write!(f, "\n{file}: and 1 more bad line"),
                    more => write!(f, "\n{file}: and {more} more bad lines"),
                }
            }
        }
    }
}
