//! Faults that are planted to see that the simulation finds them.

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
    plant("missed notices are not told", Planted::MissedNoticesAreNotTold, 13_132),
    plant("a notice before the answer is lost", Planted::NoticeBeforeAnswerIsLost, 7842),
    plant("a hear claims nothing", Planted::HearClaimsNothing, 1),
    plant("a lease that is over counts", Planted::ExpiredLeaseCounts, 16),
    plant("a promotion is not told", Planted::PromotionIsNotTold, 3),
    plant("a late acquire is granted", Planted::LateAcquireIsGranted, 23),
    plant("a renewal ignores the token", Planted::RenewalIgnoresToken, 0),
    plant("tokens follow the clock", Planted::TokensFollowTheClock, 16),
    plant("a key is granted twice", Planted::GrantsTwo, 0),
    plant("renewals cease", Planted::RenewalsCease, 117),
    plant("the queue's deadlines drift", Planted::QueueDeadlinesDrift, 14),
    plant("a fail-over loses tokens", Planted::FailoverLosesTokens, 103),
];

/// A row whose `seed` finds the fault by the plans as they are now; ten more follow, in case that a
/// change of the plans moves it.
const fn plant(name: &'static str, switch: Planted, seed: u64) -> Plant {
    Plant { name, switch, seeds: (seed, 11) }
}
