//! Faults of a manager that a test switches on, to see that it would find them.

#![cfg_attr(
    not(feature = "test-util"),
    expect(unreachable_pub, reason = "exported for tests only")
)]

/// A fault that a manager has while a test plants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManagerFault {
    /// A lease in an answer counts from its arrival.
    CountsFromArrival,
    /// A lease in a notice counts from its arrival.
    TrustsEveryNotice,
    /// A request is entered in the table of waiters after its answer came.
    EntersAfterSending,
    /// A request that was sent and not answered is not cancelled.
    ForgetsUnanswered,
    /// A release that failed once is not retried.
    ForgetsReleases,
    /// `MayHaveMissed` has no effect.
    IgnoresMayHaveMissed,
    /// Only the head of the queue asks when something may change by time alone.
    OnlyHeadWatches,
    /// A hear that failed is repeated after 0.3 of a heartbeat, without a limit.
    FailurePausesLong,
    /// A wait ends with the first answer that does not come.
    FailureEndsWait,
    /// A wait ends when its place is lost.
    LostPlaceEndsWait,
    /// A wait that is over asks once more, with hardly any time for the answer.
    AsksWhenOver,
    /// A lease is taken out of its guard without being claimed.
    TakesOutUnclaimed,
    /// An answer to a renewal that comes after the next one was due is thrown away.
    IgnoresLateAnswers,
    /// A shutdown waits for everything, however long that takes.
    ShutdownWaits,
}

/// Returns `true` if the fault is planted in this thread.
#[inline]
pub(super) fn has(fault: ManagerFault) -> bool {
    #[cfg(feature = "test-util")]
    return switch::PLANTED.get() == Some(fault);
    #[cfg(not(feature = "test-util"))]
    {
        let _ = fault;
        false
    }
}

#[cfg(feature = "test-util")]
pub use switch::plant;

#[cfg(feature = "test-util")]
mod switch {
    use std::cell::Cell;

    use super::ManagerFault;

    thread_local! {
        pub(super) static PLANTED: Cell<Option<ManagerFault>> = const { Cell::new(None) };
    }

    /// Gives all managers that run in this thread a fault, or none.
    pub fn plant(fault: Option<ManagerFault>) {
        PLANTED.set(fault);
    }
}
