//! A deadlock, and its words.

use std::error::Error as StdError;
use std::fmt;

use crate::{LockKey, OwnerId, RequestId, SessionId, Waiter};

/// A deadlock: requests of sessions that wait for one another. It is the cause of an error of the kind
/// [`Deadlock`](crate::ErrorKind::Deadlock).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlock {
    /// The members, in the order of their sessions.
    pub members: Vec<DeadlockMember>,
}

/// A session in a deadlock, with the request that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadlockMember {
    /// The request that waits.
    pub waiter: Waiter,
    /// The leases and requests of other members in its way.
    waits_for: Vec<Blocker>,
}

impl DeadlockMember {
    pub(crate) const fn new(waiter: Waiter, waits_for: Vec<Blocker>) -> Self {
        Self { waiter, waits_for }
    }

    /// Returns `true` if it is the same wait, for the same leases and requests.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let of = |member: &Self| (member.waiter.request, member.waiter.enqueued_at);
        of(self) == of(other) && self.waits_for == other.waits_for
    }

    /// The key that it waits for.
    #[must_use]
    pub const fn key(&self) -> &LockKey {
        &self.waiter.key
    }

    /// Its owner.
    #[must_use]
    pub const fn owner(&self) -> &OwnerId {
        &self.waiter.owner
    }

    /// The sessions of the deadlock that it waits for.
    pub fn waits_for(&self) -> impl Iterator<Item = SessionId> {
        self.waits_for.iter().map(|blocker| blocker.session)
    }
}

/// A lease or a waiter in the way of a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Blocker {
    pub(crate) session: SessionId,
    pub(crate) request: RequestId,
    /// Token of the lease; zero is a waiter.
    pub(crate) token: u64,
}

/// For example ``` `a` waits for `x`, held by `b`; `b` waits for `y`, held by `a` ```.
impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, member) in self.members.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}`{}` waits for `{}`", member.owner(), member.key())?;
            for (number, blocker) in member.waits_for.iter().enumerate() {
                let words = match (number, blocker.token) {
                    (0, 0) => ", behind",
                    (0, _) => ", held by",
                    (_, 0) => " and behind",
                    (_, _) => " and by",
                };
                let is_its = |member: &&DeadlockMember| member.waiter.session == blocker.session;
                match self.members.iter().find(is_its) {
                    Some(_) if blocker.session == member.waiter.session => {
                        write!(f, "{words} itself")?;
                    }
                    Some(other) => write!(f, "{words} `{}`", other.owner())?,
                    None => write!(f, "{words} session {}", blocker.session)?,
                }
            }
        }
        Ok(())
    }
}

impl StdError for Deadlock {}
