//! Notices of a store to a manager, and forced ends.

use std::fmt;
use std::pin::Pin;

use futures_core::Stream;

use crate::{FencingToken, Grant, LockKey, OwnerId, Reason, RequestId, Timeout};

/// Forced end of a request, or its cancellation with an answer outstanding.
///
/// A store remembers it for a while; see [`machine`](crate::machine), rule 13.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum End {
    /// An operator evicted the lease or the waiter.
    Evicted {
        /// The owner that ended it.
        by: OwnerId,
        /// Why.
        reason: Reason,
    },
    /// The lease was handed over.
    Transferred {
        /// The owner that handed it over.
        by: OwnerId,
        /// The owner that has it now.
        to: OwnerId,
    },
    /// The request was cancelled while its answer was outstanding.
    Cancelled,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicted { by, reason } => write!(f, "evicted by `{by}`: {reason}"),
            Self::Transferred { by, to } => write!(f, "transferred to `{to}` by `{by}`"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// Notice to a mailbox.
///
/// A notice is a hint: it may be late, lost or repeated. Except for [`Wanted`](Self::Wanted), its content
/// is also state that a command finds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Notice {
    /// A request that waited was granted; its claim window is running.
    Granted(Grant),
    /// A lease or a waiter was ended by force.
    Ended {
        /// The key.
        key: LockKey,
        /// The request that was ended.
        request: RequestId,
        /// The token of the lease; `None` for a waiter.
        token: Option<FencingToken>,
        /// The end.
        end: End,
    },
    /// The request is at the head of the queue and may fit: it should be heard now.
    Ask {
        /// The key.
        key: LockKey,
        /// The request to hear.
        request: RequestId,
    },
    /// The holder is asked to release the key: nothing happens to its lease if it does not. The asker
    /// repeats it, since no command finds it.
    Wanted {
        /// The key.
        key: LockKey,
        /// The request that holds.
        request: RequestId,
        /// The token of its lease.
        token: FencingToken,
        /// The owner that wants the key.
        by: OwnerId,
        /// Why.
        reason: Reason,
        /// Time in which it should be released.
        within: Timeout,
    },
    /// Notices may have been lost: renew every lease and hear every waiter of the mailbox.
    MayHaveMissed,
}

/// The notices of one mailbox, until the stream or the store goes.
pub type NoticeStream = Pin<Box<dyn Stream<Item = Notice> + Send>>;
