//! The error type: a kind, a cause, and whether the outcome of the operation is unknown.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::model::invalid::InvalidInput;
use crate::{Deadlock, End, LockKey, LossReason, QueuePosition, Timed};

/// The result of an operation on locks.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Error of a lock operation.
///
/// [`Display`](fmt::Display) prints this level only; the cause is behind
/// [`source`](StdError::source). [`Debug`](fmt::Debug) prints the whole chain as a text for people,
/// since that is what `fn main() -> Result<()>` prints.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Operation,
    key: Option<LockKey>,
    server: Option<Arc<str>>,
    unknown: bool,
    position: Option<Timed<QueuePosition>>,
    loss: Option<LossReason>,
    end: Option<End>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The queue has reached the limit of the request.
    QueueFull,
    /// The request was not granted within the wait of the caller.
    WaitOver,
    /// The request was ended by force or cancelled.
    Ended,
    /// There is no such lease: there never was, or it is over.
    NotHeld,
    /// The lease was lost while it was in use.
    Lost,
    /// The request was the victim of a [deadlock](Error::deadlock) between sessions.
    Deadlock,
    /// The receiver of a transfer cannot receive the lease, or the owner of a request is at its
    /// [limit](crate::layer::OwnerLimit).
    Refused,
    /// The store cannot be reached, does not serve now, or did not answer in time.
    Unavailable,
    /// The store does not offer this.
    Unsupported,
    /// A value is outside its limits.
    InvalidInput,
    /// The store returned an invalid answer, or its data is damaged.
    Corrupt,
    /// The manager was shut down.
    ShutDown,
}

/// The operation that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Acquire a key.
    Acquire,
    /// Open a mailbox.
    Listen,
    /// Keep a waiter alive.
    Hear,
    /// Renew a lease.
    Renew,
    /// Release a lease.
    Release,
    /// Cancel a request.
    Cancel,
    /// Transfer a lease.
    Transfer,
    /// Evict leases or a waiter.
    Evict,
    /// Ask holders to release.
    RequestRelease,
    /// Adopt a lease.
    Adopt,
    /// Run work under a lease.
    Run,
    /// Inspect a key.
    Inspect,
    /// List leases.
    List,
    /// Find the waiters of an owner or a session.
    WaitsOf,
    /// Watch events.
    Watch,
    /// Read the health of the store.
    Health,
    /// Connect to the store.
    Connect,
}

impl Error {
    /// Creates an error of an `operation` that did not happen.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: Operation) -> Self {
        Self(Box::new(Inner {
            kind,
            operation,
            key: None,
            server: None,
            unknown: false,
            position: None,
            loss: None,
            end: None,
            source: None,
        }))
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

    /// The same error, of an operation on the server at `address`, which must name no password.
    #[must_use]
    pub fn with_server(mut self, address: impl Into<Arc<str>>) -> Self {
        self.0.server = Some(address.into());
        self
    }

    /// Marks the outcome as unknown: the operation may have happened.
    #[must_use]
    pub fn unknown(mut self) -> Self {
        self.0.unknown = true;
        self
    }

    /// The same error with where the request stood.
    #[must_use]
    pub fn with_position(mut self, position: Timed<QueuePosition>) -> Self {
        self.0.position = Some(position);
        self
    }

    /// The same error with why the lease was lost.
    #[must_use]
    pub fn with_loss(mut self, loss: LossReason) -> Self {
        self.0.loss = Some(loss);
        self
    }

    /// The same error with how the request was ended.
    #[must_use]
    pub fn with_end(mut self, end: End) -> Self {
        self.0.end = Some(end);
        self
    }

    /// The same error with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// The kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.0.operation
    }

    /// The key it was done to, if there was one.
    #[must_use]
    pub fn key(&self) -> Option<&LockKey> {
        self.0.key.as_ref()
    }

    /// Returns `true` if the outcome is unknown: the operation may have happened. `false`
    /// guarantees that it did not.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0.unknown
    }

    /// Returns `true` if the same operation may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind(), ErrorKind::Unavailable | ErrorKind::WaitOver | ErrorKind::QueueFull)
    }

    /// Position of the request and the lease in its way, if it was not granted in time.
    #[must_use]
    pub fn position(&self) -> Option<&Timed<QueuePosition>> {
        self.0.position.as_ref()
    }

    /// Why the lease was lost, when it was.
    #[must_use]
    pub fn loss(&self) -> Option<&LossReason> {
        self.0.loss.as_ref()
    }

    /// The end of the request, if it was ended by force or cancelled.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        match &self.0.loss {
            Some(LossReason::Ended(end)) => Some(end),
            _ => self.0.end.as_ref(),
        }
    }

    /// Which sessions wait for one another, if the request was the victim of a deadlock.
    #[must_use]
    pub fn deadlock(&self) -> Option<&Deadlock> {
        self.0.source.as_ref()?.downcast_ref()
    }

    /// The address of the server, for a store on a network; it names no password.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// Which value is outside its limits, when one is.
    #[must_use]
    pub fn invalid_input(&self) -> Option<&InvalidInput> {
        self.0.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        write!(f, "{}", inner.operation)?;
        if let Some(key) = &inner.key {
            write!(f, " `{key}`")?;
        }
        write!(f, ": {}", inner.kind)?;
        if let Some(server) = &inner.server {
            write!(f, " at {server}")?;
        }
        if inner.unknown {
            f.write_str("; the outcome is unknown")?;
        }
        if let Some(loss) = &inner.loss {
            write!(f, ": {loss}")?;
        }
        if let Some(end) = &inner.end {
            write!(f, ": {end}")?;
        }
        if let Some(position) = &inner.position {
            write!(f, ": {position}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
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
            Self::WaitOver => "not granted in time",
            Self::Ended => "the request was ended",
            Self::NotHeld => "the request does not hold the key",
            Self::Lost => "the lease was lost",
            Self::Deadlock => "deadlock",
            Self::Refused => "refused",
            Self::Unavailable => "the store is unavailable",
            Self::Unsupported => "this is not supported",
            Self::InvalidInput => "invalid input",
            Self::Corrupt => "the store returned an invalid answer",
            Self::ShutDown => "the manager was shut down",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acquire => "acquire",
            Self::Listen => "listen",
            Self::Hear => "hear",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Cancel => "cancel",
            Self::Transfer => "transfer",
            Self::Evict => "evict",
            Self::RequestRelease => "request_release",
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
