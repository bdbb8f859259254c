#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod documents;
mod error;
mod file;
mod folder;
mod log;
mod notify;
mod schema;
mod store;

pub use config::{SqliteConfig, Synchronous};
pub use documents::SqliteDocuments;
pub use error::SqliteError;
pub use store::{SqliteBackend, SqliteStore};
