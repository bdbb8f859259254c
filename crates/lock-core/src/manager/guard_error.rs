//! Error of an operation that consumes a guard.

use std::fmt;

use super::LockGuard;
use crate::Error;

/// Error of an operation that consumes a guard, with the guard.
///
/// Dropping it, or converting it into the [`Error`], releases the lease.
#[expect(clippy::exhaustive_structs, reason = "it is taken apart")]
pub struct GuardError {
    /// The guard.
    pub guard: LockGuard,
    /// The error.
    pub error: Error,
}

impl From<GuardError> for Error {
    fn from(failed: GuardError) -> Self {
        failed.error
    }
}

impl fmt::Display for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl fmt::Debug for GuardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl std::error::Error for GuardError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}
