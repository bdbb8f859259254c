//! The lock of all apply commands.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::Clock;

use crate::legacy::{CommandName, Timestamp};
use crate::{LegacyBackend, LegacyError, Result};

/// Atlantis' `locking.ApplyLocker`: stops every apply everywhere.
#[async_trait]
pub trait ApplyLocker: Debug + Send + Sync + 'static {
    /// Locks apply commands.
    ///
    /// # Errors
    /// When they are locked already, by this lock or by configuration, and when the store failed.
    async fn lock_apply(&self) -> Result<ApplyCommandLock>;

    /// Unlocks apply commands.
    ///
    /// # Errors
    /// When they are not locked, or by configuration, and when the store failed.
    async fn unlock_apply(&self) -> Result<()>;

    /// Shows whether apply commands are locked.
    ///
    /// # Errors
    /// When the store failed: then no apply may begin.
    async fn check_apply_lock(&self) -> Result<ApplyCommandLock>;
}

/// Locking of apply commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApplyCommandLock {
    /// `true` if apply commands are locked.
    pub locked: bool,
    /// `true` if they can be locked and unlocked; only
    /// [`check_apply_lock`](ApplyLocker::check_apply_lock) says so, and only of a store that was
    /// asked.
    pub global_apply_lock_enabled: bool,
    /// Since when; the zero time when not by the store.
    pub time: Timestamp,
    /// Why it is not known, as text; empty otherwise.
    pub failure: String,
}

/// The lock of apply commands in a store of Atlantis' locks, or by configuration.
#[derive(Clone, Debug)]
pub struct ApplyClient {
    backend: Arc<dyn LegacyBackend>,
    clock: Arc<dyn Clock>,
    is_apply_disabled: bool,
    is_global_lock_enabled: bool,
}

impl ApplyClient {
    /// Keeps the lock in `backend`, stamped by `clock`.
    ///
    /// With `disable_apply` apply commands are locked whatever the store says; with
    /// `disable_global_apply_lock` the answers say that locking is disabled.
    #[must_use]
    pub fn new(
        backend: Arc<dyn LegacyBackend>,
        clock: Arc<dyn Clock>,
        disable_apply: bool,
        disable_global_apply_lock: bool,
    ) -> Self {
        let is_global_lock_enabled = !disable_global_apply_lock;
        Self { backend, clock, is_apply_disabled: disable_apply, is_global_lock_enabled }
    }

    fn answer(&self) -> ApplyCommandLock {
        let global_apply_lock_enabled = self.is_global_lock_enabled;
        ApplyCommandLock { global_apply_lock_enabled, ..ApplyCommandLock::default() }
    }
}

#[async_trait]
impl ApplyLocker for ApplyClient {
    async fn lock_apply(&self) -> Result<ApplyCommandLock> {
        if self.is_apply_disabled {
            return Err(LegacyError::ApplyOmitted);
        }
        let now = Timestamp::from(self.clock.now());
        let lock = self.backend.lock_command(CommandName::Apply, now).await?;
        Ok(ApplyCommandLock { locked: true, time: lock.lock_time(), ..Default::default() })
    }

    async fn unlock_apply(&self) -> Result<()> {
        if self.is_apply_disabled {
            return Err(LegacyError::ApplyDisabled);
        }
        self.backend.unlock_command(CommandName::Apply).await
    }

    async fn check_apply_lock(&self) -> Result<ApplyCommandLock> {
        if self.is_apply_disabled {
            return Ok(ApplyCommandLock { locked: true, ..Default::default() });
        }
        let lock = self.backend.check_command_lock(CommandName::Apply).await?;
        Ok(match lock {
            Some(lock) => {
                ApplyCommandLock { locked: true, time: lock.lock_time(), ..self.answer() }
            }
            None => self.answer(),
        })
    }
}
