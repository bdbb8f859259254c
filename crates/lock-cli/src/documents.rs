//! The documents beside the locks of a store.

#[cfg(feature = "serve")]
use std::sync::Arc;

use lock_atlantis::{RedisDocuments, ServerConfig};
use lock_compat::LockAdapter;
#[cfg(feature = "serve")]
use lock_compat::documents::DocumentStore;
use lock_core::LockManager;
use lock_sqlite::{SqliteBackend, SqliteDocuments};

use crate::exit::{Exit, Failure};

/// Prefix of the keys of documents in Redis.
const PREFIX: &str = "lockctl";

/// Access to the documents beside the locks of a store.
pub(crate) enum Documents {
    /// In the file of the locks.
    Sqlite(SqliteBackend),
    /// At this URL, which may hold a password.
    Redis(String),
}

impl Documents {
    #[cfg(feature = "serve")]
    pub(crate) async fn open(&self) -> Result<Arc<dyn DocumentStore>, Failure> {
        match self {
            Self::Sqlite(store) => Ok(Arc::new(SqliteDocuments::new(store.clone()))),
            Self::Redis(url) => Ok(Arc::new(connected(url).await?)),
        }
    }

    /// Atlantis' locks over the locks of the store.
    pub(crate) async fn adapter(&self, manager: LockManager) -> Result<LockAdapter, Failure> {
        Ok(match self {
            Self::Sqlite(store) => LockAdapter::new(manager, SqliteDocuments::new(store.clone())),
            Self::Redis(url) => LockAdapter::new(manager, connected(url).await?),
        })
    }
}

async fn connected(url: &str) -> Result<RedisDocuments, Failure> {
    if url.contains("+sentinel:") || url.contains("+cluster:") {
        let message = "documents are kept in one server; for states, use --states FOLDER";
        return Err(Failure::new(Exit::Usage, message));
    }
    Ok(RedisDocuments::connect(ServerConfig::parse(url)?, PREFIX).await?)
}
