//! The pauses between attempts at a store that fails, as a setting.

use std::time::Duration;

use crate::{InvalidInput, Timeout, Violation};

/// Pauses of an acquire between its attempts at a store that is
/// [unavailable](crate::ErrorKind::Unavailable), until its wait is over.
///
/// They begin anew when the store has answered. A wait that ends during a pause ends it.
///
/// Only an acquire follows the policy. Everything else has the
/// [exponential](Self::Exponential) default, whatever is set here: a renewal that is not retried
/// costs a lease, a hear costs a place in the queue, and a release or cancel keeps a key from others
/// until its ttl. An acquire harms nobody when it gives up.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use lock_core::{ManagerConfig, RetryPolicy};
///
/// let policy = RetryPolicy::linear(Duration::from_millis(100), Duration::from_secs(2))?;
/// let config = ManagerConfig::default().with_retry_policy(policy);
/// assert_eq!(config.retry_policy, policy);
/// # Ok::<(), lock_core::InvalidInput>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case", try_from = "unchecked::Policy"))]
#[non_exhaustive]
pub enum RetryPolicy {
    /// A random pause between zero and a bound that begins at `first` and doubles up to `longest`
    /// ("full jitter"), so that clients that failed together do not come back together. The
    /// default: 20 milliseconds, up to 1 second.
    #[non_exhaustive]
    Exponential {
        /// Bound of the first pause.
        first: Timeout,
        /// Bound of the longest pause.
        longest: Timeout,
    },
    /// The same pause each time, without jitter: clients that failed together come back together.
    #[non_exhaustive]
    Fixed {
        /// The pause.
        pause: Timeout,
    },
    /// A pause that grows by `step` each time, up to `longest`, without jitter.
    #[non_exhaustive]
    Linear {
        /// The first pause, and the growth of each following one.
        step: Timeout,
        /// The longest pause.
        longest: Timeout,
    },
    /// No retry: the first failure ends the acquire.
    None,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::Exponential { first: Timeout::default_of(20), longest: Timeout::default_of(1_000) }
    }
}

impl RetryPolicy {
    /// Pauses between zero and a bound that begins at `first` and doubles up to `longest`.
    ///
    /// # Errors
    /// [`InvalidInput`] when a span is outside the limits of [`Timeout`], or `longest` is shorter
    /// than `first`.
    pub fn exponential(first: Duration, longest: Duration) -> Result<Self, InvalidInput> {
        let first_pause = Timeout::of("retry_policy.first", first)?;
        let longest = at_least("retry_policy.longest", longest, first)?;
        Ok(Self::Exponential { first: first_pause, longest })
    }

    /// The same `pause` each time.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside the limits of [`Timeout`].
    pub fn fixed(pause: Duration) -> Result<Self, InvalidInput> {
        Ok(Self::Fixed { pause: Timeout::of("retry_policy.pause", pause)? })
    }

    /// Pauses that grow by `step` each time, up to `longest`.
    ///
    /// # Errors
    /// [`InvalidInput`] when a span is outside the limits of [`Timeout`], or `longest` is shorter
    /// than `step`.
    pub fn linear(step: Duration, longest: Duration) -> Result<Self, InvalidInput> {
        let growth = Timeout::of("retry_policy.step", step)?;
        let longest = at_least("retry_policy.longest", longest, step)?;
        Ok(Self::Linear { step: growth, longest })
    }
}

fn at_least(field: &'static str, span: Duration, limit: Duration) -> Result<Timeout, InvalidInput> {
    if span < limit {
        return Err(InvalidInput::new(field, Violation::TooShort { limit }));
    }
    Timeout::of(field, span)
}

/// The policy as it is read, before its limits are checked.
#[cfg(feature = "serde")]
mod unchecked {
    use std::time::Duration;

    use super::RetryPolicy;
    use crate::InvalidInput;

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub(super) enum Policy {
        Exponential { first: u64, longest: u64 },
        Fixed { pause: u64 },
        Linear { step: u64, longest: u64 },
        None,
    }

    impl TryFrom<Policy> for RetryPolicy {
        type Error = InvalidInput;

        fn try_from(policy: Policy) -> Result<Self, InvalidInput> {
            let span = Duration::from_millis;
            match policy {
                Policy::Exponential { first, longest } => {
                    Self::exponential(span(first), span(longest))
                }
                Policy::Fixed { pause } => Self::fixed(span(pause)),
                Policy::Linear { step, longest } => Self::linear(span(step), span(longest)),
                Policy::None => Ok(Self::None),
            }
        }
    }
}
