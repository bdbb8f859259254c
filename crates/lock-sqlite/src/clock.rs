//! The clock of the machine, which all processes read alike.

use std::fs;
use std::time::Duration;

use lock_core::{Clock, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// The wall clock as it was when the file was first used since the machine was started, carried on by
/// the clock that counts from that start.
///
/// The latter continues while the machine is suspended, and cannot be set: between two boots the
/// time neither jumps nor stands still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineClock {
    /// The time at which the machine was started.
    started: Timestamp,
}

impl MachineClock {
    pub(crate) const fn new(started: Timestamp) -> Self {
        Self { started }
    }

    /// The time at which the machine was started, by what the wall clock shows now.
    pub(crate) fn started_by_wall() -> Timestamp {
        let wall = read(ClockId::Realtime).saturating_sub(read(ClockId::Boottime));
        Timestamp::default().after(wall)
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        self.started.after(read(ClockId::Boottime))
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let (seconds, nanos) = (time.tv_sec.try_into(), time.tv_nsec.try_into());
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Identifier of the current boot of the machine.
pub(crate) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
