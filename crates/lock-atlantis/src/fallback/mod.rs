//! A second store that takes over when the first is lost, without there ever being two holders.

mod config;
mod health;
mod locks;
mod notes;
mod reconcile;
mod records;
mod store;

use std::fmt;
use std::sync::Arc;

use tokio::sync::RwLock;

pub use config::{FallbackConfig, OnLoss};
pub use reconcile::Reconciliation;
pub use store::FallbackStore;

use health::Health;
use lock_compat::{LegacyError, Result};

/// Maximum number of attempts at a change that others are always quicker with.
const MOST_ATTEMPTS: usize = 1000;

/// A primary store whose every record is in a mirror as well, which serves when the primary is lost.
///
/// # Rules
/// 1. The mirror decides. A record is locked or written in the mirror first, by every process and
///    in every mode, and in the primary second. So two processes never lock the same, even if the
///    one sees the primary and the other does not, as long as they share the mirror.
/// 2. A record ends in the primary first, and in the mirror last: until then nobody else can lock
///    it. Where the primary is lost, a note in the mirror says what is owed to it, before the record
///    leaves the mirror.
/// 3. What only the primary has counts, unless a note says that it ended: somebody locked it without
///    the mirror. It is given to the mirror.
/// 4. Every change names the very bytes that it replaces, so that it never hits what came later.
///    Two locks of a pull request have to differ in their time for that, as those of a
///    [`LockerClient`](lock_compat::LockerClient) do.
/// 5. A comparison gives each store what it lacks. Where statuses differ the mirror's counts; where
///    locks do, an operator settles it.
///
/// Nothing is locked without the mirror: when that is lost, calls fail until it is back. It has to
/// keep what it acknowledged over a crash. A store that was not compared cannot take over, which is
/// why there is no other way to make one than to [open](Self::open) it. Who changes statuses in the
/// primary alone while no process is open has to empty the mirror before the next is opened.
///
/// An attempt to lock that the primary did not answer may have happened, like any whose error
/// [is unknown](LegacyError::is_unknown).
///
/// # Modes
/// A process leaves the primary after so many failures in so long a time, and returns to it by
/// itself, after it was healthy for some time and a comparison was clean; see [`FallbackConfig`].
/// Each process does so for itself. Clones share everything.
#[derive(Clone)]
pub struct Fallback(Arc<Shared>);

struct Shared {
    primary: Arc<dyn FallbackStore>,
    mirror: Arc<dyn FallbackStore>,
    config: FallbackConfig,
    health: Health,
    /// Calls hold it to read, and who compares the stores to write.
    gate: RwLock<()>,
}

/// Who serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServingMode {
    /// Both stores.
    WriteThrough,
    /// The mirror alone.
    MirrorAlone,
}

/// Why a [`Fallback`] cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The stores hold different locks of one project or command, or something that cannot be read.
    #[error("the stores are not the same: {0}")]
    NotReconciled(Box<Reconciliation>),
    /// One of the stores failed.
    #[error(transparent)]
    Store(#[from] LegacyError),
}

impl Fallback {
    /// Compares both stores, makes them the same where that is safe, and serves from then on.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be made the same, and when one of them failed: what was not
    /// compared cannot take over.
    ///
    /// # Cancel safety
    /// Dropped, some records may have been copied; the same call again goes on.
    pub async fn open(
        primary: Arc<dyn FallbackStore>,
        mirror: Arc<dyn FallbackStore>,
        config: FallbackConfig,
    ) -> Result<Self, OpenError> {
        let health = Health::default();
        let fallback =
            Self(Arc::new(Shared { primary, mirror, config, health, gate: RwLock::default() }));
        let reconciliation = fallback.reconcile().await?;
        if reconciliation.is_clean() {
            Ok(fallback)
        } else {
            Err(OpenError::NotReconciled(Box::new(reconciliation)))
        }
    }

    /// Who serves now.
    #[must_use]
    pub fn mode(&self) -> ServingMode {
        if self.0.health.is_lost() { ServingMode::MirrorAlone } else { ServingMode::WriteThrough }
    }

    fn primary(&self) -> &dyn FallbackStore {
        &*self.0.primary
    }

    fn mirror(&self) -> &dyn FallbackStore {
        &*self.0.mirror
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("primary", &self.0.primary)
            .field("mirror", &self.0.mirror)
            .field("config", &self.0.config)
            .field("mode", &self.mode())
            .finish_non_exhaustive()
    }
}
