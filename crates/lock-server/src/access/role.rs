//! What a token lets its client do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a token lets its client do. Each role has the rights of those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// Inspect and list locks, waits and events, and load states.
    Read,
    /// Take turns: acquire, renew, release, cancel and transfer what its client knows the request of,
    /// and write states under their locks.
    Use,
    /// Act on the locks of others: evict, cancel, unlock by force, and delete states.
    Operate,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Use => "use",
            Self::Operate => "operate",
        })
    }
}
