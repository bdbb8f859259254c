//! State and deadline of a batched command.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::handle::ConnectionHealth;

/// State of a command.
#[derive(Debug, Default)]
pub(crate) struct CommandState(Mutex<Stage>);

#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Waits,
    Sent(Sent),
    Withdrawn,
}

/// Details of a sent command.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Health of its connection.
    pub(crate) health: Arc<ConnectionHealth>,
    /// Deadline of the answer.
    pub(crate) deadline: Instant,
}

impl CommandState {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a command as sent; `false` if it was withdrawn.
    pub(crate) fn send(&self, sent: Sent) -> bool {
        self.becomes(Stage::Sent(sent))
    }

    fn becomes(&self, next: Stage) -> bool {
        let mut stage = self.stage();
        let waits = matches!(*stage, Stage::Waits);
        if waits {
            *stage = next;
        }
        waits
    }

    /// Withdraws a command; `false` if it was already sent.
    pub(crate) fn withdraw(&self) -> bool {
        self.becomes(Stage::Withdrawn)
    }

    /// Returns the details if the command was sent.
    pub(crate) fn sent(&self) -> Option<Sent> {
        match &*self.stage() {
            Stage::Sent(sent) => Some(sent.clone()),
            Stage::Waits | Stage::Withdrawn => None,
        }
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        matches!(*self.stage(), Stage::Withdrawn)
    }
}

/// Capacity of the connection for another batch. The time-out of a command does not run without it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Capacity {
    #[default]
    Always,
    /// No capacity.
    Exhausted,
    Since(Instant),
}

impl Capacity {
    /// Marks capacity as available.
    pub(crate) fn is_there(&mut self) {
        if matches!(self, Self::Exhausted) {
            *self = Self::Since(Instant::now());
        }
    }

    /// Deadline of a command queued at `since`; `None` while its time-out does not run.
    pub(crate) fn deadline(self, since: Instant, limit: Duration) -> Option<Instant> {
        match self {
            Self::Always => Some(since + limit),
            Self::Exhausted => None,
            Self::Since(capacity) => Some(since.max(capacity) + limit),
        }
    }
}
