//! Atlantis' locking interface, byte for byte, over any lock store of lock-core.
//!
//! - [`LegacyBackend`], [`LegacyLocker`] and [`ApplyLocker`] are Atlantis' own interfaces, with its
//!   answers and its error texts; [`legacy`] has its records in its bytes.
//! - [`LockAdapter`] offers them over any lock store, and waiting, priorities and handing on beside
//!   them. `AtlantisRedis` (feature `redis`) offers them on Atlantis' own Redis.
//! - [`migrate`] moves everything from one store to another, also from Atlantis' `BoltDB` file
//!   (feature `bolt`); [`fallback`] lets a mirror take over from a store that is lost.
//! - `conformance` (feature of this name) holds every implementation to Atlantis' own tests.
//!
//! # Examples
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use lock_compat::documents::MemoryDocuments;
//! use lock_compat::legacy::{Project, ProjectLock, PullRequest, Timestamp, User};
//! use lock_compat::{LegacyBackend, LockAdapter};
//! use lock_core::{LockManager, OwnerId};
//! use lock_memory::MemoryBackend;
//!
//! let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("atlantis")?);
//! let store = LockAdapter::new(manager, MemoryDocuments::new());
//! let of = |num| {
//!     let mut pull = PullRequest::default();
//!     pull.num = num;
//!     let project = Project::new("acme/infra", "modules/vpc", "");
//!     ProjectLock::new(project, pull, User::new("alice"), "default", Timestamp::default())
//! };
//! assert!(store.try_lock(of(7)).await?.0);
//! let (is_new, holder) = store.try_lock(of(8)).await?;
//! assert_eq!((is_new, holder.pull.num), (false, 7));
//! # Ok(())
//! # }
//! ```

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
mod statuses;

pub use adapter::{AcquireOptions, LockAdapter, QueuePlace};
pub use apply::{ApplyClient, ApplyCommandLock, ApplyLocker};
#[cfg(feature = "redis")]
pub use atlantis::{AtlantisRedis, KeyMigration};
pub use backend::{LegacyBackend, Listing};
pub use error::{LegacyError, Result};
pub use locker::{LegacyLocker, LockerClient, NoOpLocker, TryLockResponse};
#[cfg(feature = "redis")]
pub use server::ServerConfig;
