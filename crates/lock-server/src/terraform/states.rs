//! The trait of a store of states.

use std::error::Error as StdError;
use std::fmt::Debug;

use async_trait::async_trait;
use axum::body::Bytes;
use lock_core::FencingToken;

use super::StateName;

/// A store of Terraform states, fenced by the tokens of their locks.
///
/// The store remembers the highest token of each state that it was told, and refuses writes with a
/// lower one in the same atomic step: a holder that was evicted between the check of its lease and
/// its write changes nothing.
#[async_trait]
pub trait StateStore: Debug + Send + Sync + 'static {
    /// The current body of a state; `None` if there is none.
    async fn load(&self, name: &StateName) -> Result<Option<Bytes>, StateError>;

    /// Refuses writes with tokens below this one from now on, if it is not below the highest.
    async fn fence(&self, name: &StateName, token: FencingToken) -> Result<Write, StateError>;

    /// Replaces the body, or removes it, unless the token is below the highest.
    async fn replace(
        &self,
        name: &StateName,
        token: FencingToken,
        body: Option<Bytes>,
    ) -> Result<Write, StateError>;

    /// Keeps a body that was refused beside the state.
    async fn keep_refused(&self, name: &StateName, refused: &Refused) -> Result<(), StateError>;
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub enum Write {
    /// It is durable.
    Done,
    /// The token is below the highest of the state; nothing changed.
    Outdated {
        /// The highest token.
        highest: FencingToken,
    },
}

/// A body that was refused.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Refused {
    /// The body.
    pub body: Bytes,
    /// The `ID` of the lock that the write named.
    pub lock: String,
    /// Why it was refused.
    pub reason: String,
}

impl Refused {
    pub(super) const fn new(body: Bytes, lock: String, reason: String) -> Self {
        Self { body, lock, reason }
    }
}

/// The store of states failed.
#[derive(Debug)]
pub struct StateError(Box<dyn StdError + Send + Sync>);

impl StateError {
    /// The store failed for this reason; a write may have happened.
    pub fn new(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl std::fmt::Display for StateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the store of states failed: {}", self.0)
    }
}

impl StdError for StateError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
