//! Atlantis' locking interface, byte for byte, over any lock store of lock-core.

pub mod legacy;

mod error;

mod adapter;
#[cfg(feature = "redis")]
mod atlantis;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod documents;
pub mod fallback;

mod apply;
mod backend;
mod locker;
pub mod migrate;
#[cfg(feature = "redis")]
mod server;

pub use adapter::{AcquireOptions, LockAdapter, QueuePlace};
pub use apply::{ApplyClient, ApplyCommandLock, ApplyLocker};
#[cfg(feature = "redis")]
pub use atlantis::{AtlantisRedis, KeyMigration};
pub use backend::{LegacyBackend, Listing};
pub use error::{LegacyError, Result};
pub use locker::{LegacyLocker, LockerClient, NoOpLocker, TryLockResponse};
#[cfg(feature = "redis")]
pub use server::ServerConfig;
