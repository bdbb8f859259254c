//! Health and capabilities of a store.

use std::fmt;
use std::time::Duration;

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
    /// `true` if the store grants locks now; a replica and a server that loads its data do not.
    #[cfg_attr(feature = "serde", serde(default = "yes"))]
    pub grants: bool,
    /// Time from the question to this answer, measured by the manager; `None` from a store.
    #[cfg_attr(feature = "serde", serde(rename = "round_trip_us", with = "micros"))]
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "Option::is_none"))]
    pub round_trip: Option<Duration>,
}

#[cfg(feature = "serde")]
const fn yes() -> bool {
    true
}

/// A span as whole microseconds.
#[cfg(feature = "serde")]
mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let micros = span.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX));
        micros.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(Duration::from_micros))
    }
}

impl Health {
    /// The store answers, with warnings for the operator.
    #[must_use]
    pub const fn new(store: String, warnings: Vec<String>) -> Self {
        Self { store, warnings, grants: true, round_trip: None }
    }

    /// The same store, which grants no locks now: a warning says why.
    #[must_use]
    pub fn without_grants(self) -> Self {
        Self { grants: false, ..self }
    }

    /// The same health, with the time that the question took.
    #[must_use]
    pub fn with_round_trip(self, round_trip: Duration) -> Self {
        Self { round_trip: Some(round_trip), ..self }
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
