//! The fencing token, which lets a resource reject a late holder.

use std::fmt;
use std::num::NonZeroU64;

use crate::Timestamp;

/// Number that increases with every lease of a key, over the whole life of the store.
///
/// Pass it along with every write to what the lock protects, and let that refuse a write whose
/// token is lower than the highest it has seen: then even a holder that slept through the end of
/// its lease does no harm. The idea is Chubby's sequencer (Burrows, 2006) in the form that
/// Kleppmann gave it in 2016.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct FencingToken(
    #[cfg_attr(feature = "serde", serde(deserialize_with = "read"))] NonZeroU64,
);

/// The time from which on tokens only count and follow the clock no more, in the year 2219. It
/// leaves 2^50 tokens, so that not even a clock that is set to the end of time uses them up.
const LAST_CLOCK: u64 = (1 << 53) - (1 << 50);

impl FencingToken {
    /// The highest token that can be read: 2^53 - 1. Of higher numbers a double does not hold each.
    pub const MAX: Self = Self(NonZeroU64::new((1 << 53) - 1).expect("not zero"));

    /// The token with this number; `None` for zero, which no token has, and above
    /// [`MAX`](Self::MAX).
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) if number.get() <= Self::MAX.get() => Some(Self(number)),
            _ => None,
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
    /// failover that lost the last writes. It counts up to the year 2219, so a clock that is wrong
    /// does not use the tokens up.
    ///
    /// The token is always higher than the last. After [`MAX`](Self::MAX), which only a store gets to
    /// whose last token was damaged, it is one that cannot be read back.
    #[must_use]
    pub fn following(last: Option<Self>, now: Timestamp) -> Self {
        // Nobody counts from `MAX` to the end of the numbers.
        let next = last.map_or(NonZeroU64::MIN, |last| last.0.saturating_add(1));
        let clock = now.as_micros().min(LAST_CLOCK);
        Self(NonZeroU64::new(clock).map_or(next, |clock| next.max(clock)))
    }
}

/// The number of a token that was written out.
#[cfg(feature = "serde")]
fn read<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<NonZeroU64, D::Error> {
    use serde::de::{Deserialize, Error, Unexpected};
    let number = u64::deserialize(deserializer)?;
    let token = FencingToken::new(number).map(|token| token.0);
    let unexpected = Unexpected::Unsigned(number);
    token.ok_or_else(|| Error::invalid_value(unexpected, &"a token from 1 to 2^53 - 1"))
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
