//! How long a lease lasts, and how long a waiter may be silent.

use std::time::Duration;

use crate::invalid::{InvalidInput, check_span};

/// How long a lease lasts unless it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[expect(clippy::exhaustive_enums, reason = "a lease ends by itself or it does not")]
pub enum Ttl {
    /// This long from the grant or the last renewal.
    For(LeaseTime),
    /// Until it is released or evicted.
    Never,
}

/// A span of 1 millisecond to 366 days, in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Duration", into = "Duration"))]
pub struct LeaseTime(Duration);

impl Ttl {
    /// The shortest span allowed.
    pub const MIN: Duration = Duration::from_millis(1);
    /// The longest span allowed.
    pub const MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

    /// A span of [`Ttl::MIN`] to [`Ttl::MAX`]; parts of a millisecond are rounded up.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside these limits.
    pub fn parse(span: Duration) -> Result<Self, InvalidInput> {
        LeaseTime::try_from(span).map(Self::For)
    }

    /// The span; `None` for [`Ttl::Never`].
    #[must_use]
    pub const fn span(self) -> Option<Duration> {
        match self {
            Self::For(LeaseTime(span)) => Some(span),
            Self::Never => None,
        }
    }
}

/// 30 seconds.
impl Default for Ttl {
    fn default() -> Self {
        Self::For(LeaseTime(Duration::from_secs(30)))
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = InvalidInput;
    fn try_from(span: Duration) -> Result<Self, InvalidInput> {
        Self::parse(span)
    }
}

impl TryFrom<Duration> for LeaseTime {
    type Error = InvalidInput;
    fn try_from(span: Duration) -> Result<Self, InvalidInput> {
        check_span("ttl", span, Ttl::MIN, Ttl::MAX).map(Self)
    }
}

impl From<LeaseTime> for Duration {
    fn from(time: LeaseTime) -> Self {
        time.0
    }
}

/// How long a waiter may be silent before it loses its place, and how long a lease that was
/// handed to it lasts until it says that it took it: 1 millisecond to 1 day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Duration", into = "Duration"))]
pub struct KeepAlive(Duration);

impl KeepAlive {
    /// The shortest span allowed.
    pub const MIN: Duration = Duration::from_millis(1);
    /// The longest span allowed.
    pub const MAX: Duration = Duration::from_secs(24 * 60 * 60);

    /// A span of [`KeepAlive::MIN`] to [`KeepAlive::MAX`]; parts of a millisecond are rounded up.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside these limits.
    pub fn parse(span: Duration) -> Result<Self, InvalidInput> {
        check_span("keep_alive", span, Self::MIN, Self::MAX).map(Self)
    }

    /// The span.
    #[must_use]
    pub const fn span(self) -> Duration {
        self.0
    }
}

/// 10 seconds.
impl Default for KeepAlive {
    fn default() -> Self {
        Self(Duration::from_secs(10))
    }
}

impl TryFrom<Duration> for KeepAlive {
    type Error = InvalidInput;
    fn try_from(span: Duration) -> Result<Self, InvalidInput> {
        Self::parse(span)
    }
}

impl From<KeepAlive> for Duration {
    fn from(keep_alive: KeepAlive) -> Self {
        keep_alive.0
    }
}
