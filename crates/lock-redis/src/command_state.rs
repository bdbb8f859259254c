//! How far a command has come that is sent with others, and how long it may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection_handle::ConnectionHealth;

/// How far a command has come.
#[derive(Debug, Default)]
pub(crate) struct CommandState(Mutex<Stage>);

#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Waits,
    Sent(Sent),
    Withdrawn,
}

/// How a command was sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Of the connection that it went on.
    pub(crate) health: Arc<ConnectionHealth>,
    /// Until when there must be an answer.
    pub(crate) deadline: Instant,
}

impl CommandState {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a command be sent; `false` when it was withdrawn.
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

    /// Lets a command not be sent any more; `false` when it is already.
    pub(crate) fn withdraw(&self) -> bool {
        self.becomes(Stage::Withdrawn)
    }

    /// How the command was sent, if it was.
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

/// Whether the connection takes one more batch. Until it does, the time of a command does not run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Capacity {
    #[default]
    Always,
    /// There is none.
    Exhausted,
    Since(Instant),
}

impl Capacity {
    /// Nothing waits for room any more.
    pub(crate) fn is_there(&mut self) {
        if matches!(self, Self::Exhausted) {
            *self = Self::Since(Instant::now());
        }
    }

    /// Until when a command of `since` may take; `None` while its time does not run.
    pub(crate) fn deadline(self, since: Instant, limit: Duration) -> Option<Instant> {
        match self {
            Self::Always => Some(since + limit),
            Self::Exhausted => None,
            Self::Since(capacity) => Some(since.max(capacity) + limit),
        }
    }
}
