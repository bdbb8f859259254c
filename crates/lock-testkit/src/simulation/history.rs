//! The history of a run, in order.

use std::fmt::{self, Write as _};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

/// The actor of a noted event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Actor {
    /// The plan: a fault begins or ends.
    Plan,
    /// The store.
    Store,
    /// A process of the plan.
    Process(usize),
}

/// The history of a run.
///
/// The digest covers every event; the events themselves are kept only if the history is to be
/// printed.
#[derive(Debug, Default)]
pub(super) struct History {
    text: Option<String>,
    digest: Digest,
}

#[derive(Debug, Default)]
struct Digest(DefaultHasher);

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan => f.pad("plan"),
            Self::Store => f.pad("store"),
            Self::Process(slot) => f.pad(&format!("p{slot}")),
        }
    }
}

impl History {
    /// A history that keeps its events.
    pub(super) fn kept() -> Self {
        Self { text: Some(String::new()), ..Self::default() }
    }

    /// Notes what happened at a virtual time.
    pub(super) fn note(&mut self, at: Duration, who: Actor, what: fmt::Arguments<'_>) {
        // Neither a text nor a digest refuses to be written to.
        let _ = write!(self.digest, "{} {who} {what};", at.as_micros());
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{:>12.3} {who:<5} {what}", at.as_secs_f64() * 1e3);
        }
    }

    /// A number that two runs share if their histories are the same.
    pub(super) fn digest(&self) -> u64 {
        self.digest.0.finish()
    }

    /// The events, one a line, with the virtual time in milliseconds in front.
    pub(super) fn into_text(self) -> String {
        self.text.unwrap_or_default()
    }
}
