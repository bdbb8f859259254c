//! Limits of the service.

use std::time::Duration;

/// Limits of the service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// Longest wait of one call for a key; a client that waits longer asks again.
    pub longest_wait: Duration,
    /// Time-out of a call to the store.
    pub operation_timeout: Duration,
    /// Maximum number of bytes of a request's body.
    pub body_bytes: usize,
    /// Interval between two lines of a connection that holds a key.
    pub pulse: Duration,
}

impl Default for ServiceConfig {
    /// Waits of an hour, 10 s for the store, 1 MiB, a line every 10 s.
    fn default() -> Self {
        Self {
            longest_wait: Duration::from_secs(3600),
            operation_timeout: Duration::from_secs(10),
            body_bytes: 1024 * 1024,
            pulse: Duration::from_secs(10),
        }
    }
}

impl ServiceConfig {
    /// The default limits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits the wait of one call for a key.
    #[must_use]
    pub fn with_longest_wait(self, longest_wait: Duration) -> Self {
        Self { longest_wait, ..self }
    }

    /// Limits the time for an answer of the store.
    #[must_use]
    pub fn with_operation_timeout(self, operation_timeout: Duration) -> Self {
        Self { operation_timeout, ..self }
    }

    /// Limits the body of a request.
    #[must_use]
    pub fn with_body_bytes(self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self }
    }

    /// Sends a line this often to a client whose connection holds a key.
    #[must_use]
    pub fn with_pulse(self, pulse: Duration) -> Self {
        Self { pulse, ..self }
    }
}
