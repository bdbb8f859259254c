//! What a granted request has.

use std::time::Duration;

use crate::{
    AcquireRequest, FencingToken, LockKey, Metadata, Mode, OwnerId, RequestId, Timestamp, Ttl,
};

/// What a granted request has: as long as it lasts, nobody is granted the key who may not share it.
///
/// The points of time are on the store's clock; take differences of points from one reply only.
/// Whoever knows [`key`](Self::key) and [`request`](Self::request) can renew, release and transfer
/// the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Lease {
    /// What is locked.
    pub key: LockKey,
    /// Who holds it.
    pub owner: OwnerId,
    /// The request that was granted.
    pub request: RequestId,
    /// Alone or with others.
    pub mode: Mode,
    /// The fencing token.
    pub token: FencingToken,
    /// How long each renewal makes it last.
    pub ttl: Ttl,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// When it ends unless renewed; `None` is never.
    ///
    /// A lease that was handed to a waiter ends after the claim window, which is the waiter's
    /// keep-alive, until its first renewal makes it full length.
    pub expires_at: Option<Timestamp>,
    /// What it carries.
    pub metadata: Metadata,
}

impl Lease {
    /// The lease of full length that `asked` gets at the time `now`.
    #[must_use]
    pub fn granted(asked: &AcquireRequest, token: FencingToken, now: Timestamp) -> Self {
        Self {
            key: asked.key.clone(),
            owner: asked.owner.clone(),
            request: asked.request,
            mode: asked.mode,
            token,
            ttl: asked.ttl,
            granted_at: now,
            expires_at: asked.ttl.span().map(|span| now.after(span)),
            metadata: asked.metadata.clone(),
        }
    }

    /// The same lease, ending then.
    #[must_use]
    pub fn with_expires_at(self, expires_at: Option<Timestamp>) -> Self {
        Self { expires_at, ..self }
    }

    /// How long the lease has been held at the time `now`.
    #[must_use]
    pub const fn age(&self, now: Timestamp) -> Duration {
        now.since(self.granted_at)
    }

    /// How long the lease lasts from `now`; `None` is for ever.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<Duration> {
        self.expires_at.map(|end| end.since(now))
    }

    /// Whether the lease is over at the time `now`.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}
