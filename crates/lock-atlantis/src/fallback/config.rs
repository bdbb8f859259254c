//! The conditions under which a process leaves its primary store, and returns to it.

use std::time::Duration;

/// The reaction to the loss of the primary store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnLoss {
    /// Every call fails until the primary is back.
    #[default]
    FailClosed,
    /// The mirror serves alone.
    ServeMirror,
}

/// The conditions under which a process leaves its primary store, and returns to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FallbackConfig {
    /// The reaction to the loss of the primary.
    pub on_loss: OnLoss,
    /// Number of failures within [`window`](Self::window) after which the primary is lost; until
    /// then calls fail.
    pub failures: u32,
    /// The time in which failures are counted.
    pub window: Duration,
    /// The time for which the primary must answer every call before the stores are reconciled.
    pub healthy_for: Duration,
    /// The interval between probes of a primary that failed.
    pub probe_every: Duration,
    /// The time for which a note on a record that ended is kept after the record is in neither store:
    /// longer than four time-outs of a store, as another process may be about to copy it.
    pub notes_kept: Duration,
}

/// Fails closed; 3 failures within 10 seconds, 30 seconds of health, a probe every second, and notes
/// for a minute.
impl Default for FallbackConfig {
    fn default() -> Self {
        Self {
            on_loss: OnLoss::default(),
            failures: 3,
            window: Duration::from_secs(10),
            healthy_for: Duration::from_secs(30),
            probe_every: Duration::from_secs(1),
            notes_kept: Duration::from_secs(60),
        }
    }
}

impl FallbackConfig {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with this reaction to the loss of the primary.
    #[must_use]
    pub const fn with_on_loss(self, on_loss: OnLoss) -> Self {
        Self { on_loss, ..self }
    }

    /// The same, with the primary lost after this number of failures within this time.
    #[must_use]
    pub const fn with_failures(self, failures: u32, window: Duration) -> Self {
        Self { failures, window, ..self }
    }

    /// The same, with this time of health before the primary serves again.
    #[must_use]
    pub const fn with_healthy_for(self, healthy_for: Duration) -> Self {
        Self { healthy_for, ..self }
    }

    /// The same, with this interval between probes of a primary that failed.
    #[must_use]
    pub const fn with_probe_every(self, probe_every: Duration) -> Self {
        Self { probe_every, ..self }
    }

    /// The same, with notes on records that ended kept for this long.
    #[must_use]
    pub const fn with_notes_kept(self, notes_kept: Duration) -> Self {
        Self { notes_kept, ..self }
    }
}
