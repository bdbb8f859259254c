//! The settings of a circuit breaker.

use std::num::NonZeroU16;
use std::time::Duration;

use crate::{InvalidInput, Timeout, Violation};

/// The settings of a [`CircuitBreaker`](super::CircuitBreaker).
///
/// Every value is within its limits: setters reject others and name the field.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default))]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Number of failures within the window that opens the circuit: 5.
    pub failures: NonZeroU16,
    /// The window in which failures are counted: 10 seconds.
    pub window: Timeout,
    /// Pause before the first probe: 1 second. It doubles with every probe that fails.
    pub first_pause: Timeout,
    /// The longest pause before a probe: 15 seconds. It bounds the first pause, too.
    pub longest_pause: Timeout,
    /// Silence that counts as a failure when the caller gives a command up, and after which the next
    /// command becomes the probe: 1 second.
    pub silence: Timeout,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: NonZeroU16::new(5).expect("5 is not 0"),
            window: Timeout::default_of(10_000),
            first_pause: Timeout::default_of(1_000),
            longest_pause: Timeout::default_of(15_000),
            silence: Timeout::default_of(1_000),
        }
    }
}

impl BreakerConfig {
    /// This many failures within the window open the circuit.
    #[must_use]
    pub fn with_failures(self, failures: NonZeroU16) -> Self {
        Self { failures, ..self }
    }

    /// Failures are counted in a window of this length.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_window(self, window: Duration) -> Result<Self, InvalidInput> {
        Ok(Self { window: Timeout::of("window", window)?, ..self })
    }

    /// The first probe is sent after the pause `first`, which doubles up to `longest`.
    ///
    /// # Errors
    /// [`InvalidInput`] when a span is outside its limits, or `longest` is shorter than `first`.
    pub fn with_pauses(self, first: Duration, longest: Duration) -> Result<Self, InvalidInput> {
        let first_pause = Timeout::of("first_pause", first)?;
        if longest < first {
            let violation = Violation::TooShort { limit: first };
            return Err(InvalidInput::new("longest_pause", violation));
        }
        Ok(Self { first_pause, longest_pause: Timeout::of("longest_pause", longest)?, ..self })
    }

    /// A command that is given up after this long without an answer has failed.
    ///
    /// # Errors
    /// [`InvalidInput`] when the span is outside its limits.
    pub fn with_silence(self, silence: Duration) -> Result<Self, InvalidInput> {
        Ok(Self { silence: Timeout::of("silence", silence)?, ..self })
    }
}
