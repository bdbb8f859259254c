//! The store's clock: it follows the virtual time, stands still and jumps.

use std::time::Duration;

use lock_core::Timestamp;
use tokio::time::Instant;

/// The time at which a simulated store starts.
const START: Timestamp = Timestamp::from_micros(1_900_000_000_000_000);

/// The store's clock.
#[derive(Debug)]
pub(super) struct StoreClock {
    /// The virtual time of the last change of the clock, and what it showed then.
    since: Instant,
    showed: Timestamp,
    stands: bool,
    was_slow: bool,
}

impl StoreClock {
    /// A clock that starts now.
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), showed: START, stands: false, was_slow: false }
    }

    /// The time that the clock shows.
    pub(super) fn now(&self) -> Timestamp {
        if self.stands { self.showed } else { self.showed.after(self.since.elapsed()) }
    }

    /// Lets the clock jump forward.
    pub(super) fn jump_forward(&mut self, span: Duration) {
        self.set(self.now().after(span));
    }

    /// Lets the clock jump back.
    pub(super) fn jump_back(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.set(Timestamp::from_micros(self.now().as_micros().saturating_sub(micros)));
        self.was_slow = true;
    }

    /// Lets the clock stand still, or go on from where it stood.
    pub(super) fn stand(&mut self, stands: bool) {
        self.set(self.now());
        self.stands = stands;
        self.was_slow = true;
    }

    /// The virtual time at which the clock shows `at` if it neither stands nor jumps until then; the
    /// present for what is past.
    pub(super) fn when(&self, at: Timestamp) -> Instant {
        Instant::now() + at.since(self.now())
    }

    /// Returns `true` if the clock ever jumped back or stood still, so that leases outlive their
    /// holders' deadlines.
    pub(super) const fn was_slow(&self) -> bool {
        self.was_slow
    }

    fn set(&mut self, showed: Timestamp) {
        (self.since, self.showed) = (Instant::now(), showed);
    }
}
