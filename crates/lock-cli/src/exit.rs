//! The program's exit: a code that scripts can rely on, and one sentence.

use std::error::Error as _;
use std::process::ExitCode;

use lock_core::{Error, ErrorKind, InvalidInput};
use lock_sqlite::SqliteError;

/// The program's exit. The codes are those of `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// The command's own code, or 128 and the number of the signal that ended it.
    Command(u8),
    Usage,
    Unavailable,
    /// Others hold the key, or the wait was over.
    Contended,
    /// Nobody reads what is printed.
    Output,
    NotPermitted,
    Configuration,
    Lost,
    NotRunnable,
    NotFound,
}

impl Exit {
    /// The code of a command that a signal ended, or would have.
    pub(crate) const fn of_signal(signal: i32) -> Self {
        Self::Command(128 + (signal & 0x7f) as u8)
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Command(code) => code,
            Self::Usage => 64,
            Self::Unavailable => 69,
            Self::Output => 74,
            Self::Contended => 75,
            Self::NotPermitted => 77,
            Self::Configuration => 78,
            Self::Lost => 79,
            Self::NotRunnable => 126,
            Self::NotFound => 127,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Why the program does not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// The same, with another code where the failure is contention.
    pub(crate) fn with_contended(self, code: Option<u8>) -> Self {
        match (self.exit, code) {
            (Exit::Contended, Some(code)) => Self { exit: Exit::Command(code), ..self },
            _ => self,
        }
    }
}

/// The words with which Redis refuses a user.
const NOT_PERMITTED: [&str; 3] = ["NOPERM", "NOAUTH", "WRONGPASS"];

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = format!("{error:?}");
        let exit = match error.kind() {
            ErrorKind::WaitOver | ErrorKind::QueueFull | ErrorKind::Refused => Exit::Contended,
            ErrorKind::Lost | ErrorKind::NotHeld | ErrorKind::Ended => Exit::Lost,
            ErrorKind::InvalidInput | ErrorKind::Deadlock => Exit::Usage,
            ErrorKind::Unsupported => Exit::Configuration,
            _ => match error.source().map(ToString::to_string) {
                Some(cause) if NOT_PERMITTED.iter().any(|word| cause.contains(word)) => {
                    Exit::NotPermitted
                }
                _ => Exit::Unavailable,
            },
        };
        Self { exit, message }
    }
}

impl From<InvalidInput> for Failure {
    fn from(input: InvalidInput) -> Self {
        Self::new(Exit::Usage, input.to_string())
    }
}

impl From<SqliteError> for Failure {
    fn from(error: SqliteError) -> Self {
        let exit = match &error {
            SqliteError::Foreign { .. }
            | SqliteError::Newer { .. }
            | SqliteError::Damaged { .. } => Exit::Configuration,
            SqliteError::Unusable { .. } => Exit::NotPermitted,
            _ => Exit::Unavailable,
        };
        Self::new(exit, error.to_string())
    }
}
