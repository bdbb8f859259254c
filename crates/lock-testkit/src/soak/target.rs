//! What a store brings to be soaked.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{LockKey, LockStore, Result};

/// What may happen to a store, or to the way to it, while processes use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Trouble {
    /// The server of the store is killed and starts again.
    Restart,
    /// The store closes all connections.
    HangUp,
    /// The connections of a process are reset.
    Cut,
    /// The connections of a process are closed on the other side only, and silent from then on.
    HalfOpen,
    /// What is sent either way arrives later.
    Stall,
    /// What is sent either way is lost, until the connections are reset.
    BlackHole,
    /// An answer is lost, and then the connection.
    LoseReply,
    /// Everything takes 20 ms longer.
    Slow,
    /// Another program keeps all that use the store from writing.
    Locked,
}

impl Trouble {
    /// Those of a server, and of the lines to it.
    pub const OF_SERVERS: [Self; 8] = [
        Self::Restart,
        Self::HangUp,
        Self::Cut,
        Self::HalfOpen,
        Self::Stall,
        Self::BlackHole,
        Self::LoseReply,
        Self::Slow,
    ];
    /// Those of a file.
    pub const OF_FILES: [Self; 1] = [Self::Locked];

    /// Whether it is the trouble of all processes, and not of one.
    pub(super) const fn is_of_all(self) -> bool {
        matches!(self, Self::Restart | Self::HangUp | Self::Locked)
    }

    /// Whether it has no duration of its own.
    pub(super) const fn is_instant(self) -> bool {
        matches!(self, Self::Restart | Self::HangUp | Self::Cut | Self::HalfOpen)
    }

    /// How long after its end a process may still not be told everything: it has to notice, and to
    /// connect again.
    pub(super) const fn settling(self) -> Duration {
        Duration::from_millis(match self {
            // Nobody but the silence tells.
            Self::HalfOpen => 12_000,
            // What was sent is there, and is told at once.
            Self::Slow | Self::Locked => 100,
            _ => 2_500,
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restart => "restart",
            Self::HangUp => "hang-up",
            Self::Cut => "cut",
            Self::HalfOpen => "half-open",
            Self::Stall => "stall",
            Self::BlackHole => "black hole",
            Self::LoseReply => "lost reply",
            Self::Slow => "slow line",
            Self::Locked => "locked file",
        })
    }
}

/// What a store brings to be soaked: [`main`](super::main) is the whole program.
#[async_trait]
pub trait Target: Sized + Send + Sync + 'static {
    /// The troubles that the store can [inflict](Self::inflict).
    const TROUBLES: &'static [Trouble];

    /// Starts an empty store for a round, with a line of its own for each process, and with or
    /// without what keeps its data over a restart.
    async fn start(lines: usize, is_durable: bool) -> Self;

    /// Where the process of this line finds the store.
    fn url(&self, line: usize) -> String;

    /// Where an observer finds the store, whose line has no trouble.
    fn direct_url(&self) -> String;

    /// Connects to a store, as the processes do.
    ///
    /// # Errors
    /// If the store cannot be reached.
    async fn connect(url: &str) -> Result<Arc<dyn LockStore>>;

    /// Does this to the line, or to the store, lets it last for the span, and ends it.
    async fn inflict(&self, trouble: Trouble, line: usize, span: Duration);

    /// What is left in the store that should not be there when nobody holds or waits, after what is
    /// over was dropped.
    async fn leftovers(&self, keys: &[LockKey]) -> Vec<String>;
}
