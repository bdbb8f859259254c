//! Where the file is and how it is kept.

use std::fmt;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lock_core::Clock;
use lock_host::{HostBackend, HostConfig};

use crate::error::SqliteError;
use crate::store::{SqliteBackend, SqliteStore};

/// The number of events that are kept unless set.
const EVENTS: NonZeroU32 = NonZeroU32::new(10_000).expect("not zero");

/// Where the file is and how it is kept.
#[derive(Clone)]
pub struct SqliteConfig {
    pub(crate) path: PathBuf,
    pub(crate) synchronous: Synchronous,
    pub(crate) events: NonZeroU32,
    pub(crate) host: HostConfig,
    pub(crate) clock: Option<Arc<dyn Clock>>,
}

/// Durability of an answered command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Synchronous {
    /// Every command: a lock survives the loss of power, as far as the disk does what it says.
    #[default]
    Full,
    /// Every command but the last ones: a loss of power may undo some, never half of one. The end of
    /// a process undoes nothing.
    Normal,
}

impl SqliteConfig {
    /// Keeps locks in this file, which is made if there is none, and in a folder beside it.
    #[must_use]
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self {
            path: path.as_ref().to_owned(),
            synchronous: Synchronous::default(),
            events: EVENTS,
            host: HostConfig::default(),
            clock: None,
        }
    }

    /// Answers a command when so much is on the disk.
    #[must_use]
    pub fn with_synchronous(self, synchronous: Synchronous) -> Self {
        Self { synchronous, ..self }
    }

    /// Keeps this many events for watchers: 10,000 unless set.
    #[must_use]
    pub fn with_events(self, events: NonZeroU32) -> Self {
        Self { events, ..self }
    }

    /// Treats the store like this.
    #[must_use]
    pub fn with_host(self, host: HostConfig) -> Self {
        Self { host, ..self }
    }

    /// Takes the time from this clock, which all who use the file must agree on.
    #[must_use]
    pub fn with_clock(self, clock: impl Clock) -> Self {
        Self { clock: Some(Arc::new(clock)), ..self }
    }

    /// Opens the file. It blocks for as long as that takes, a few milliseconds on a local disk, and
    /// seconds where another process is stopped in the middle of a transaction.
    ///
    /// # Errors
    /// [`SqliteError`] when the file cannot be used; it is not modified.
    pub fn open(&self) -> Result<SqliteBackend, SqliteError> {
        let store = SqliteStore::open(self)?;
        let path = self.path.clone();
        HostBackend::new(store, &self.host)
            .map_err(|error| SqliteError::NoThread { path, cause: error.to_string() })
    }
}

impl fmt::Debug for SqliteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, synchronous, events, host, .. } = self;
        let mut config = f.debug_struct("SqliteConfig");
        config.field("path", path).field("synchronous", synchronous).field("events", events);
        config.field("host", host).finish_non_exhaustive()
    }
}
