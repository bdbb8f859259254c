//! Atlantis' locking interface, byte for byte, over any lock store of lock-core.

pub mod legacy;

mod error;

mod adapter;
pub mod documents;

mod apply;
mod backend;
mod locker;

pub use adapter::{AcquireOptions, LockAdapter, QueuePlace};
pub use apply::{ApplyClient, ApplyCommandLock, ApplyLocker};
pub use backend::{LegacyBackend, Listing};
pub use error::{LegacyError, Result};
pub use locker::{LegacyLocker, LockerClient, NoOpLocker, TryLockResponse};
