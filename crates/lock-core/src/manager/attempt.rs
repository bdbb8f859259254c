//! The outcome of a single attempt.

use super::LockGuard;
use crate::{QueuePosition, Timed};

/// Outcome of [`LockManager::try_acquire`](super::LockManager::try_acquire), for guards of type `G`.
#[derive(Debug)]
#[must_use = "an acquired lock is released when dropped"]
#[expect(clippy::exhaustive_enums, reason = "one attempt succeeds or it does not")]
pub enum Attempt<G = LockGuard> {
    /// The key is held by this guard.
    Acquired(G),
    /// The key is held, or waited for, by others.
    Held(Timed<QueuePosition>),
}

impl<G> Attempt<G> {
    /// The guard, if the key was acquired.
    #[must_use]
    pub fn guard(self) -> Option<G> {
        match self {
            Self::Acquired(guard) => Some(guard),
            Self::Held(_) => None,
        }
    }

    /// The position that the request would have had, if the key was not acquired.
    #[must_use]
    pub const fn position(&self) -> Option<&Timed<QueuePosition>> {
        match self {
            Self::Acquired(_) => None,
            Self::Held(position) => Some(position),
        }
    }
}
