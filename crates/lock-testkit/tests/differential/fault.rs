//! The ways in which a naive store can be wrong, each of them rarely seen.

/// How a naive store is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// No wait tells of a grant, as none need to.
    WaitsTellNothing,
    /// A lease handed to a waiter lasts a microsecond more.
    ClaimWindowsAreLonger,
    /// A waiter is still heard of at the very end of its keep-alive.
    SilenceBeginsLate,
    /// A lease is still alive at its very end.
    LeasesEndLate,
    /// One command drops one dead waiter less than it should.
    SweepsOneLess,
    /// Dead waiters are dropped by their silence alone, the head of the queue as any other.
    SweepsSpareTheHead,
    /// Of equal ranks the last goes first.
    TiesGoToTheLast,
    /// A repeated transfer is not known for one.
    TransfersForgetTheGiver,
    /// A queue of dead waiters is never full.
    LimitsCountTheLiving,
    /// A renewal changes the end of a lease, but not the ttl that it shows.
    RenewalsKeepTheTtl,
    /// The third lease of a key is not listed.
    ListsMissTheThird,
    /// One command grants to one waiter, even if two fit.
    PromotesOne,
    /// A waiter arrives when the clock says so, also after a jump back.
    ArrivalsJumpBack,
    /// A head start of more than three minutes counts as three.
    HeadStartsAreCapped,
    /// Evicted leases are told in the order of their grants.
    EvictionsAreInOrderOfGrants,
    /// Metadata ends at its first zero.
    MetadataEndsAtZero,
    /// A waiter with the mode of the lease is handed it although it is of another owner.
    TransfersIgnoreTheOwner,
    /// A cancel that finds nobody waiting drops the dead once more.
    CancelsSettleTwice,
    /// A lease that runs out in the command that grants its key on is told of after the grant.
    ExpiriesAreToldLate,
}

impl Fault {
    pub(crate) const ALL: [Self; 18] = [
        Self::ClaimWindowsAreLonger,
        Self::SilenceBeginsLate,
        Self::LeasesEndLate,
        Self::SweepsOneLess,
        Self::SweepsSpareTheHead,
        Self::TiesGoToTheLast,
        Self::TransfersForgetTheGiver,
        Self::LimitsCountTheLiving,
        Self::RenewalsKeepTheTtl,
        Self::ListsMissTheThird,
        Self::PromotesOne,
        Self::ArrivalsJumpBack,
        Self::HeadStartsAreCapped,
        Self::EvictionsAreInOrderOfGrants,
        Self::MetadataEndsAtZero,
        Self::TransfersIgnoreTheOwner,
        Self::CancelsSettleTwice,
        Self::ExpiriesAreToldLate,
    ];
}
