//! Faults that are planted to see that the simulation finds them.

use lock_core::ManagerFault;

/// A fault that is planted in the simulated store or network, or in the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Planted {
    /// A notice that comes before the answer to its request is lost.
    NoticeBeforeAnswerIsLost,
    /// Nobody is told that notices may be missing.
    MissedNoticesAreNotTold,
    /// A hear answers with the lease and does not claim it.
    HearClaimsNothing,
    /// A lease that is over counts while somebody waits.
    ExpiredLeaseCounts,
    /// A promotion is not told, and positions name no next change.
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
    /// Nobody is told of an end by force.
    ForceIsNotTold,
    /// A fault of the managers.
    Manager(ManagerFault),
}

/// A planted fault, and the seeds in which it is found.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Plant {
    /// A sentence that says what is wrong.
    pub name: &'static str,
    /// What is planted.
    pub switch: Planted,
    /// The seeds of which at least one finds it: the first, and how many.
    pub seeds: (u64, u64),
}

/// All planted faults, each with a range of seeds in which it is found.
#[must_use]
pub const fn planted() -> &'static [Plant] {
    PLANTED
}

const PLANTED: &[Plant] = &[
    plant("missed notices are not told", Planted::MissedNoticesAreNotTold, 0),
    plant("a notice before the answer is lost", Planted::NoticeBeforeAnswerIsLost, 0),
    plant("a hear claims nothing", Planted::HearClaimsNothing, 1),
    plant("a lease that is over counts", Planted::ExpiredLeaseCounts, 16),
    plant("a promotion is not told", Planted::PromotionIsNotTold, 3),
    plant("an end by force is not told", Planted::ForceIsNotTold, 0),
    plant("a late acquire is granted", Planted::LateAcquireIsGranted, 23),
    plant("a renewal ignores the token", Planted::RenewalIgnoresToken, 0),
    plant("tokens follow the clock", Planted::TokensFollowTheClock, 16),
    plant("a key is granted twice", Planted::GrantsTwo, 0),
    plant("renewals cease", Planted::RenewalsCease, 117),
    plant("the queue's deadlines drift", Planted::QueueDeadlinesDrift, 14),
    plant("a fail-over loses tokens", Planted::FailoverLosesTokens, 103),
    manager("leases count from the arrival of an answer", ManagerFault::CountsFromArrival, 0),
    manager("every notice is relied on", ManagerFault::TrustsEveryNotice, 0),
    manager("a waiter is entered after it was sent", ManagerFault::EntersAfterSending, 0),
    manager("what was not answered is not cancelled", ManagerFault::ForgetsUnanswered, 0),
    manager("what could not be told is forgotten", ManagerFault::ForgetsDepartures, 0),
    manager("missed notices have no effect", ManagerFault::IgnoresMayHaveMissed, 0),
    manager("answers from before a gap count", ManagerFault::KeepsEarlierAnswers, 0),
    manager("only the head watches", ManagerFault::OnlyHeadWatches, 0),
    manager("a failure makes deaf", ManagerFault::FailurePausesLong, 0),
    manager("a failure ends the wait", ManagerFault::FailureEndsWait, 0),
    manager("a lost place ends the wait", ManagerFault::LostPlaceEndsWait, 0),
    manager("a wait that is over asks again", ManagerFault::AsksWhenOver, 0),
    manager("a lease is taken out unclaimed", ManagerFault::TakesOutUnclaimed, 0),
    manager("late answers are thrown away", ManagerFault::IgnoresLateAnswers, 0),
    manager("a shutdown waits for ever", ManagerFault::ShutdownWaits, 0),
];

const fn manager(name: &'static str, fault: ManagerFault, seed: u64) -> Plant {
    plant(name, Planted::Manager(fault), seed)
}

/// A row whose `seed` finds the fault by the plans as they are now; ten more follow, in case that a
/// change of the plans moves it.
const fn plant(name: &'static str, switch: Planted, seed: u64) -> Plant {
    Plant { name, switch, seeds: (seed, 11) }
}
