//! What a store says of itself.

use std::fmt;

use crate::LockKey;

/// The health of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Health {
    /// What the store is, for people: its name and version.
    pub store: String,
    /// What an operator should mend, for people; nothing when all is well.
    pub warnings: Vec<String>,
}

impl Health {
    /// The store answers, and these things should be mended.
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

/// What a store truly offers; the conformance suite holds it to its word.
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

    /// Tells mailboxes of grants and of ends by force.
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
