//! The choice of the session that gives way in a deadlock.

use std::cmp::Reverse;
use std::fmt;

use crate::DeadlockMember;

/// The choice of the victim of a deadlock: the request that ends in
/// [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
///
/// Every manager that takes part must use the same policy, so that all choose the same victim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum DeadlockPolicy {
    /// The request of the lowest priority; of several, the one that joined its queue last.
    #[default]
    LowestPriority,
    /// The request that joined its queue last.
    Youngest,
    /// The request that joined its queue first.
    Oldest,
    /// The request that finds itself in a deadlock, which is the one that closed it: a deadlock never
    /// outlasts the first look.
    Prevent,
    /// The member that a function returns.
    #[cfg_attr(feature = "serde", serde(skip))]
    Custom(VictimChoice),
}

/// A function that chooses a victim: the index of one of the members, which are in the order of their
/// sessions. An index beyond the last chooses the last.
#[derive(Clone, Copy)]
pub struct VictimChoice(fn(&[DeadlockMember]) -> usize);

impl VictimChoice {
    /// Chooses by this function, which must return the same for the same members in every process.
    #[must_use]
    pub const fn new(choose: fn(&[DeadlockMember]) -> usize) -> Self {
        Self(choose)
    }
}

impl PartialEq for VictimChoice {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for VictimChoice {}

impl fmt::Debug for VictimChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VictimChoice")
    }
}

impl DeadlockPolicy {
    /// The victim among the members of a knot, as `finder` sees it.
    pub(super) fn victim<'a>(
        self,
        members: &'a [DeadlockMember],
        finder: &'a DeadlockMember,
    ) -> &'a DeadlockMember {
        let age = |member: &&DeadlockMember| (member.waiter.enqueued_at, member.waiter.request);
        let victim = match self {
            Self::LowestPriority => {
                let rank =
                    |member: &&DeadlockMember| (member.waiter.head_start, Reverse(age(member)));
                members.iter().min_by_key(rank)
            }
            Self::Youngest => members.iter().max_by_key(age),
            Self::Oldest => members.iter().min_by_key(age),
            Self::Prevent => None,
            Self::Custom(VictimChoice(choose)) => members.get(choose(members)).or(members.last()),
        };
        victim.unwrap_or(finder)
    }
}
