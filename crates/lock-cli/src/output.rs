//! The program's output: text for people, or JSON.

use std::io::{ErrorKind, Write as _, stderr, stdout};
use std::time::{Duration, UNIX_EPOCH};

use lock_core::Timestamp;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde_json::json;

use crate::exit::{Exit, Failure};

/// The format and destination of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) is_json: bool,
}

impl Output {
    pub(crate) const fn new(is_json: bool) -> Self {
        Self { is_json }
    }

    /// Prints a result, as text for people or as one line of JSON.
    ///
    /// # Errors
    /// When the reader is gone.
    pub(crate) fn show(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.is_json { print_json(value) } else { print_text(&text()) }
    }

    /// Prints a message for people that is not a result; failures to print it are ignored.
    pub(crate) fn warn(self, message: &str) {
        print_line(&match self.is_json {
            true => json!({ "message": message }).to_string(),
            false => format!("lockctl: {message}"),
        });
    }

    /// Tells why the program fails; an end by a signal speaks for itself.
    pub(crate) fn failure(self, failure: &Failure) {
        if matches!(failure.exit, Exit::Signal { .. }) {
            return;
        }
        let (message, code) = (&failure.message, failure.exit.code());
        print_line(&match self.is_json {
            true => json!({ "error": { "message": message, "code": code } }).to_string(),
            false => format!("lockctl: {message}"),
        });
    }
}

/// Prints a line for people at once, so that lines of several processes stay whole in one file.
fn print_line(line: &str) {
    let _ = stderr().write_all(format!("{line}\n").as_bytes());
}

/// Prints one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    match serde_json::to_string(value) {
        Ok(text) => print_text(&text),
        Err(error) => Err(Failure::new(Exit::Output, error.to_string())),
    }
}

/// Prints a result.
pub(crate) fn print_text(text: &str) -> Result<(), Failure> {
    let mut out = stdout();
    let printed = writeln!(out, "{text}").and_then(|()| out.flush());
    printed.map_err(|error| match error.kind() {
        // A reader such as `head` has enough.
        ErrorKind::BrokenPipe => {
            Failure::new(Exit::of_signal(Signal::SIGPIPE as i32), "nobody reads")
        }
        _ => Failure::new(Exit::Output, format!("standard output: {error}")),
    })
}

/// A moment as RFC 3339 has it.
pub(crate) fn time(time: Timestamp) -> String {
    let moment = UNIX_EPOCH + Duration::from_micros(time.as_micros());
    humantime::format_rfc3339_millis(moment).to_string()
}

/// A span in the two largest units that it has.
pub(crate) fn span(span: Duration) -> String {
    let whole = match span {
        short if short < Duration::from_secs(1) => Duration::from_millis(short.as_millis() as u64),
        long => Duration::from_secs(long.as_secs()),
    };
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Reads the lease that another call has printed.
pub(crate) fn lease_on_stdin() -> Result<lock_core::Lease, Failure> {
    let lease = serde_json::from_reader(std::io::stdin().lock());
    lease.map_err(|error| {
        let message = format!("standard input is not a lease as `acquire` prints it: {error}");
        Failure::new(Exit::Usage, message)
    })
}
