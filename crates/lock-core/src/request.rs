//! The identity of a request, and what each operation asks of a store.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::invalid::{InvalidInput, Problem};
use crate::{HeadStart, KeepAlive, LockKey, Metadata, Mode, OwnerId, Reason, Ttl};

/// One attempt to get one key: 128 random bits made by the caller.
///
/// It is the idempotency key: the same request sent twice has one effect, whatever the network
/// did in between, and only who knows it can renew, release or transfer the lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct RequestId {
    high: u64,
    low: u64,
}

impl RequestId {
    /// Makes a new identity.
    #[must_use]
    pub fn random() -> Self {
        Self::from_bits(rand::random())
    }

    /// The identity with these bits, for a caller that brings its own.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// The bits of the identity.
    #[must_use]
    pub const fn to_bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// Reads the form that [`Display`](fmt::Display) writes: 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`InvalidInput`] when the text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let malformed = || {
            InvalidInput::new(
                "request",
                Problem::Malformed { expected: "32 lower-case hex digits" },
            )
        };
        let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(digit) {
            return Err(malformed());
        }
        u128::from_str_radix(text, 16).map(Self::from_bits).map_err(|_| malformed())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for RequestId {
    type Error = InvalidInput;
    fn try_from(text: String) -> Result<Self, InvalidInput> {
        Self::parse(&text)
    }
}

impl From<RequestId> for String {
    fn from(request: RequestId) -> Self {
        request.to_string()
    }
}

/// What becomes of a request that cannot be granted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnHeld {
    /// It is refused and leaves nothing behind.
    Refuse,
    /// It joins the queue.
    Queue {
        /// How long it may be silent before it loses its place.
        keep_alive: KeepAlive,
        /// The longest queue it joins, itself included; `None` joins any.
        queue_limit: Option<NonZeroU32>,
    },
}

/// Asks for a key. See [`LockBackend::acquire`](crate::LockBackend::acquire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AcquireRequest {
    /// The identity of this attempt.
    pub request: RequestId,
    /// What to lock.
    pub key: LockKey,
    /// Who asks.
    pub owner: OwnerId,
    /// Alone or with others.
    pub mode: Mode,
    /// How long the lease lasts unless renewed.
    pub ttl: Ttl,
    /// How much earlier than its arrival the request ranks.
    pub head_start: HeadStart,
    /// What to do when the key cannot be had at once.
    pub on_held: OnHeld,
    /// What the lease carries for people and programs that look at it.
    pub metadata: Metadata,
}

impl AcquireRequest {
    /// Asks for `key` alone, with the default ttl, no head start, refused when held.
    #[must_use]
    pub fn new(request: RequestId, key: LockKey, owner: OwnerId) -> Self {
        Self {
            request,
            key,
            owner,
            mode: Mode::Exclusive,
            ttl: Ttl::default(),
            head_start: HeadStart::NONE,
            on_held: OnHeld::Refuse,
            metadata: Metadata::default(),
        }
    }

    /// Asks in this mode.
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Asks for a lease of this length.
    #[must_use]
    pub fn with_ttl(self, ttl: Ttl) -> Self {
        Self { ttl, ..self }
    }

    /// Ranks this much earlier than its arrival.
    #[must_use]
    pub fn with_head_start(self, head_start: HeadStart) -> Self {
        Self { head_start, ..self }
    }

    /// Does this when the key cannot be had at once.
    #[must_use]
    pub fn with_on_held(self, on_held: OnHeld) -> Self {
        Self { on_held, ..self }
    }

    /// Joins a queue of any length when the key cannot be had at once.
    #[must_use]
    pub fn queueing(self, keep_alive: KeepAlive) -> Self {
        self.with_on_held(OnHeld::Queue { keep_alive, queue_limit: None })
    }

    /// Carries `metadata`.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }
}

/// Waits for news of a queued request. See [`LockBackend::wait`](crate::LockBackend::wait).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitRequest {
    /// The key that is waited for.
    pub key: LockKey,
    /// The queued request.
    pub request: RequestId,
    /// How long to wait at the most.
    pub timeout: Duration,
}

impl WaitRequest {
    /// Waits for news of `request` for at most `timeout`.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId, timeout: Duration) -> Self {
        Self { key, request, timeout }
    }
}

/// Makes a lease last longer. See [`LockBackend::renew`](crate::LockBackend::renew).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RenewRequest {
    /// The key that is held.
    pub key: LockKey,
    /// The holding request.
    pub request: RequestId,
    /// How long the lease lasts from now.
    pub ttl: Ttl,
}

impl RenewRequest {
    /// Makes the lease that `request` holds on `key` last `ttl` from now.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId, ttl: Ttl) -> Self {
        Self { key, request, ttl }
    }
}

/// Gives a lease back. See [`LockBackend::release`](crate::LockBackend::release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReleaseRequest {
    /// The key that is held.
    pub key: LockKey,
    /// The holding request.
    pub request: RequestId,
}

impl ReleaseRequest {
    /// Gives back the lease that `request` holds on `key`.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId) -> Self {
        Self { key, request }
    }
}

/// Ends a request, whatever became of it. See [`LockBackend::cancel`](crate::LockBackend::cancel).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CancelRequest {
    /// The key that was asked for.
    pub key: LockKey,
    /// The request to end.
    pub request: RequestId,
}

impl CancelRequest {
    /// Ends `request` on `key`.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId) -> Self {
        Self { key, request }
    }
}

/// Hands a lease to somebody by name. See [`LockBackend::transfer`](crate::LockBackend::transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferRequest {
    /// The key that is held.
    pub key: LockKey,
    /// The holding request.
    pub request: RequestId,
    /// Who gets the lease.
    pub to: TransferTo,
}

/// Who gets a transferred lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferTo {
    /// A request that waits in the queue of the key, wherever it stands.
    Waiter(RequestId),
    /// An owner that need not have asked; it learns of the lease by other means and adopts it.
    Owner {
        /// The new owner.
        owner: OwnerId,
        /// The request that holds from now on.
        request: RequestId,
        /// What the lease carries from now on.
        metadata: Metadata,
    },
}

impl TransferRequest {
    /// Hands the lease that `request` holds on `key` over.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId, to: TransferTo) -> Self {
        Self { key, request, to }
    }
}

/// Takes leases away from their holders. See [`LockBackend::evict`](crate::LockBackend::evict).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EvictRequest {
    /// The key to free.
    pub key: LockKey,
    /// The lease to take away; `None` takes all of the key.
    pub request: Option<RequestId>,
    /// Who evicts.
    pub by: OwnerId,
    /// Why.
    pub reason: Reason,
}

impl EvictRequest {
    /// Takes away every lease of `key`.
    #[must_use]
    pub const fn new(key: LockKey, by: OwnerId, reason: Reason) -> Self {
        Self { key, request: None, by, reason }
    }

    /// Takes away only the lease of this request.
    #[must_use]
    pub fn only(self, request: RequestId) -> Self {
        Self { request: Some(request), ..self }
    }
}
