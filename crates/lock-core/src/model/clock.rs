//! Timestamps and clocks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A point on the store's clock, in microseconds since the Unix epoch.
///
/// Only the store compares such points; a client that wants to know how long something lasts
/// takes the difference of two points from one reply.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `micros` microseconds after the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time elapsed since `earlier`; zero if the clock was set back in between.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The point `span` later.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        // Without the 128 bits that `Duration::as_micros` has.
        let micros = span.as_secs().saturating_mul(1_000_000);
        let micros = micros.saturating_add(span.subsec_micros() as u64);
        Self(self.0.saturating_add(micros))
    }
}

impl Timestamp {
    /// The next point.
    pub(crate) const fn just_after(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}us", self.0)
    }
}

/// Source of time for a store without its own clock.
///
/// It may stand still or jump back: the machine keeps the order of the queue and of the tokens.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present time.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// The wall clock read once, carried on by tokio's clock from there.
///
/// It never jumps, whatever happens to the wall clock meanwhile, and it stands still and moves
/// with `tokio::time::{pause, advance}`.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    wall: Timestamp,
    start: tokio::time::Instant,
}

impl TokioClock {
    /// Reads the wall clock.
    #[must_use]
    pub fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
        let wall = std::time::SystemTime::now();
        let since_epoch = wall.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Self { wall: Timestamp::default().after(since_epoch), start: tokio::time::Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.wall.after(self.start.elapsed())
    }
}

/// Clock that is set by hand.
#[cfg(feature = "test-util")]
#[derive(Debug, Default)]
pub struct ManualClock(std::sync::atomic::AtomicU64);

#[cfg(feature = "test-util")]
impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(now.as_micros().into())
    }

    /// Sets the clock, forward or backward.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_micros(), std::sync::atomic::Ordering::SeqCst);
    }

    /// Moves the clock forwards.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().after(span));
    }

    /// Moves the clock back, to the Unix epoch at most.
    pub fn set_back(&self, span: Duration) {
        let back = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.set(Timestamp::from_micros(self.now().as_micros().saturating_sub(back)));
    }
}

#[cfg(feature = "test-util")]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(std::sync::atomic::Ordering::SeqCst))
    }
}
