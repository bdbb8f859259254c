//! The manager for programs without async: the same names, and calls that block.
//!
//! A [`blocking::LockManager`](LockManager) owns a thread with a tokio runtime, in which leases are
//! renewed and waiters are heard while the threads of the program work. Calls block the calling
//! thread only.
//!
//! Inside a tokio runtime, tasks of its `spawn_blocking` included, every call that would block fails
//! with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) and changes nothing: use
//! [`crate::LockManager`] there.
//!
//! # Loss of a lease
//!
//! Blocking work cannot be interrupted, so there is no `run`. Work that takes long asks
//! [`is_lost`](LockGuard::is_lost) between its steps, or [`lost_within`](LockGuard::lost_within)
//! instead of sleeping, and passes the [`token`](LockGuard::token) to the protected resource.
//!
//! # End of the program
//!
//! Dropping a guard or a manager never blocks: the release is sent by the thread of the manager,
//! which ends when the last clone, guard and request are gone and their releases are sent. A program
//! that exits directly after a drop may be faster, and leaves the lease to its ttl: call
//! [`release`](LockGuard::release), [`hold`](LockManager::hold) or
//! [`shutdown`](LockManager::shutdown), which wait.
//!
//! # Examples
//! ```
//! use std::time::Duration;
//! use lock_core::OwnerId;
//! use lock_core::blocking::LockManager;
//! use lock_memory::MemoryBackend;
//!
//! let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("deploy-7")?)?;
//! let guard = manager.acquire("acme/infra/prod").wait(Duration::from_secs(60)).send()?;
//! assert!(!guard.is_lost());
//! guard.release()?;
//!
//! let token = manager.hold("acme/infra/prod", |guard| guard.token())?;
//! assert!(token.get() > 0);
//! manager.shutdown()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acquire;
mod background;
mod guard;
mod manager;

pub use acquire::{Acquire, Attempt};
pub use guard::{GuardError, LockGuard};
pub use manager::LockManager;
