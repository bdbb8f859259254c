//! Requests to a store, one type per operation.

use std::num::NonZeroU32;

use crate::{
    FencingToken, HeadStart, KeepAlive, LeaseName, LockKey, MailboxId, Metadata, Mode, OwnerId,
    Reason, RequestId, SessionId, Timeout, Ttl,
};

/// Behaviour of a request that cannot be granted at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnHeld {
    /// The request is refused and leaves no trace.
    Refuse,
    /// The request joins the queue.
    Queue {
        /// Maximum time between heartbeats before the position is lost.
        keep_alive: KeepAlive,
        /// Maximum queue length to join, itself included; `None` for no limit.
        queue_limit: Option<NonZeroU32>,
    },
}

/// Request for a key. See [`LockBackend::acquire`](crate::LockBackend::acquire).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct AcquireRequest {
    /// The identity of this attempt.
    pub id: RequestId,
    /// Key to lock.
    pub key: LockKey,
    /// Owner of the request.
    pub owner: OwnerId,
    /// Session of the request.
    pub session: SessionId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// Time to live of the lease.
    pub ttl: Ttl,
    /// Head start in the queue.
    pub head_start: HeadStart,
    /// Behaviour if the key is not free.
    pub on_held: OnHeld,
    /// Mailbox for notices of its grant and forced end; `None` for no notices.
    pub mailbox: Option<MailboxId>,
    /// Metadata of the lease.
    pub metadata: Metadata,
}

impl AcquireRequest {
    /// Creates an exclusive request for `key`, with the default ttl, its own session, no head start
    /// and no mailbox, refused if the key is held.
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

    /// Sets the session.
    #[must_use]
    pub fn with_session(self, session: SessionId) -> Self {
        Self { session, ..self }
    }

    /// Sets the mode.
    #[must_use]
    pub fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Sets the ttl.
    #[must_use]
    pub fn with_ttl(self, ttl: Ttl) -> Self {
        Self { ttl, ..self }
    }

    /// Sets the head start.
    #[must_use]
    pub fn with_head_start(self, head_start: HeadStart) -> Self {
        Self { head_start, ..self }
    }

    /// Sets the behaviour if the key is not free.
    #[must_use]
    pub fn with_on_held(self, on_held: OnHeld) -> Self {
        Self { on_held, ..self }
    }

    /// Joins a queue of any length if the key is not free.
    #[must_use]
    pub fn queueing(self, keep_alive: KeepAlive) -> Self {
        self.with_on_held(OnHeld::Queue { keep_alive, queue_limit: None })
    }

    /// Sets the mailbox for notices of its grant and forced end.
    #[must_use]
    pub fn with_mailbox(self, mailbox: MailboxId) -> Self {
        Self { mailbox: Some(mailbox), ..self }
    }

    /// Attaches `metadata`.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }
}

/// Heartbeat of a waiter, which claims a granted lease. See
/// [`LockBackend::hear`](crate::LockBackend::hear).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct HearRequest {
    /// The key that was asked for.
    pub key: LockKey,
    /// The request to hear.
    pub request: RequestId,
    /// New mailbox for notices of a grant; `None` keeps the current one.
    pub mailbox: Option<MailboxId>,
}

impl HearRequest {
    /// Hears `request` on `key`.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId) -> Self {
        Self { key, request, mailbox: None }
    }

    /// Sets the new mailbox.
    #[must_use]
    pub fn with_mailbox(self, mailbox: MailboxId) -> Self {
        Self { mailbox: Some(mailbox), ..self }
    }
}

/// Renewal of a lease. See [`LockBackend::renew`](crate::LockBackend::renew).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct RenewRequest {
    /// The lease to renew.
    pub lease: LeaseName,
    /// Time to live from now on.
    pub ttl: Ttl,
    /// New mailbox for notices of a forced end; `None` keeps the current one.
    pub mailbox: Option<MailboxId>,
}

impl RenewRequest {
    /// Creates a renewal to `ttl` from now on.
    #[must_use]
    pub const fn new(lease: LeaseName, ttl: Ttl) -> Self {
        Self { lease, ttl, mailbox: None }
    }

    /// Sets the new mailbox.
    #[must_use]
    pub fn with_mailbox(self, mailbox: MailboxId) -> Self {
        Self { mailbox: Some(mailbox), ..self }
    }
}

/// Release of a lease. See [`LockBackend::release`](crate::LockBackend::release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ReleaseRequest {
    /// The lease to release.
    pub lease: LeaseName,
}

impl ReleaseRequest {
    /// Creates a release of this lease.
    #[must_use]
    pub const fn new(lease: LeaseName) -> Self {
        Self { lease }
    }
}

/// Cancellation of a request, queued or granted. See
/// [`LockBackend::cancel`](crate::LockBackend::cancel).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct CancelRequest {
    /// The key that was asked for.
    pub key: LockKey,
    /// The request to end.
    pub request: RequestId,
    /// `true` if an acquire of the request is unanswered: it may still arrive, and is then refused.
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

/// Transfer of a lease by name. See [`LockBackend::transfer`](crate::LockBackend::transfer).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct TransferRequest {
    /// The lease to transfer.
    pub lease: LeaseName,
    /// Owner that transfers it.
    pub by: OwnerId,
    /// Receiver.
    pub to: TransferTo,
}

/// Receiver of a transferred lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum TransferTo {
    /// A request in the queue of the key, at any position.
    Waiter(RequestId),
    /// An owner without a request, which learns of the lease by other means and adopts it.
    Owner {
        /// The new owner.
        owner: OwnerId,
        /// The request that holds from now on, in a session of its own.
        request: RequestId,
        /// New metadata of the lease.
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
    /// Creates a transfer of `lease` on behalf of `by`.
    #[must_use]
    pub const fn new(lease: LeaseName, by: OwnerId, to: TransferTo) -> Self {
        Self { lease, by, to }
    }
}

/// Eviction of leases or a waiter. See [`LockBackend::evict`](crate::LockBackend::evict).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct EvictRequest {
    /// The key.
    pub key: LockKey,
    /// Target of the eviction.
    pub target: EvictTarget,
    /// Owner that evicts.
    pub by: OwnerId,
    /// Why.
    pub reason: Reason,
}

/// Target of an eviction.
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
        token: FencingToken,
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

/// Appeal to the holders of a key to release it. See
/// [`LockBackend::request_release`](crate::LockBackend::request_release).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct ReleaseAppeal {
    /// The key.
    pub key: LockKey,
    /// Owner that wants the key.
    pub by: OwnerId,
    /// Why.
    pub reason: Reason,
    /// Time in which the holders should release.
    pub within: Timeout,
    /// The highest token of the leases that are meant, so that repeating it asks no later holder;
    /// `None` for all leases.
    pub up_to: Option<FencingToken>,
}

impl ReleaseAppeal {
    /// Asks every holder of `key` to release it within that time.
    #[must_use]
    pub const fn new(key: LockKey, by: OwnerId, reason: Reason, within: Timeout) -> Self {
        Self { key, by, reason, within, up_to: None }
    }

    /// Asks no holder of a later lease than that with this token.
    #[must_use]
    pub fn up_to(self, token: FencingToken) -> Self {
        Self { up_to: Some(token), ..self }
    }
}
