//! Fatal errors and their exit codes.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::process::ExitCode;

use tokio::task::JoinError;

use crate::args::USAGE;
use crate::refusal::Refusal;
use crate::workload::Id;

/// Fatal error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments are wrong; nothing was run.
    Usage(String),
    /// The workload is refused; nothing was run.
    Workload(Refusal),
    /// The runtime could not be started, or the output not be written.
    Io(io::Error),
    /// The store could not be watched.
    Watch(lock_core::Error),
    /// This many events were missed at least, and who was ahead of whom is not known any more.
    Missed(u64),
    /// A request did not get its key, or lost it.
    Turn(Id, lock_core::Error),
    /// A task panicked.
    Task(JoinError),
    /// The locks were not kept: what is wrong, a sentence each.
    Check(Vec<String>),
}

impl Failure {
    /// 2 when the arguments or the workload are at fault and nothing was run, else 1.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) | Self::Workload(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// Returns `true` if the reader of the output closed it, as `head` does.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(problem) => write!(f, "{problem}\n{}", USAGE.trim_end()),
            Self::Workload(refusal) => refusal.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Watch(error) => with_causes(f, error),
            Self::Missed(events) => {
                write!(f, "at least {events} events were missed, so the timeline would have gaps")
            }
            Self::Turn(id, error) => {
                write!(f, "{id}: ")?;
                with_causes(f, error)
            }
            Self::Task(error) => error.fmt(f),
            Self::Check(problems) => write!(f, "check failed: {}", problems.join("\n  ")),
        }
    }
}

fn with_causes(f: &mut fmt::Formatter<'_>, error: &lock_core::Error) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, ": {error}")?;
        cause = error.source();
    }
    Ok(())
}
