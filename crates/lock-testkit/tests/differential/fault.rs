//! The faults of the naive store, each rarely visible.

/// Declares the faults, and the list of all but none.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// A fault of the naive store.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            None,
            $($(#[$doc])* $name,)*
        }

        impl Fault {
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    /// A lease handed to a waiter lasts a microsecond more.
    ClaimWindowsAreLonger,
    /// A waiter is still alive at the very end of its keep-alive.
    SilenceBeginsLate,
    /// A lease is still alive at its very end.
    LeasesEndLate,
    /// One command drops one dead waiter less than it should.
    SweepsOneLess,
    /// Dead waiters are dropped by their silence alone, the head of the queue as any other.
    SweepsSpareTheHead,
    /// Of equal ranks the last goes first.
    TiesGoToTheLast,
    /// A repeated transfer is not recognised.
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
    /// Evicted leases are reported in the order of their grants.
    EvictionsAreInOrderOfGrants,
    /// Metadata ends at its first zero.
    MetadataEndsAtZero,
    /// A waiter with the mode of the lease is handed it although it is of another owner.
    TransfersIgnoreTheOwner,
    /// A cancel that finds no waiter drops the dead once more.
    CancelsSettleTwice,
    /// The expiry of a lease in the command that grants its key on is an event after the grant.
    ExpiriesAreToldLate,
    /// A release ends any lease of the request.
    ReleasesIgnoreTheToken,
    /// A renewal lengthens any lease of the request.
    RenewalsIgnoreTheToken,
    /// A transfer hands a lease to a request that was ended.
    TransfersPassMarksBy,
    /// A transfer gives away any lease of the giver.
    TransfersIgnoreTheToken,
    /// An evicted lease is any of the request.
    EvictionsIgnoreTheToken,
    /// An eviction leaves no mark.
    EvictionsLeaveNoMark,
    /// A cancel with an outstanding answer leaves no mark.
    CancelsLeaveNoMark,
    /// A mark of a lease lasts five minutes, however long the lease would have lasted.
    MarksAreShort,
    /// A mark reports its end to commands of any lease of its request.
    MarksIgnoreTheToken,
    /// A hear shows a granted lease and leaves it in its claim window.
    HearsDoNotClaim,
    /// A hear of a waiter leaves its mailbox as it was.
    HearsForgetTheMailbox,
    /// A renewal leaves the mailbox as it was.
    RenewalsForgetTheMailbox,
    /// An upgrade ranks as an exclusive request.
    UpgradesQueueUp,
    /// An upgrade takes the place of any lease of the request.
    UpgradesIgnoreTheToken,
    /// A second upgrade waits behind the first.
    UpgradesWaitForEachOther,
    /// The lease of an upgrade stays beside it.
    UpgradesKeepTheLease,
    /// A request to release asks all holders, however many.
    AppealsAreUnbounded,
    /// A request to release is told to nobody.
    AppealsAreNotTold,
    /// One eviction ends all leases of a key, however many.
    EvictionsAreUnbounded,
    /// An eviction of exactly the bound reports that more are left.
    EvictionsAlwaysSayMore,
    /// The next change leaves out the silence of the head.
    NextChangeIgnoresTheHead,
    /// The next change is that of the last lease to end.
    NextChangeIsTheLast,
    /// The mailbox of a waiting receiver is not notified of a transfer.
    TransfersAreNotTold,
    /// A grant by a cancel is not notified.
    GrantsByCancelAreNotTold,
    /// A grant is notified twice.
    GrantsAreToldTwice,
    /// The remaining head is not notified to ask.
    HeadsAreNotToldToAsk,
    /// A grant is notified to the mailbox of the first acquire.
    GrantsAreToldWhereJoined,
    /// One command grants all that fit, however many.
    GrantsAreUnbounded,
    /// A waiter is shown in a session of its own.
    SessionsAreForgotten,
    /// No more than 64 leases that are over end at once.
    ExpiryIsBounded,
    /// Replies are a microsecond early.
    RepliesAreEarly,
    /// A page of waiters begins with the last of the page before.
    PagesOverlap,
}
