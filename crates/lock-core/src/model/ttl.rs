//! Time to live of a lease.

use std::time::Duration;

use crate::{InvalidInput, LeaseTime};

/// Time to live of a lease.
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

impl Ttl {
    /// A span of [`LeaseTime::MIN`] to [`LeaseTime::MAX`], parts of a millisecond rounded up.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside these limits.
    pub fn parse(span: Duration) -> Result<Self, InvalidInput> {
        LeaseTime::parse(span).map(Self::For)
    }

    /// The span; `None` for [`Ttl::Never`].
    #[must_use]
    pub const fn span(self) -> Option<Duration> {
        match self {
            Self::For(time) => Some(time.span()),
            Self::Never => None,
        }
    }
}

/// 30 seconds.
impl Default for Ttl {
    fn default() -> Self {
        Self::For(LeaseTime::default())
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = InvalidInput;
    fn try_from(span: Duration) -> Result<Self, InvalidInput> {
        Self::parse(span)
    }
}
