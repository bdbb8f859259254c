//! The target of a soak.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{LockKey, LockStore, Result};

/// A trouble of a store, or of the way to it, while processes use it.
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
    /// Messages in both directions arrive later.
    Stall,
    /// Messages in both directions are lost, until the connections are reset.
    BlackHole,
    /// An answer is lost, and then the connection.
    LoseReply,
    /// Everything takes 20 ms longer.
    Slow,
    /// Another program keeps all users of the store from writing.
    Locked,
    /// The server that grants is killed, and one of its replicas takes its place.
    Failover,
    /// The same, of a server that hangs and goes on when it was replaced.
    Hang,
    /// A part of the keys moves to another server.
    Reshard,
}

impl Trouble {
    /// The troubles of a server, and of the lines to it.
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
    /// The troubles of a file.
    pub const OF_FILES: [Self; 1] = [Self::Locked];

    /// Returns `true` if it affects all processes, not one.
    pub(super) const fn is_of_all(self) -> bool {
        matches!(
            self,
            Self::Restart
                | Self::HangUp
                | Self::Locked
                | Self::Failover
                | Self::Hang
                | Self::Reshard
        )
    }

    /// Returns `true` if it has no duration.
    pub(super) const fn is_instant(self) -> bool {
        matches!(
            self,
            Self::Restart
                | Self::HangUp
                | Self::Cut
                | Self::HalfOpen
                | Self::Failover
                | Self::Hang
                | Self::Reshard
        )
    }

    /// Returns `true` if the last grants may be lost with it, where the store has replicas.
    pub(super) const fn loses_grants(self) -> bool {
        matches!(self, Self::Failover | Self::Hang)
    }

    /// The time after its end in which a process may still miss notices: it must detect the loss
    /// and reconnect.
    pub(super) const fn settling(self) -> Duration {
        Duration::from_millis(match self {
            // Only silence shows the loss.
            Self::HalfOpen => 12_000,
            // Notices that were sent have arrived, and are read immediately.
            Self::Slow | Self::Locked => 100,
            // Links between servers must be made again.
            Self::Failover | Self::Hang => 4_000,
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
            Self::Failover => "failover",
            Self::Hang => "hang",
            Self::Reshard => "reshard",
        })
    }
}

/// A store to soak: [`main`](super::main) is the whole program.
#[async_trait]
pub trait Target: Sized + Send + Sync + 'static {
    /// The troubles that the store can [inflict](Self::inflict).
    const TROUBLES: &'static [Trouble];
    /// The number of processes and of tasks of each in every round; `None` draws them from the seed.
    const SIZE: Option<(usize, usize)>;

    /// Starts an empty store for a round, with a line of its own for each process, and with or
    /// without durability over a restart.
    async fn start(lines: usize, is_durable: bool) -> Self;

    /// The address at which the process of this line finds the store.
    fn url(&self, line: usize) -> String;

    /// The address at which an observer finds the store; its line has no troubles.
    fn direct_url(&self) -> String;

    /// Connects to a store, as the processes do.
    ///
    /// # Errors
    /// If the store cannot be reached.
    async fn connect(url: &str) -> Result<Arc<dyn LockStore>>;

    /// Inflicts this trouble on the line or the store for the span.
    async fn inflict(&self, trouble: Trouble, line: usize, span: Duration);

    /// The leftovers in the store: what remains of the keys when nobody holds or waits and
    /// everything that is over was dropped.
    async fn leftovers(&self, keys: &[LockKey]) -> Vec<String>;
}
