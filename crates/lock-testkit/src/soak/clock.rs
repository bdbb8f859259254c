//! The clock that all processes of a machine share.

use rustix::time::{ClockId, clock_gettime};

/// Microseconds of `CLOCK_MONOTONIC`.
///
/// `Instant` reads the same clock on Linux, but does not tell the number, which other processes
/// need: so it is read by `rustix`, which is in use already for signals and needs no unsafe code
/// here. The clock on the wall may be set meanwhile.
pub(super) type Moment = u64;

pub(super) fn now() -> Moment {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.cast_unsigned() * 1_000_000 + now.tv_nsec.cast_unsigned() / 1_000
}

/// A span of milliseconds in the unit of a [`Moment`].
pub(super) const fn millis(millis: u64) -> Moment {
    millis * 1_000
}
