//! Error of an operation that consumes a guard.

use std::fmt;

use super::LockGuard;
use crate::Error;

/// Error of an operation that consumes a guard of type `G`, with the guard.
///
/// Dropping it, or converting it into the [`Error`], releases the lease.
#[expect(clippy::exhaustive_structs, reason = "it is taken apart")]
pub struct GuardError<G = LockGuard> {
    /// The guard.
    pub guard: G,
    /// The error.
    pub error: Error,
}

impl<G> From<GuardError<G>> for Error {
    fn from(failed: GuardError<G>) -> Self {
        failed.error
    }
}

impl<G> fmt::Display for GuardError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<G> fmt::Debug for GuardError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl<G> std::error::Error for GuardError<G> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
