//! Health and capabilities of a store.

use std::fmt;

use crate::LockKey;

/// The health of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Health {
    /// Name and version of the store, for display.
    pub store: String,
    /// Warnings for the operator; empty if the store is healthy.
    pub warnings: Vec<String>,
}

impl Health {
    /// The store answers, with warnings for the operator.
    #[must_use]
    pub const fn new(store: String, warnings: Vec<String>) -> Self {
        Self { store, warnings }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.store)?;
        if self.warnings.is_empty() {
            f.write_str("well")
        } else {
            f.write_str(&self.warnings.join("; "))
        }
    }
}

/// Capabilities of a store, verified by the conformance suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`listen`](crate::LockBackend::listen) gives notices.
    pub notices: bool,
    /// [`watch`](crate::LockInspector::watch) gives events.
    pub events: bool,
    /// Processes on several machines can share the store.
    pub shared: bool,
    /// Leases outlive the process that keeps the store.
    pub durable: bool,
    /// The most bytes that a key may have.
    pub key_bytes: usize,
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::none()
    }
}

impl Capabilities {
    /// Nothing beyond the protocol.
    #[must_use]
    pub const fn none() -> Self {
        let key_bytes = LockKey::MAX_BYTES;
        Self { notices: false, events: false, shared: false, durable: false, key_bytes }
    }

    /// Takes keys of at most this many bytes.
    #[must_use]
    pub const fn with_key_bytes(self, key_bytes: usize) -> Self {
        Self { key_bytes, ..self }
    }

    /// Sends notices of grants and forced ends to mailboxes.
    #[must_use]
    pub const fn with_notices(self) -> Self {
        Self { notices: true, ..self }
    }

    /// Gives events.
    #[must_use]
    pub const fn with_events(self) -> Self {
        Self { events: true, ..self }
    }

    /// Can be shared between machines.
    #[must_use]
    pub const fn with_sharing(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Outlives its process.
    #[must_use]
    pub const fn with_durability(self) -> Self {
        Self { durable: true, ..self }
    }
}
