//! What nobody planned for: one error type, with a kind, and whether the operation may have
//! happened all the same.

use std::error::Error as StdError;
use std::fmt;

use crate::invalid::InvalidInput;
use crate::{LockKey, LossReason, Place};

/// The result of an operation on locks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in an operation on locks.
///
/// [`Display`](fmt::Display) prints this level only; the cause is behind
/// [`source`](StdError::source).
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    operation: Operation,
    key: Option<LockKey>,
    unknown: bool,
    place: Option<Box<Place>>,
    loss: Option<LossReason>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The queue is as long as the request allowed.
    QueueFull,
    /// The request does not hold the key: it never did, or its lease is over.
    NotHeld,
    /// The lease was lost while it was in use.
    Lost,
    /// The store cannot be reached or does not serve now.
    Unavailable,
    /// The time for the operation is up.
    TimedOut,
    /// The store does not offer this.
    Unsupported,
    /// A value is outside its limits.
    InvalidInput,
    /// The store answered what it cannot have meant.
    Corrupt,
    /// The manager was shut down.
    ShutDown,
}

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Getting a key.
    Acquire,
    /// Waiting for news of a request.
    Wait,
    /// Making a lease last longer.
    Renew,
    /// Giving a lease back.
    Release,
    /// Ending a request.
    Cancel,
    /// Handing a lease over.
    Transfer,
    /// Taking leases away.
    Evict,
    /// Taking charge of a lease.
    Adopt,
    /// Working under a lease.
    Run,
    /// Looking at a key.
    Inspect,
    /// Listing leases.
    List,
    /// Looking for an owner's waiting requests.
    WaitsOf,
    /// Watching events.
    Watch,
    /// Looking at the store.
    Health,
    /// Reaching the store.
    Connect,
}

impl Error {
    /// An `operation` failed in this way and certainly did not happen.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: Operation) -> Self {
        let (key, place, loss, source) = (None, None, None, None);
        Self(Box::new(Inner { kind, operation, key, unknown: false, place, loss, source }))
    }

    /// A value is outside its limits.
    #[must_use]
    pub fn invalid(operation: Operation, input: InvalidInput) -> Self {
        Self::new(ErrorKind::InvalidInput, operation).with_source(input)
    }

    /// The same error, of an operation on this key.
    #[must_use]
    pub fn with_key(mut self, key: LockKey) -> Self {
        self.0.key = Some(key);
        self
    }

    /// The same error of an operation that may have happened all the same.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.0.unknown = true;
        self
    }

    /// The same error with where the request stood.
    #[must_use]
    pub fn with_place(mut self, place: Place) -> Self {
        self.0.place = Some(Box::new(place));
        self
    }

    /// The same error with why the lease was lost.
    #[must_use]
    pub fn with_loss(mut self, loss: LossReason) -> Self {
        self.0.loss = Some(loss);
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of thing went wrong.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The key it was done to, if there was one.
    #[must_use]
    pub fn key(&self) -> Option<&LockKey> {
        self.0.key.as_ref()
    }

    /// Whether the operation may have happened all the same: `false` is a promise that it did not.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.unknown
    }

    /// Whether the same operation may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::QueueFull)
    }

    /// Where the request stood and who was in its way, when the wait for the key was in vain.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_deref()
    }

    /// Why the lease was lost, when it was.
    #[must_use]
    pub fn loss(&self) -> Option<&LossReason> {
        self.0.loss.as_ref()
    }

    /// Which value is outside its limits, when one is.
    #[must_use]
    pub fn invalid_input(&self) -> Option<&InvalidInput> {
        self.0.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.operation)?;
        if let Some(key) = &self.0.key {
            write!(f, " `{key}`")?;
        }
        write!(f, ": {}", self.0.kind)?;
        if self.0.unknown {
            f.write_str(", and whether it happened is unknown")?;
        }
        if let Some(loss) = &self.0.loss {
            write!(f, ": {loss}")?;
        }
        if let Some(place) = &self.0.place {
            write!(f, ": {place}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as _)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the queue is full",
            Self::NotHeld => "the request does not hold the key",
            Self::Lost => "the lease was lost",
            Self::Unavailable => "the store is unavailable",
            Self::TimedOut => "timed out",
            Self::Unsupported => "the store does not offer this",
            Self::InvalidInput => "invalid input",
            Self::Corrupt => "the store answered nonsense",
            Self::ShutDown => "the manager was shut down",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acquire => "acquire",
            Self::Wait => "wait",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::Transfer => "transfer",
            Self::Evict => "evict",
            Self::Adopt => "adopt",
            Self::Run => "run",
            Self::Inspect => "inspect",
            Self::List => "list",
            Self::WaitsOf => "waits of",
            Self::Watch => "watch",
            Self::Health => "health",
            Self::Connect => "connect",
        })
    }
}
