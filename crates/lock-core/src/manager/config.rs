//! The settings of a manager.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{KeepAlive, Priority, Ttl};

/// The settings of a manager, from which each request may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct ManagerConfig {
    /// How long a lease lasts unless renewed: 30 seconds.
    pub ttl: Ttl,
    /// How long a waiter may be silent: 10 seconds.
    pub keep_alive: KeepAlive,
    /// The longest queue that is joined: any.
    pub queue_limit: Option<NonZeroU32>,
    /// How much earlier one level of priority ranks: 2 minutes.
    pub ageing_step: Duration,
    /// How long the store may take to answer one command: 5 seconds.
    pub operation_timeout: Duration,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            ttl: Ttl::default(),
            keep_alive: KeepAlive::default(),
            queue_limit: None,
            ageing_step: Priority::DEFAULT_STEP,
            operation_timeout: Duration::from_secs(5),
        }
    }
}

impl ManagerConfig {
    /// Leases last this long unless renewed.
    #[must_use]
    pub fn with_ttl(self, ttl: Ttl) -> Self {
        Self { ttl, ..self }
    }

    /// Waiters may be silent this long.
    #[must_use]
    pub fn with_keep_alive(self, keep_alive: KeepAlive) -> Self {
        Self { keep_alive, ..self }
    }

    /// No longer queue than this is joined, the request itself included.
    #[must_use]
    pub fn with_queue_limit(self, limit: NonZeroU32) -> Self {
        Self { queue_limit: Some(limit), ..self }
    }

    /// One level of priority ranks this much earlier: zero is first come, first served.
    #[must_use]
    pub fn with_ageing_step(self, step: Duration) -> Self {
        Self { ageing_step: step, ..self }
    }

    /// The store may take this long to answer one command.
    #[must_use]
    pub fn with_operation_timeout(self, timeout: Duration) -> Self {
        Self { operation_timeout: timeout, ..self }
    }
}
