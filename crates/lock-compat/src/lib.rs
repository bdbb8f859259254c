#![doc = include_str!("../README.md")]

pub mod legacy;

mod error;

mod adapter;
#[cfg(feature = "conformance")]
pub mod conformance;

mod apply;
mod backend;
mod batch;
mod locker;
mod parts;
mod project_locker;
mod versioned_store;

pub use adapter::{
    AcquireOptions, LockAdapter, ProjectName, ProjectQueue, ProjectQueuePosition, PullName,
    QueueHolder, QueueStatistics, QueuedPull, Queues, Spans, convert_from_legacy,
    convert_to_legacy,
};
pub use apply::{ApplyClient, ApplyCommandLock, ApplyLocker};
pub use backend::{LegacyBackend, Listing};
pub use batch::{ProjectUnlock, UnlockOutcome, unlock_each};
pub use error::{LegacyError, Result};
pub use locker::{LegacyLocker, LockerClient, NoOpLocker, TryLockResponse};
pub use parts::{LegacyLocks, LegacyRecords, Unlocking};
pub use project_locker::{ProjectLockResponse, ProjectLocker};
pub use versioned_store::VersionedStore;

/// Small documents with revisions, for what is no lock: statuses of pull requests, and the locks of
/// commands.
pub use lock_documents as documents;

#[doc = include_str!("../docs/names.md")]
pub mod names {}

#[doc = include_str!("../docs/differences.md")]
pub mod differences {}
