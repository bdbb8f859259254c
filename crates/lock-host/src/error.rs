//! Errors of a store.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use lock_core::{Error, ErrorKind, InvalidInput, Operation, Violation};

/// Error of a store, with whether the outcome of the update is unknown.
#[derive(Clone)]
pub struct StoreError {
    kind: ErrorKind,
    unknown: bool,
    source: Arc<dyn StdError + Send + Sync>,
}

impl StoreError {
    /// An error of this kind, after which nothing changed. The source says what an operator can do.
    #[must_use]
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, unknown: false, source: Arc::from(source.into()) }
    }

    /// The store is not available, and changed nothing.
    #[must_use]
    pub fn unavailable(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(ErrorKind::Unavailable, source)
    }

    /// Others changed the cell at every attempt, and nothing was written.
    #[must_use]
    pub fn conflict() -> Self {
        Self::unavailable("others changed the cell at every attempt")
    }

    /// The update would have to wait, and was not begun.
    #[must_use]
    pub fn would_block() -> Self {
        Self::unavailable("the update would have to wait")
    }

    /// The same error of an update that may have happened all the same.
    #[must_use]
    pub fn unknown(self) -> Self {
        Self { unknown: true, ..self }
    }

    /// The kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns `true` if the outcome is unknown: the update may have happened.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// The state of a key would exceed the size of a cell.
    pub(crate) fn too_large(length: usize, limit: usize) -> Self {
        let violation = Violation::TooLong { length, limit };
        Self::new(ErrorKind::InvalidInput, InvalidInput::new("state of the key", violation))
    }

    /// The host's thread is gone.
    pub(crate) fn stopped() -> Self {
        Self::unavailable("the thread of the store ended").unknown()
    }

    pub(crate) fn of(self, operation: Operation) -> Error {
        let error = match self.source.downcast_ref::<InvalidInput>() {
            Some(input) => Error::invalid(operation, input.clone()),
            None => Error::new(self.kind, operation).with_source(Shared(self.source)),
        };
        if self.unknown { error.unknown() } else { error }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)?;
        if self.unknown {
            f.write_str("; the outcome is unknown")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

/// A source that the commands of one update share.
struct Shared(Arc<dyn StdError + Send + Sync>);

impl fmt::Display for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Shared {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
