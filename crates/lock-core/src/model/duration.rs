//! Validated durations: whole milliseconds within limits, checked once.

use std::fmt;
use std::time::Duration;

use crate::model::invalid::{InvalidInput, check_span};

/// Declares a validated duration with its field name, minimum and maximum.
macro_rules! duration {
    ($(#[$doc:meta])* $name:ident, $field:literal, $least:expr, $most:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(try_from = "u64", into = "u64"))]
        pub struct $name(u64);

        impl $name {
            /// The shortest span allowed.
            pub const MIN: Duration = $least;
            /// The longest span allowed.
            pub const MAX: Duration = $most;

            /// Validates `span`, rounded up to whole milliseconds.
            ///
            /// # Errors
            /// [`InvalidInput`] when the span is outside the limits.
            pub fn parse(span: Duration) -> Result<Self, InvalidInput> {
                check_span($field, span, Self::MIN, Self::MAX).map(Self)
            }

            /// The span itself.
            #[must_use]
            pub const fn span(self) -> Duration {
                Duration::from_millis(self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.span()).finish()
            }
        }

        impl TryFrom<Duration> for $name {
            type Error = InvalidInput;
            fn try_from(span: Duration) -> Result<Self, InvalidInput> {
                Self::parse(span)
            }
        }

        impl From<$name> for Duration {
            fn from(span: $name) -> Self {
                span.span()
            }
        }

        #[cfg(feature = "serde")]
        impl TryFrom<u64> for $name {
            type Error = InvalidInput;
            fn try_from(millis: u64) -> Result<Self, InvalidInput> {
                Self::parse(Duration::from_millis(millis))
            }
        }

        #[cfg(feature = "serde")]
        impl From<$name> for u64 {
            fn from(span: $name) -> Self {
                span.0
            }
        }
    };
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

duration! {
    /// Time to live of a lease that expires: 1 millisecond to 366 days, stored in milliseconds.
    LeaseTime, "ttl", Duration::from_millis(1), DAY.saturating_mul(366)
}

duration! {
    /// Maximum silence of a waiter before it loses its position, and claim window of a lease
    /// granted to it: 1 millisecond to 1 day, stored in milliseconds.
    KeepAlive, "keep_alive", Duration::from_millis(1), DAY
}

duration! {
    /// Head start of a request over its arrival: 0 to 3,660 days, stored in milliseconds.
    HeadStart, "head_start", Duration::ZERO, DAY.saturating_mul(3660)
}

duration! {
    /// Head start per level of priority: 0 to 1,220 days, stored in milliseconds. Zero is first
    /// come, first served.
    AgeingStep, "ageing_step", Duration::ZERO, DAY.saturating_mul(1220)
}

duration! {
    /// Time-out: 1 millisecond to 1 day, stored in milliseconds.
    Timeout, "timeout", Duration::from_millis(1), DAY
}

/// 30 seconds.
impl Default for LeaseTime {
    fn default() -> Self {
        Self(30_000)
    }
}

/// 10 seconds.
impl Default for KeepAlive {
    fn default() -> Self {
        Self(10_000)
    }
}

/// 2 minutes.
impl Default for AgeingStep {
    fn default() -> Self {
        Self(120_000)
    }
}

/// None.
impl Default for HeadStart {
    fn default() -> Self {
        Self::NONE
    }
}

impl Timeout {
    /// Default time-out of a command.
    pub(crate) const OPERATION: Self = Self(5_000);
    /// Default time-out of a shutdown.
    pub(crate) const SHUTDOWN: Self = Self(30_000);

    /// A time-out of this many milliseconds, for defaults.
    pub(crate) const fn default_of(millis: u64) -> Self {
        Self(millis)
    }

    /// Checks the `span` of this field.
    pub(crate) fn of(field: &'static str, span: Duration) -> Result<Self, InvalidInput> {
        check_span(field, span, Self::MIN, Self::MAX).map(Self)
    }
}

impl HeadStart {
    /// First come, first served.
    pub const NONE: Self = Self(0);

    /// Creates a head start of this many ageing steps, capped at the maximum.
    pub(crate) fn steps(step: AgeingStep, level: u32) -> Self {
        let longest = u64::try_from(Self::MAX.as_millis()).unwrap_or(u64::MAX);
        Self(step.0.saturating_mul(level.into()).min(longest))
    }
}
