//! Leases.

use std::time::Duration;

use crate::{
    AcquireRequest, FencingToken, LockKey, Metadata, Mode, OwnerId, RequestId, SessionId,
    Timestamp, Ttl,
};

/// Lease of a granted request. While it lasts, the key is granted only to requests that can share
/// it.
///
/// The points of time are on the store's clock; see [`Timed`](crate::Timed).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Lease {
    /// The locked key.
    pub key: LockKey,
    /// The holder.
    pub owner: OwnerId,
    /// The session that holds it.
    pub session: SessionId,
    /// The request that was granted.
    pub request: RequestId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// The fencing token.
    pub token: FencingToken,
    /// Time to live after each renewal.
    pub ttl: Ttl,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ends unless renewed; `None` is never.
    ///
    /// A lease granted to a waiter expires after its claim window, the waiter's keep-alive, unless
    /// it is claimed.
    pub expires_at: Option<Timestamp>,
    /// Metadata of the holder.
    pub metadata: Metadata,
    /// Number of replicas that had the lease when it was granted; `None` where the store was not
    /// asked to wait for replicas. It is no part of what is stored.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub replicas: Option<u32>,
}

/// The name of a lease: a command that says all three never touches the next lease of the same
/// request, however late it arrives.
///
/// A caller that knows the name can renew, release and transfer the lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct LeaseName {
    /// The locked key.
    pub key: LockKey,
    /// The request that was granted.
    pub request: RequestId,
    /// The fencing token.
    pub token: FencingToken,
}

impl LeaseName {
    /// The lease of `request` on `key` that has this token.
    #[must_use]
    pub const fn new(key: LockKey, request: RequestId, token: FencingToken) -> Self {
        Self { key, request, token }
    }
}

/// Decision of the store at the time of a grant; the rest of the lease comes from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Grant {
    /// The locked key.
    pub key: LockKey,
    /// The request that was granted.
    pub request: RequestId,
    /// The fencing token.
    pub token: FencingToken,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When the lease ends unless renewed or claimed; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl Grant {
    /// The grant of `request` on `key` at the time `granted_at`, of a lease that never ends.
    #[must_use]
    pub const fn new(
        key: LockKey,
        request: RequestId,
        token: FencingToken,
        granted_at: Timestamp,
    ) -> Self {
        Self { key, request, token, granted_at, expires_at: None }
    }

    /// The same grant of a lease that ends then.
    #[must_use]
    pub fn with_expires_at(self, expires_at: Option<Timestamp>) -> Self {
        Self { expires_at, ..self }
    }
}

impl Lease {
    /// The lease of full length that `request` gets at the time `now`; that of an
    /// [upgrade](crate::Mode::Upgrade) is exclusive.
    #[must_use]
    pub fn granted(request: &AcquireRequest, token: FencingToken, now: Timestamp) -> Self {
        Self {
            key: request.key.clone(),
            owner: request.owner.clone(),
            session: request.session,
            request: request.id,
            mode: request.mode.of_lease(),
            token,
            ttl: request.ttl,
            granted_at: now,
            expires_at: request.ttl.span().map(|span| now.after(span)),
            metadata: request.metadata.clone(),
            replicas: None,
        }
    }

    /// The same lease, ending then.
    #[must_use]
    pub fn with_expires_at(self, expires_at: Option<Timestamp>) -> Self {
        Self { expires_at, ..self }
    }

    /// The same lease, held by this session.
    #[must_use]
    pub fn with_session(self, session: SessionId) -> Self {
        Self { session, ..self }
    }

    /// The name of the lease.
    #[must_use]
    pub fn name(&self) -> LeaseName {
        LeaseName::new(self.key.clone(), self.request, self.token)
    }

    /// Age of the lease at `now`.
    #[must_use]
    pub const fn age(&self, now: Timestamp) -> Duration {
        now.since(self.granted_at)
    }

    /// Remaining time of the lease at `now`; `None` if it does not expire.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.expires_at.map(|end| end.since(now))
    }

    /// Returns `true` if the lease has expired at `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}
