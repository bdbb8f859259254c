//! The lock store in an SQLite file: processes of one machine take turns durably, and nothing has to be installed.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lock_core::{LockManager, OwnerId};
//! use lock_sqlite::SqliteConfig;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("locks.db");
//! let store = SqliteConfig::new(path).open()?;
//! let manager = LockManager::new(store, OwnerId::parse("deploy-7")?);
//! let token = manager.hold("shop/prod", async |guard| guard.token()).await?;
//! assert!(token.get() > 0);
//! manager.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod clock;
mod config;
mod documents;
mod error;
mod file;
mod folder;
mod notify;
mod schema;
mod store;

pub use config::{SqliteConfig, Synchronous};
pub use documents::SqliteDocuments;
pub use error::SqliteError;
pub use store::{SqliteBackend, SqliteStore};
