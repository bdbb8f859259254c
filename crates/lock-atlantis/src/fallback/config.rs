//! When a process leaves its primary store, and when it returns.

use std::time::Duration;

/// What is done when the primary store is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLoss {
    /// Every call fails until it is back.
    #[default]
    FailClosed,
    /// The mirror serves alone.
    ServeMirror,
}

/// When a process leaves its primary store, and when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackConfig {
    /// What is done when the primary is lost.
    pub on_loss: OnLoss,
    /// Number of failures within [`window`](Self::window) after which it is lost; calls fail before.
    pub failures: u32,
    /// The time in which failures are counted.
    pub window: Duration,
    /// How long the primary answers everything before the stores are compared.
    pub healthy_for: Duration,
    /// The time between two looks at a primary that failed.
    pub probe_every: Duration,
}

/// Fails closed; 3 failures within 10 seconds, and 30 seconds of health, looked at every second.
impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            on_loss: OnLoss::default(),
            failures: 3,
            window: Duration::from_secs(10),
            healthy_for: Duration::from_secs(30),
            probe_every: Duration::from_secs(1),
        }
    }
}

impl FallbackConfig {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, doing this when the primary is lost.
    #[must_use]
    pub const fn with_on_loss(self, on_loss: OnLoss) -> Self {
        Self { on_loss, ..self }
    }

    /// The same, with a primary that is lost after this number of failures within this time.
    #[must_use]
    pub const fn with_failures(self, failures: u32, window: Duration) -> Self {
        Self { failures, window, ..self }
    }

    /// The same, with a primary that is healthy for this long before it serves again.
    #[must_use]
    pub const fn with_healthy_for(self, healthy_for: Duration) -> Self {
        Self { healthy_for, ..self }
    }

    /// The same, looking at a primary that failed this often.
    #[must_use]
    pub const fn with_probe_every(self, probe_every: Duration) -> Self {
        Self { probe_every, ..self }
    }
}
