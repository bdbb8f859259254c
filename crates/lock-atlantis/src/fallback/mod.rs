//! A second store that takes over when the first is lost, without two holders at any time.

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
use notes::Settled;

/// Maximum compare-and-swap attempts.
const MOST_ATTEMPTS: usize = 1000;

/// A primary store with a mirror of every record, which serves when the primary is lost.
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
///    [`LockerClient`](lock_compat::LockerClient) do, and two of a command, whose time has seconds.
/// 5. A comparison gives each store what it lacks. Where statuses differ the mirror's counts; where
///    locks do, an operator settles it.
///
/// Nothing is locked without the mirror: when it is lost, calls fail until it is back. It must keep
/// acknowledged writes over a crash. A store that was not reconciled cannot take over, so the only
/// constructor is [`open`](Self::open). If statuses were changed in the primary alone while no
/// process was open, empty the mirror before the next process opens it.
///
/// A lock attempt that the primary did not answer may have happened, like any call whose error [is
/// unknown](LegacyError::is_unknown).
///
/// # Modes
/// A process leaves the primary after a number of failures within a window, and returns to it by
/// itself once the primary was healthy for some time and a reconciliation was clean; see
/// [`FallbackConfig`]. Each process decides for itself. Clones share everything.
#[derive(Clone)]
pub struct Fallback(Arc<Shared>);

struct Shared {
    primary: Arc<dyn FallbackStore>,
    mirror: Arc<dyn FallbackStore>,
    config: FallbackConfig,
    health: Health,
    settled: Settled,
    /// Calls hold it to read, a reconciliation to write.
    gate: RwLock<()>,
}

/// The store that serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServingMode {
    /// Both stores.
    WriteThrough,
    /// The mirror alone.
    MirrorAlone,
}

/// The reason why a [`Fallback`] cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The stores hold different locks of one project or command, or records that cannot be read.
    #[error("the stores are not the same: {0}")]
    NotReconciled(Box<Reconciliation>),
    /// One of the stores failed.
    #[error(transparent)]
    Store(#[from] LegacyError),
}

impl Fallback {
    /// Reconciles both stores where that is safe, and serves from then on.
    ///
    /// # Errors
    /// [`OpenError`] when they cannot be made the same, and when one of them failed: a store that
    /// was not reconciled cannot take over.
    ///
    /// # Cancel safety
    /// A dropped call may have copied some records; the same call again continues.
    pub async fn open(
        primary: Arc<dyn FallbackStore>,
        mirror: Arc<dyn FallbackStore>,
        config: FallbackConfig,
    ) -> Result<Self, OpenError> {
        let (health, settled, gate) = Default::default();
        let fallback = Self(Arc::new(Shared { primary, mirror, config, health, settled, gate }));
        let reconciliation = fallback.reconcile().await?;
        if reconciliation.is_clean() {
            Ok(fallback)
        } else {
            Err(OpenError::NotReconciled(Box::new(reconciliation)))
        }
    }

    /// The store that serves now.
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
