//! The settings of a manager.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{AgeingStep, DeadlockPolicy, InvalidInput, KeepAlive, RetryPolicy, Timeout, Ttl};

/// The settings of a manager, from which each request may differ.
///
/// Every value is within its limits: setters reject others and name the field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct ManagerConfig {
    /// Default time to live of a lease: 30 seconds.
    pub ttl: Ttl,
    /// Default keep-alive of a waiter: 10 seconds.
    pub keep_alive: KeepAlive,
    /// The longest queue that is joined: any.
    pub queue_limit: Option<NonZeroU32>,
    /// Default head start per level of priority: 2 minutes.
    pub ageing_step: AgeingStep,
    /// Choice of the victim of a deadlock between sessions: the lowest priority, then the youngest.
    pub deadlock_policy: DeadlockPolicy,
    /// Pauses of an acquire between attempts at a store that fails: up to 20 milliseconds, doubling
    /// up to 1 second.
    pub retry_policy: RetryPolicy,
    /// Default time-out of a command: 5 seconds.
    pub operation_timeout: Timeout,
    /// Default time-out of a shutdown, for guards in use and for the store: 30 seconds.
    pub shutdown_timeout: Timeout,
}

impl Default for ManagerConfig {
    fn default() -> Self {
        Self {
            ttl: Ttl::default(),
            keep_alive: KeepAlive::default(),
            queue_limit: None,
            ageing_step: AgeingStep::default(),
            deadlock_policy: DeadlockPolicy::default(),
            retry_policy: RetryPolicy::default(),
            operation_timeout: Timeout::OPERATION,
            shutdown_timeout: Timeout::SHUTDOWN,
        }
    }
}

impl ManagerConfig {
    /// Leases last this long unless renewed.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_ttl<T>(self, ttl: T) -> Result<Self, InvalidInput>
    where
        T: TryInto<Ttl, Error: Into<InvalidInput>>,
    {
        Ok(Self { ttl: ttl.try_into().map_err(T::Error::into)?, ..self })
    }

    /// Waiters may be silent this long.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_keep_alive<T>(self, keep_alive: T) -> Result<Self, InvalidInput>
    where
        T: TryInto<KeepAlive, Error: Into<InvalidInput>>,
    {
        Ok(Self { keep_alive: keep_alive.try_into().map_err(T::Error::into)?, ..self })
    }

    /// No longer queue than this is joined, the request itself included.
    #[must_use]
    pub fn with_queue_limit(self, limit: NonZeroU32) -> Self {
        Self { queue_limit: Some(limit), ..self }
    }

    /// One level of priority ranks this much earlier: zero is first come, first served.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_ageing_step<T>(self, step: T) -> Result<Self, InvalidInput>
    where
        T: TryInto<AgeingStep, Error: Into<InvalidInput>>,
    {
        Ok(Self { ageing_step: step.try_into().map_err(T::Error::into)?, ..self })
    }

    /// The victim of a deadlock between sessions is chosen like this.
    #[must_use]
    pub fn with_deadlock_policy(self, deadlock_policy: DeadlockPolicy) -> Self {
        Self { deadlock_policy, ..self }
    }

    /// An acquire pauses like this between attempts at a store that fails.
    #[must_use]
    pub fn with_retry_policy(self, retry_policy: RetryPolicy) -> Self {
        Self { retry_policy, ..self }
    }

    /// The store may take this long to answer one command.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_operation_timeout(self, timeout: Duration) -> Result<Self, InvalidInput> {
        let operation_timeout = Timeout::of("operation_timeout", timeout)?;
        Ok(Self { operation_timeout, ..self })
    }

    /// A shutdown waits this long for guards that are in use and for the store.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_shutdown_timeout(self, timeout: Duration) -> Result<Self, InvalidInput> {
        let shutdown_timeout = Timeout::of("shutdown_timeout", timeout)?;
        Ok(Self { shutdown_timeout, ..self })
    }
}
