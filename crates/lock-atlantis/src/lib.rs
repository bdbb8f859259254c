//! The Redis and the `BoltDB` file of a real Atlantis: served, migrated, and with a fallback.
//!
//! - [`AtlantisRedis`] offers the interfaces of [`lock_compat`] on Atlantis' own Redis, in its keys
//!   and bytes. [`RedisDocuments`] keeps what is no lock for a
//!   [`LockAdapter`](lock_compat::LockAdapter).
//! - [`migrate`] moves everything from one store to another, also from Atlantis' `BoltDB` file.
//! - [`fallback`] lets a mirror take over from a store that is lost.

mod documents;
mod redis;
mod server;

pub mod fallback;
pub mod migrate;

pub use crate::redis::{AtlantisRedis, KeyMigration};
pub use documents::RedisDocuments;
pub use server::ServerConfig;
