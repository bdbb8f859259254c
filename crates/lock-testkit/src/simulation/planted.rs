//! Planted faults, each of which the simulation must find.

use lock_core::ManagerFault;

/// A fault that is planted in the simulated store or network, or in the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// A notice that comes before the answer to its request is lost.
    NoticeBeforeAnswerIsLost,
    /// No `MayHaveMissed` follows lost notices.
    MissedNoticesAreNotTold,
    /// A hear answers with the lease and does not claim it.
    HearClaimsNothing,
    /// A lease that is over counts while somebody waits.
    ExpiredLeaseCounts,
    /// A promotion is not notified, and positions name no next change.
    PromotionIsNotTold,
    /// A cancel leaves no mark, so that a late acquire is granted.
    LateAcquireIsGranted,
    /// A renewal with the token of an earlier lease of the request renews the present one.
    RenewalIgnoresToken,
    /// Tokens follow the clock when it jumps back.
    TokensFollowTheClock,
    /// A held key is sometimes granted to another.
    GrantsTwo,
    /// Renewals are not sent for a while after a connection was rebuilt.
    RenewalsCease,
    /// The next change that a position names is later than it should be.
    QueueDeadlinesDrift,
    /// A fail-over loses the last write, and the successor's clock is behind.
    FailoverLosesTokens,
    /// A forced end is not notified.
    ForceIsNotTold,
    /// A fault of the managers.
    Manager(ManagerFault),
}

/// A planted fault, and the seeds in which it is found.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Plant {
    /// The fault, in words.
    pub name: &'static str,
    /// The planted fault.
    pub switch: Planted,
    /// The seeds of which at least one finds it: the first, and their number.
    pub seeds: (u64, u64),
    /// The sentence that it breaks.
    pub breaks: &'static str,
}

/// All planted faults, each with a range of seeds in which it is found.
#[must_use]
pub const fn planted() -> &'static [Plant] {
    PLANTED
}

const HOLDER: &str =
    "The holder knows of the end of its lease before the store gives the key to another.";
const TAKEN_UP: &str = "A grant is taken up after one notice, and an unwanted lease is released.";
const ALONE: &str = "No two holders believe at once in leases that exclude each other.";
const TOKENS: &str = "Each lease of a key has a higher token than all leases before it.";
const IN_TIME: &str = "A key that a living waiter could hold is held by it in time.";
const PLACE: &str = "A waiter that reaches the store has a place in the queue.";
const KEEPS: &str = "A holder that reaches the store keeps its lease.";
const OUTAGE: &str = "A wait outlasts an outage.";
const IN_VAIN: &str = "A wait in vain is not unknown if the store answers.";
const CANCELLED: &str = "An acquire that arrives after its cancel takes no lock.";
const FORCE: &str = "A holder learns of a forced end in time.";
const FULL: &str = "A lease that is taken out of its guard is of full length.";
const CALLS: &str = "Every call ends in its time-out.";

const PLANTED: &[Plant] = &[
    plant("missed notices are not reported", Planted::MissedNoticesAreNotTold, 87, TAKEN_UP),
    plant("a notice before the answer is lost", Planted::NoticeBeforeAnswerIsLost, 1141, TAKEN_UP),
    plant("a hear claims nothing", Planted::HearClaimsNothing, 1, HOLDER),
    plant("a lease that is over counts", Planted::ExpiredLeaseCounts, 16, PLACE),
    plant("a promotion is not notified", Planted::PromotionIsNotTold, 3, TAKEN_UP),
    plant("a forced end is not notified", Planted::ForceIsNotTold, 564, FORCE),
    plant("a late acquire is granted", Planted::LateAcquireIsGranted, 23, CANCELLED),
    plant("a renewal ignores the token", Planted::RenewalIgnoresToken, 0, ALONE),
    plant("tokens follow the clock", Planted::TokensFollowTheClock, 16, TOKENS),
    plant("a key is granted twice", Planted::GrantsTwo, 0, ALONE),
    plant("renewals cease", Planted::RenewalsCease, 148, KEEPS),
    plant("the queue's deadlines drift", Planted::QueueDeadlinesDrift, 126, IN_TIME),
    plant("a fail-over loses tokens", Planted::FailoverLosesTokens, 173, TOKENS),
    manager("answers count from their arrival", ManagerFault::CountsFromArrival, 1, HOLDER),
    manager("every notice is relied on", ManagerFault::TrustsEveryNotice, 1, HOLDER),
    manager("a waiter is entered late", ManagerFault::EntersAfterSending, 1141, TAKEN_UP),
    manager("the unanswered is not cancelled", ManagerFault::ForgetsUnanswered, 44, TAKEN_UP),
    manager("departures are forgotten", ManagerFault::ForgetsReleases, 43, TAKEN_UP),
    manager("missed notices have no effect", ManagerFault::IgnoresMayHaveMissed, 87, TAKEN_UP),
    manager("only the head watches", ManagerFault::OnlyHeadWatches, 171, IN_TIME),
    manager("a failure pauses the waiter", ManagerFault::FailurePausesLong, 2633, TAKEN_UP),
    manager("a failure ends the wait", ManagerFault::FailureEndsWait, 4, OUTAGE),
    manager("a lost place ends the wait", ManagerFault::LostPlaceEndsWait, 1, OUTAGE),
    manager("a wait that is over asks again", ManagerFault::AsksWhenOver, 16, IN_VAIN),
    manager("a lease is taken out unclaimed", ManagerFault::TakesOutUnclaimed, 17, FULL),
    manager("late answers are ignored", ManagerFault::IgnoresLateAnswers, SLOW_LINE, KEEPS),
    manager("a shutdown waits for ever", ManagerFault::ShutdownWaits, 1164, CALLS),
];

/// A seed in which the answers to renewals are slower than a third of what is left, again and again.
const SLOW_LINE: u64 = 1_882_783_340_305_355;

const fn manager(
    name: &'static str,
    fault: ManagerFault,
    seed: u64,
    breaks: &'static str,
) -> Plant {
    plant(name, Planted::Manager(fault), seed, breaks)
}

/// A row whose `seed` finds the fault with the present plans; ten more seeds follow, in case a
/// change of the plans moves it.
const fn plant(name: &'static str, switch: Planted, seed: u64, breaks: &'static str) -> Plant {
    Plant { name, switch, seeds: (seed, 11), breaks }
}
