//! Configuration of a host.

use std::num::NonZeroU32;
use std::time::Duration;

/// Configuration of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostConfig {
    /// The longest queue of a key. A key is one cell, which every command on it reads and writes
    /// whole.
    pub queue_limit: NonZeroU32,
    /// Retention of an idle cell without live entries. Until then its key counts its own tokens.
    pub idle_span: Duration,
}

impl Default for HostConfig {
    fn default() -> Self {
        let queue_limit = NonZeroU32::new(1000).expect("1,000 is not zero");
        Self { queue_limit, idle_span: Duration::from_secs(60 * 60) }
    }
}

impl HostConfig {
    /// Queues of at most 1,000, and cells that stay for an hour.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets no queue be longer.
    #[must_use]
    pub fn with_queue_limit(self, queue_limit: NonZeroU32) -> Self {
        Self { queue_limit, ..self }
    }

    /// Lets cells stay for this long.
    #[must_use]
    pub fn with_idle_span(self, idle_span: Duration) -> Self {
        Self { idle_span, ..self }
    }
}
