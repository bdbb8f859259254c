//! The documents beside the locks of a store.

use std::sync::Arc;

use lock_atlantis::{RedisDocuments, ServerConfig};
use lock_compat::documents::DocumentStore;
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
    pub(crate) async fn open(&self) -> Result<Arc<dyn DocumentStore>, Failure> {
        match self {
            Self::Sqlite(store) => Ok(Arc::new(SqliteDocuments::new(store.clone()))),
            Self::Redis(url) => {
                if url.contains("+sentinel:") || url.contains("+cluster:") {
                    let message = "states in the store need one server; use --states FOLDER";
                    return Err(Failure::new(Exit::Usage, message));
                }
                let config = ServerConfig::parse(url)?;
                Ok(Arc::new(RedisDocuments::connect(config, PREFIX).await?))
            }
        }
    }
}
