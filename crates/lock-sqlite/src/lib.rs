#![doc = include_str!("../README.md")]

mod clock;
mod config;
mod error;
mod file;
mod folder;
mod notify;
mod schema;
mod store;

pub use config::{SqliteConfig, Synchronous};
pub use error::SqliteError;
pub use store::{SqliteBackend, SqliteStore};
