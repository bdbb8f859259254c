//! Atlantis' locking interface, byte for byte, over any lock store of lock-core.
//!
//! - [`LegacyBackend`], [`LegacyLocker`] and [`ApplyLocker`] are Atlantis' own interfaces, with its
//!   answers and its error texts; [`legacy`] has its records in its bytes.
//! - [`LockAdapter`] offers them over any lock store, and waiting, priorities and handing on beside
//!   them. The crate `lock-atlantis` offers them on Atlantis' own Redis, and moves its records.
//! - [`names`] has each legacy name with what answers it here and the test that holds it;
//!   [`differences`] what is otherwise on purpose.
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
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod documents;

mod apply;
mod backend;
mod locker;
mod parts;
mod project_locker;
mod shelf;

pub use adapter::{
    AcquireOptions, LockAdapter, QueuePlace, convert_from_legacy, convert_to_legacy,
};
pub use apply::{ApplyClient, ApplyCommandLock, ApplyLocker};
pub use backend::{LegacyBackend, Listing};
pub use error::{LegacyError, Result};
pub use locker::{LegacyLocker, LockerClient, NoOpLocker, TryLockResponse};
pub use parts::{LegacyLocks, LegacyRecords, Unlocking};
pub use project_locker::{ProjectLockResponse, ProjectLocker};
pub use shelf::Shelf;

#[doc = include_str!("../docs/names.md")]
pub mod names {}

#[doc = include_str!("../docs/differences.md")]
pub mod differences {}
