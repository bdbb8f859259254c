//! Reasons for the loss of a lease.

use std::fmt;

use crate::End;

/// Reason for the loss of a lease that was in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LossReason {
    /// It could not be renewed in time.
    Overdue,
    /// The store says that the request does not hold the key.
    NotHeld,
    /// It was ended by force.
    Ended(End),
    /// Another guard of this manager took charge of it.
    Adopted,
    /// Its manager was shut down and renews it no longer.
    ShutDown,
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overdue => f.write_str("it could not be renewed in time"),
            Self::NotHeld => f.write_str("the store does not have it any more"),
            Self::Ended(end) => write!(f, "it was {end}"),
            Self::Adopted => f.write_str("another guard took charge of it"),
            Self::ShutDown => f.write_str("its manager was shut down"),
        }
    }
}
