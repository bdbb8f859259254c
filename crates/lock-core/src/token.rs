//! The fencing token, by which a resource tells a late holder from the present one.

use std::fmt;
use std::num::NonZeroU64;

use crate::Timestamp;

/// A number that is higher with every lease of a key, over the whole life of the store.
///
/// Pass it along with every write to what the lock protects, and let that refuse a write whose
/// token is lower than the highest it has seen: then even a holder that slept through the end of
/// its lease does no harm. The idea is Chubby's sequencer (Burrows, 2006) in the form that
/// Kleppmann gave it in 2016.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct FencingToken(NonZeroU64);

impl FencingToken {
    /// The token with this number; `None` for zero, which no token has.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The token that follows `last` at the time `now`: one more than the last, or the clock in
    /// microseconds if that is higher.
    ///
    /// The clock makes tokens survive what a counter does not: a flushed store, a deleted key, a
    /// failover that lost the last writes.
    #[must_use]
    pub fn following(last: Option<Self>, now: Timestamp) -> Self {
        let next = last.map_or(NonZeroU64::MIN, |last| last.0.saturating_add(1));
        let clock = NonZeroU64::new(now.as_micros()).unwrap_or(NonZeroU64::MIN);
        Self(next.max(clock))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
