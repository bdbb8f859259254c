//! A reply together with the store's time.

use crate::Timestamp;

/// A reply and the store's time at which it was true.
///
/// Points of time in the value are on the same clock: a client takes differences from
/// [`observed_at`](Self::observed_at), and never compares them with a clock of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[must_use]
#[non_exhaustive]
pub struct Timed<T> {
    /// The store's time of the reply.
    pub observed_at: Timestamp,
    /// The reply itself.
    pub value: T,
}

impl<T> Timed<T> {
    /// A reply that was true at the store's time `observed_at`.
    pub const fn new(observed_at: Timestamp, value: T) -> Self {
        Self { observed_at, value }
    }

    /// The same time with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Timed<U> {
        Timed { observed_at: self.observed_at, value: change(self.value) }
    }

    /// The same time with a reference to the value.
    pub const fn as_ref(&self) -> Timed<&T> {
        Timed { observed_at: self.observed_at, value: &self.value }
    }
}
