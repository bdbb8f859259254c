//! What each operation asks of a store.

use std::num::NonZeroU32;

use crate::{
    HeadStart, KeepAlive, LeaseName, LockKey, MailboxId, Metadata, Mode, OwnerId, Reason,
    RequestId, SessionId, Ttl,
};

/// What becomes of a request that cannot be granted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnHeld {
    /// It is refused and leaves nothing behind.
    Refuse,
    /// It joins the queue.
    Queue {
        /// How long it may be silent before it loses its place.
        keep_alive: KeepAlive,
        /// The longest queue that it joins, itself included; `None` joins any.
        queue_limit: Option<NonZeroU32>,
    },
}

/// Asks for a key. See [`LockBackend::acquire`](crate::LockBackend::acquire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct AcquireRequest {
    /// The identity of this attempt.
    pub id: RequestId,
    /// What to lock.
    pub key: LockKey,
    /// Who asks.
    pub owner: OwnerId,
    /// The session that asks.
    pub session: SessionId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// How long the lease lasts unless renewed.
    pub ttl: Ttl,
    /// How much earlier than its arrival the request ranks.
    pub head_start: HeadStart,
    /// What to do when the key cannot be had at once.
    pub on_held: OnHeld,
    /// Where to tell of a grant and of an end by force; `None` is nowhere.
    pub mailbox: Option<MailboxId>,
    /// What the lease carries for people and programs that look at it.
    pub metadata: Metadata,
}

impl AcquireRequest {
    /// Asks for `key` exclusively, with the default ttl, in a session of its own, with no head
    /// start and no mailbox, refused when held.
    #[must_use]
    pub fn new(id: RequestId, key: LockKey, owner: OwnerId) -> Self {
        Self {
            id,
            key,
            owner,
            session: id.into(),
            mode: Mode::Exclusive,
            ttl: Ttl::default(),
            head_start: HeadStart::NONE,
            on_held: OnHeld::Refuse,
            mailbox: None,
            metadata: Metadata::default(),
        }
    }

    /// Asks in this session.
    #[must_use]
    pub fn with_session(self, session: SessionId) -> Self {
        Self { session, ..self }
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

    /// Is told of its grant and of its end by force in `mailbox`.
    #[must_use]
    pub fn with_mailbox(self, mailbox: MailboxId) -> Self {
        Self { mailbox: Some(mailbox), ..self }
    }

    /// Carries `metadata`.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }
}

/// Keeps a waiter alive, and claims the lease that it was granted. See
/// [`LockBackend::hear`](crate::LockBackend::hear).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HearRequest {
    /// The key that was asked for.
    pub key: LockKey,
    /// The request to hear.
    pub request: RequestId,
    /// Where to tell of a grant from now on; `None` leaves that as it is.
    pub mailbox: Option<MailboxId>,
}

impl HearRequest {
    /// Hears `request` on `key`.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId) -> Self {
        Self { key, request, mailbox: None }
    }

    /// Is told in `mailbox` from now on.
    #[must_use]
    pub fn with_mailbox(self, mailbox: MailboxId) -> Self {
        Self { mailbox: Some(mailbox), ..self }
    }
}

/// Makes a lease last longer. See [`LockBackend::renew`](crate::LockBackend::renew).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RenewRequest {
    /// The lease to renew.
    pub lease: LeaseName,
    /// How long the lease lasts from now.
    pub ttl: Ttl,
    /// Where to tell of an end by force from now on; `None` leaves that as it is.
    pub mailbox: Option<MailboxId>,
}

impl RenewRequest {
    /// Makes the lease last `ttl` from now.
    #[must_use]
    pub const fn new(lease: LeaseName, ttl: Ttl) -> Self {
        Self { lease, ttl, mailbox: None }
    }

    /// Is told in `mailbox` from now on.
    #[must_use]
    pub fn with_mailbox(self, mailbox: MailboxId) -> Self {
        Self { mailbox: Some(mailbox), ..self }
    }
}

/// Gives a lease back. See [`LockBackend::release`](crate::LockBackend::release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ReleaseRequest {
    /// The lease to give back.
    pub lease: LeaseName,
}

impl ReleaseRequest {
    /// Gives this lease back.
    #[must_use]
    pub const fn new(lease: LeaseName) -> Self {
        Self { lease }
    }
}

/// Ends a request, waiting or granted. See [`LockBackend::cancel`](crate::LockBackend::cancel).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CancelRequest {
    /// The key that was asked for.
    pub key: LockKey,
    /// The request to end.
    pub request: RequestId,
    /// Whether an acquire of the request was sent and not answered: it may still arrive, and is
    /// then refused.
    pub answer_outstanding: bool,
}

impl CancelRequest {
    /// Ends `request` on `key`, of which every answer came.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId) -> Self {
        Self { key, request, answer_outstanding: false }
    }

    /// Ends the request although an answer is outstanding.
    #[must_use]
    pub fn with_answer_outstanding(self, answer_outstanding: bool) -> Self {
        Self { answer_outstanding, ..self }
    }
}

/// Hands a lease over by name. See [`LockBackend::transfer`](crate::LockBackend::transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TransferRequest {
    /// The lease to hand over.
    pub lease: LeaseName,
    /// Who hands it over.
    pub by: OwnerId,
    /// Who gets it.
    pub to: TransferTo,
}

/// Who gets a transferred lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TransferTo {
    /// A request that waits in the queue of the key, wherever it stands.
    Waiter(RequestId),
    /// An owner that need not have asked; it learns of the lease by other means and adopts it.
    Owner {
        /// The new owner.
        owner: OwnerId,
        /// The request that holds from now on, in a session of its own.
        request: RequestId,
        /// What the lease carries from now on.
        metadata: Metadata,
    },
}

impl TransferTo {
    /// The request that holds after the transfer.
    #[must_use]
    pub const fn request(&self) -> RequestId {
        match self {
            Self::Waiter(request) | Self::Owner { request, .. } => *request,
        }
    }
}

impl TransferRequest {
    /// Hands `lease` over, in the name of `by`.
    #[must_use]
    pub const fn new(lease: LeaseName, by: OwnerId, to: TransferTo) -> Self {
        Self { lease, by, to }
    }
}

/// Ends leases or a waiter by force. See [`LockBackend::evict`](crate::LockBackend::evict).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EvictRequest {
    /// The key.
    pub key: LockKey,
    /// What to end.
    pub target: EvictTarget,
    /// Who evicts.
    pub by: OwnerId,
    /// Why.
    pub reason: Reason,
}

/// What an eviction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum EvictTarget {
    /// Every lease of the key.
    AllLeases,
    /// One lease.
    Lease {
        /// The request that holds it.
        request: RequestId,
        /// Its fencing token.
        token: crate::FencingToken,
    },
    /// One waiter.
    Waiter(RequestId),
}

impl EvictRequest {
    /// Ends every lease of `key`.
    #[must_use]
    pub const fn all(key: LockKey, by: OwnerId, reason: Reason) -> Self {
        Self { key, target: EvictTarget::AllLeases, by, reason }
    }

    /// Ends this lease.
    #[must_use]
    pub fn lease(lease: LeaseName, by: OwnerId, reason: Reason) -> Self {
        let LeaseName { key, request, token } = lease;
        Self { key, target: EvictTarget::Lease { request, token }, by, reason }
    }

    /// Takes `request` out of the queue of `key`.
    #[must_use]
    pub const fn waiter(key: LockKey, request: RequestId, by: OwnerId, reason: Reason) -> Self {
        Self { key, target: EvictTarget::Waiter(request), by, reason }
    }
}
