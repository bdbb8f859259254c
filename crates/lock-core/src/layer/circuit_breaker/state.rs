//! The state of a circuit, for operators and programs.

use std::fmt;
use std::time::Duration;

use crate::Error;

/// State of a [`CircuitBreaker`](super::CircuitBreaker).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CircuitState {
    /// Every command passes.
    Closed,
    /// Commands are answered at once, until the next probe.
    Open(CircuitOpen),
    /// A probe is on its way to the store, or the next command is one; all others are answered at
    /// once.
    HalfOpen(CircuitOpen),
}

/// An open circuit: the source of the error of a command that was not sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CircuitOpen {
    /// Time since the circuit opened.
    pub open_for: Duration,
    /// Time until a command may be the next probe; zero while the circuit is half-open.
    pub next_probe_in: Duration,
    /// The last failure of the store.
    pub cause: Error,
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the circuit has been open for {:?}, ", self.open_for)?;
        if self.next_probe_in.is_zero() {
            f.write_str("and its probe is not answered yet")
        } else {
            write!(f, "and the next probe is in {:?}", self.next_probe_in)
        }
    }
}

impl std::error::Error for CircuitOpen {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl fmt::Display for CircuitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (state, open) = match self {
            Self::Closed => return f.write_str("circuit closed"),
            Self::Open(open) => ("open", open),
            Self::HalfOpen(open) => ("half-open", open),
        };
        write!(f, "circuit {state} after {:?}: {:?}", open.open_for, open.cause)
    }
}
