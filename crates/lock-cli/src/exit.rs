//! The program's exit: a code that scripts can rely on, and one sentence.

use std::error::Error as _;
use std::process::ExitCode;

use lock_core::{Error, ErrorKind, InvalidInput};
use lock_sqlite::SqliteError;
use nix::sys::prctl::set_dumpable;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::getpgrp;
use signal_hook::low_level::emulate_default_handler;

/// The program's exit. The codes are those of `sysexits.h` where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    /// The command's own code.
    Command(u8),
    /// A signal ended the command or asked this process to end.
    Signal {
        number: i32,
        /// Whether it was meant for the whole job: the terminal sent it to the command alone, which had
        /// the foreground.
        is_of_job: bool,
    },
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
    pub(crate) const fn of_signal(number: i32) -> Self {
        Self::Signal { number, is_of_job: false }
    }

    /// Ends by the signal itself where there is one: a shell whose script is interrupted ends the script
    /// only if the program that it waits for ended in this way.
    pub(crate) fn leave(self) -> ExitCode {
        if let Self::Signal { number, is_of_job } = self {
            if let (true, Ok(signal)) = (is_of_job, Signal::try_from(number)) {
                let _ = killpg(getpgrp(), signal);
            }
            // The command has left its core already.
            let _ = set_dumpable(false);
            let _ = emulate_default_handler(number);
        }
        self.code().into()
    }

    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Command(code) => code,
            Self::Signal { number, .. } => 128 + (number & 0x7f) as u8,
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
            ErrorKind::WaitOver
            | ErrorKind::QueueFull
            | ErrorKind::Refused
            | ErrorKind::Deadlock => Exit::Contended,
            ErrorKind::Lost | ErrorKind::NotHeld | ErrorKind::Ended => Exit::Lost,
            ErrorKind::InvalidInput => Exit::Usage,
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
