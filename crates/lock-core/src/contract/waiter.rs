//! A request that waits in the queue of a key.

use crate::{HeadStart, LockKey, Mode, OwnerId, RequestId, SessionId, Timestamp};

/// A request that waits in the queue of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Waiter {
    /// The key that it waits for.
    pub key: LockKey,
    /// Owner of the waiter.
    pub owner: OwnerId,
    /// The session that waits.
    pub session: SessionId,
    /// The waiting request.
    pub request: RequestId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// Head start over its arrival.
    pub head_start: HeadStart,
    /// Time at which it joined the queue.
    pub enqueued_at: Timestamp,
    /// Time at which it loses its position unless it is heard before.
    pub silent_at: Timestamp,
}

impl Waiter {
    /// An exclusive waiter without head start, in a session of its own, that joined at
    /// `enqueued_at` and may be silent until `silent_at`.
    #[must_use]
    pub fn new(
        key: LockKey,
        owner: OwnerId,
        request: RequestId,
        enqueued_at: Timestamp,
        silent_at: Timestamp,
    ) -> Self {
        let (mode, head_start) = (Mode::Exclusive, HeadStart::NONE);
        let session = request.into();
        Self { key, owner, session, request, mode, head_start, enqueued_at, silent_at }
    }

    /// The same waiter with this mode and head start.
    #[must_use]
    pub fn with_terms(self, mode: Mode, head_start: HeadStart) -> Self {
        Self { mode, head_start, ..self }
    }

    /// The same waiter in this session.
    #[must_use]
    pub fn with_session(self, session: SessionId) -> Self {
        Self { session, ..self }
    }
}
