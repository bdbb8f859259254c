//! The ways of being broken.

/// Declares the faults, and lists them with what they do.
macro_rules! faults {
    ($(#[doc = $does:literal] $fault:ident,)*) => {
        /// A fault: the way in which the store breaks the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $(#[doc = $does] $fault,)*
        }

        impl Fault {
            /// Every fault.
            pub(crate) const ALL: &[Self] = &[$(Self::$fault,)*];

            /// The store's misbehaviour, in words.
            pub(crate) const fn does(self) -> &'static str {
                match self {
                    $(Self::$fault => $does,)*
                }
            }
        }
    };
}

impl Fault {
    /// Returns `true` if the store keeps some commands to the connection that sent them.
    pub(crate) const fn caches(self) -> bool {
        matches!(
            self,
            Self::CachesNothing
                | Self::CachesAcquires
                | Self::CachesWaiters
                | Self::CachesHearings
                | Self::CachesClaims
                | Self::CachesRenewals
                | Self::CachesReleases
                | Self::CachesCancels
                | Self::CachesTransfers
                | Self::CachesEvictions
                | Self::CachesEvictedWaiters
        )
    }

    /// Returns `true` if the fault changes leases that waiters are handed, whoever caused the
    /// hand-over.
    pub(crate) const fn spoils_grants(self) -> bool {
        matches!(
            self,
            Self::GrantsNeedNoClaim
                | Self::NeverEndingGrantsNeedNoClaim
                | Self::ClaimWindowsIgnoreTheTtl
                | Self::GrantsAreMessages
        )
    }
}

faults! {
    /// Has no fault.
    None,

    /// Grants a key that is held.
    GrantsHeldKeys,
    /// Checks whether the key is free, and grants it a moment later.
    ChecksThenActs,
    /// Grants a key to every request of the owner that holds it.
    OwnersReenter,
    /// Answers a release and does not do it.
    SwallowsReleases,
    /// Queues the requests that it refuses.
    RefusalsQueue,

    /// Gives every lease of a key the token of the first.
    TokensStandStill,
    /// Gives the lease after an expired one the same token.
    TokensRepeatAfterExpiry,
    /// Counts the tokens of a key from one, and again from one after it was free for a second.
    TokensRestartWhenForgotten,
    /// Gives a waiter that it hands a lease the token of the last lease.
    PromotionsKeepTheToken,
    /// Gives the receiver of a transfer the token of the giver.
    TransfersKeepTheToken,
    /// Gives the lease after an evicted one the same token.
    TokensRepeatAfterEviction,
    /// Continues tokens beyond the highest that a double holds.
    TokensBeyondDoubles,
    /// Makes tokens from its clock alone.
    TokensAreTheClock,
    /// Makes tokens from its clock alone after that jumped back.
    TokensFollowTheClockBack,

    /// Ends leases a little too early.
    EndsLeasesEarly,
    /// Ends leases a little too late.
    LeasesLinger,
    /// Makes short leases a little longer.
    RaisesShortTtls,
    /// Makes no lease longer than a day.
    CapsLongTtls,
    /// Ends a lease that never expires after a second.
    NeverMeansASecond,
    /// Ends no lease whose key has waiters.
    WaitersProlongLeases,
    /// Reports the default ttl for every lease.
    TellsADefaultTtl,
    /// Makes leases last whole seconds.
    RoundsTtlsUpToSeconds,

    /// Answers a renewal and does not do it.
    RenewsInNameOnly,
    /// Renews by the ttl of the acquire.
    RenewalsKeepTheTtl,
    /// Lets a late renewal revive an expired lease.
    RevivesExpiredLeases,
    /// Lets a late renewal revive a released lease.
    RevivesReleasedLeases,
    /// Lets a late renewal revive an evicted lease.
    RevivesEvictedLeases,
    /// Renews any lease of the key for a request that never held.
    RenewsForAnybody,
    /// Lets a late renewal change the lease of the next holder.
    RenewsTheSuccessor,
    /// Answers a batch of renewals in reverse.
    AnswersRenewalsInReverse,
    /// Gives a lease another token with every renewal.
    RenewalsTakeANewToken,

    /// Gives a lease another token when its request asks again.
    RemintsTokensOnRepeat,
    /// Renews a lease when its request asks again.
    AskingAgainExtends,
    /// Puts a waiter that asks again at the end of the queue.
    AskingAgainLosesThePlace,
    /// Queues a waiter that asks again once more.
    AskingAgainQueuesAgain,
    /// Refuses a request that holds and asks again.
    RefusesRepeats,
    /// Reports every repetition of a release as a release.
    RepeatedReleasesSucceed,
    /// Reports every repetition of a cancel as a cancel.
    RepeatedCancelsSucceed,
    /// Does not know to whom a lease was transferred.
    ForgetsTransfers,

    /// Grants to the last arrival.
    LifoQueue,
    /// Ignores head starts.
    IgnoresHeadStart,
    /// Multiplies head starts by a thousand.
    StrictPriority,
    /// Rounds head starts to multiples of ten milliseconds.
    RoundsHeadStarts,
    /// Grants to the last of the waiters of equal rank.
    TiesGoToTheLast,
    /// Lets newcomers take a key that a waiter was handed and did not claim yet.
    NewcomersBarge,
    /// Ranks waiters that arrive after a jump back of the clock before the others.
    RanksByTheClock,
    /// Counts positions from zero.
    TellsPositionsFromZero,
    /// Reports the first position of a waiter for ever.
    PositionsStandStill,
    /// Reports the last position to every waiter.
    TellsTheEndOfTheQueue,
    /// Reports an empty queue to requests that it refuses.
    HidesTheQueueFromTheRefused,
    /// Lets a queue grow beyond what a request allows.
    IgnoresQueueLimits,
    /// Counts waiters that fell silent long ago towards the limit.
    CountsTheDead,
    /// Refuses more than two hundred waiters.
    RefusesLongQueues,
    /// Grants readers beyond the first hundred of a queue one at a time.
    LateReadersWaitAlone,
    /// Counts leases that are over when there are many.
    CrowdsOfTheDeadCount,
    /// Names the end of the lease as the next change, although the head falls silent before.
    OverlooksTheSilenceOfTheHead,

    /// Leaves a released key without a holder until a waiter asks.
    HandsOverOnlyWhenAsked,
    /// Lets writers that waited hold a key together.
    QueuedWritersShare,
    /// Notifies all waiters of the lease of one.
    TellsEverybodyOfTheGrant,
    /// Takes a lease back from a waiter whose mailbox is not open when it is handed to it.
    GrantsAreMessages,
    /// Notifies no waiter of its grant.
    TellsNoGrants,
    /// Notifies only of grants that the mailbox's own connection caused.
    TellsOwnGrants,
    /// Notifies no holder of its eviction.
    TellsNoEvictions,
    /// Notifies no waiter of its eviction.
    TellsNoEvictedWaiters,
    /// Notifies no waiter to ask.
    TellsNobodyToAsk,
    /// Does not notify the giver of a transfer.
    TellsGiversNothing,
    /// Does not notify the receiver of a transfer.
    TellsReceiversNothing,
    /// Notifies the mailbox of the acquire of a lease's end, although a renewal moved it.
    RenewalsKeepTheMailbox,
    /// Notifies a waiter in the mailbox of its acquire, although a hear moved it.
    HearingsKeepTheMailbox,
    /// Sends nothing to a mailbox that is opened again.
    MailboxesOpenOnce,

    /// Keeps waiters that are silent for a day.
    NeverDropsTheSilent,
    /// Hands a released key to a waiter that fell silent.
    ReleasesGrantToTheDead,
    /// Keeps waiters that are silent, beyond the first hundred.
    DeadStayInLongQueues,
    /// Does not note that a waiter was heard.
    HearsNobody,
    /// Does not note that a waiter asked again.
    AskingAgainIsNotHeard,
    /// Leaves a lease in its claim window when its request is heard.
    HearingsDoNotClaim,
    /// Reports a granted request as absent when it is heard.
    HearingsForgetGrants,
    /// Reports unknown requests as waiting when they are heard.
    HearsTheUnknown,
    /// Re-queues a silent waiter when it is heard.
    HearingsTakeTheSilentBack,
    /// Answers a batch of hears in reverse.
    AnswersHearingsInReverse,
    /// Gives a waiter the whole ttl without a claim window.
    GrantsNeedNoClaim,
    /// Gives a waiter a lease that never expires without a claim window.
    NeverEndingGrantsNeedNoClaim,
    /// Gives a waiter the whole claim window, however short its ttl.
    ClaimWindowsIgnoreTheTtl,
    /// Leaves a lease in its claim window when it is renewed.
    RenewalsDoNotClaim,
    /// Leaves a lease in its claim window when its request asks again.
    AskingAgainDoesNotClaim,

    /// Answers a cancel of a waiter and does not do it.
    SwallowsCancels,
    /// Does not cancel granted requests.
    CancelOnlyDequeues,
    /// Reports unknown requests as cancelled.
    CancelsAlwaysSucceed,
    /// Removes cancelled waiters from the queue only at the next release.
    CancelledHeadsBlock,
    /// Executes a request although the call was dropped and the request cancelled.
    DroppedAcquiresActLate,
    /// Cancels all waiters with one.
    CancelsEmptyTheQueue,
    /// Cancels all requests of an owner for a key with one.
    CancelsTheOwnersOtherRequests,
    /// Cancels the requests of an owner for other keys with one.
    CancelsTheOwnersOtherKeys,

    /// Releases any lease of the key.
    ReleasesForAnybody,
    /// Lets a late release end the lease of the next holder.
    ReleasesTheSuccessor,
    /// Reports an expired lease as released.
    ReleasesWhatIsOver,
    /// Lets a waiter release the lease that it waits for.
    WaitersMayRelease,
    /// Reports a release where there was no lease.
    ReleasesOfFreeKeysSucceed,

    /// Grants readers one at a time.
    ReadersExclude,
    /// Releases all readers with one.
    ReadersLeaveTogether,
    /// Lets readers join past a waiting writer.
    ReadersPassWriters,
    /// Lets no reader join when a writer waits, whatever its rank.
    ReadersNeverPassWriters,
    /// Grants a semaphore beyond its permits.
    IgnoresPermits,
    /// Takes a semaphore of two permits for one of three.
    MixesPermits,
    /// Grants waiters that could share a key one at a time.
    QueuedReadersWaitAlone,

    /// Hands a transferred lease to the head of the queue.
    TransfersGoToTheHead,
    /// Hands leases to waiters only.
    TransfersOnlyToWaiters,
    /// Transfers the holder's lease for any request.
    TransfersForAnybody,
    /// Releases a lease that could not be transferred.
    FailedTransfersRelease,
    /// Releases a lease whose receiver already holds.
    TransfersToHoldersRelease,
    /// Lets the giver of a lease renew it.
    GiversGoOnRenewing,
    /// Gives the receiver of a transfer the whole ttl without a claim window.
    TransfersNeedNoClaim,
    /// Transfers a lease to a waiter of another mode.
    TransfersIgnoreModes,

    /// Answers an eviction and does not do it.
    SwallowsEvictions,
    /// Evicts the waiters too.
    EvictionsEmptyTheQueue,
    /// Evicts all when one is named.
    EvictsAll,
    /// Evicts a named request that waits.
    EvictsWaiters,
    /// Does not evict a lease that never expires.
    EvictsOnlyWhatEnds,
    /// Cancels all waiters when one is evicted.
    EvictedWaitersTakeAllAlong,
    /// Reports that nothing is left after every eviction.
    NeverSaysThatMoreAreLeft,

    /// Queues an upgrade as an exclusive request, which waits for its own lease.
    UpgradesWaitForTheirLease,
    /// Ends the leases of others for an upgrade.
    UpgradesEvictTheOthers,
    /// Refuses an upgrade while others wait.
    UpgradesYieldToTheQueue,
    /// Queues an upgrade beside another.
    UpgradesWaitForEachOther,
    /// Grants an upgrade of nothing.
    UpgradesNeedNoLease,

    /// Notifies no holder that its key is wanted.
    TellsNoAppeals,
    /// Evicts the holders that it asks.
    AppealsEvict,
    /// Asks later holders as well.
    AppealsIgnoreTheToken,
    /// Reports that all holders were asked, whatever their number.
    AppealsNeverSayThatMoreAreLeft,

    /// Renews the lease that the request holds, whatever token is named.
    RenewsByRequest,
    /// Releases the lease that the request holds, whatever token is named.
    ReleasesByRequest,
    /// Transfers the lease that the request holds, whatever token is named.
    TransfersByRequest,
    /// Evicts the lease that the request holds, whatever token is named.
    EvictsByRequest,

    /// Grants the key to a request whose lease was evicted.
    EvictedRequestsHoldAgain,
    /// Queues a request that was evicted from the queue.
    EvictedWaitersJoinAgain,
    /// Answers a renewal after an eviction without the end.
    RenewalsHideTheEnd,
    /// Answers a release after an eviction without the end.
    ReleasesHideTheEnd,
    /// Answers a transfer after an eviction without the end.
    TransfersHideTheEnd,
    /// Answers a hear after an eviction without the end.
    HearingsHideTheEnd,
    /// Does not remember the giver of a lease.
    TransfersLeaveNoMark,
    /// Refuses all requests of an owner of which one was evicted.
    MarksHitTheOwner,
    /// Refuses an evicted request for ever.
    MarksLastForEver,
    /// Refuses an evicted request for five minutes, however long its lease was.
    MarksLastFiveMinutes,
    /// Transfers leases to requests that were ended.
    TransfersPassMarksBy,
    /// Does not remember a cancel with an outstanding answer.
    CancelsLeaveNoMark,

    /// Hears a request only by the connection that sent it first.
    ConnectionsOwnRequests,
    /// Has no fault, although each connection has a replica.
    CachesNothing,
    /// Keeps immediate grants to the connection.
    CachesAcquires,
    /// Keeps queued requests to the connection.
    CachesWaiters,
    /// Keeps hears of waiters to the connection.
    CachesHearings,
    /// Keeps claims to the connection.
    CachesClaims,
    /// Keeps renewals to the connection.
    CachesRenewals,
    /// Keeps releases to the connection.
    CachesReleases,
    /// Keeps cancels to the connection.
    CachesCancels,
    /// Keeps transfers to the connection.
    CachesTransfers,
    /// Keeps evictions of leases to the connection.
    CachesEvictions,
    /// Keeps evictions of waiters to the connection.
    CachesEvictedWaiters,

    /// Shows the last holder of a free key.
    RemembersPastHolders,
    /// Shows one holder of many.
    ShowsOneHolder,
    /// Shows the waiters in reverse.
    ShowsWaitersBackwards,
    /// Stamps inspections by a clock that is an hour fast.
    StampsLooksByAnotherClock,
    /// Shows expired leases.
    ShowsTheDead,
    /// Shows a key without settling it first.
    LooksWithoutSettling,
    /// Finds one wait of an owner.
    FindsOneWait,
    /// Finds all waiters of the owner for one of its sessions.
    FindsTheWholeOwner,
    /// Leaves out the first waiter of every page of an owner's but the first.
    SkipsTheFirstWaitOfAPage,
    /// Leaves out the first waiter of every page of a key's but the first.
    SkipsTheFirstWaiterOfAPage,
    /// Finds waits of requests that were granted.
    WaitsOutliveTheGrant,
    /// Counts waiters that cancelled.
    CountsThoseWhoLeft,
    /// Does not say what it is.
    NamesNoStore,
    /// Says that it outlives its process.
    ClaimsDurability,
    /// Ends the texts of metadata at a zero.
    CutsMetadataAtZeros,
    /// Keeps a thousand characters of each text of metadata.
    TruncatesMetadata,

    /// Leaves out the first lease of every page but the first.
    SkipsTheFirstOfAPage,
    /// Takes a prefix for a pattern.
    PrefixesAreGlobs,
    /// Lists owners that differ in case.
    ListsNamesakes,
    /// Lists those who wait.
    ListsWaiters,
    /// Lists by the end of leases, which a renewal moves.
    ListsByTheEnd,
    /// Begins again at a cursor that it does not know.
    RestartsAtForeignCursors,
    /// Lists leases that ran out.
    ListsTheDead,
    /// Goes on after the last key when a page ended between leases that share it.
    CursorsAreKeys,

    /// Does not tell of releases.
    ReleasesAreNoEvents,
    /// Tells every watcher everything.
    EventsAreUnfiltered,
    /// Begins every watch now, whatever cursor is named.
    WatchesBeginNow,
    /// Does not tell why a lease was evicted.
    EvictionEventsHideWhy,
    /// Tells of a transfer as of a grant.
    TransfersLookLikeGrants,
    /// Does not tell of leases that ran out.
    ExpiriesAreNoEvents,
    /// Tells of a waiter that fell silent as of one that cancelled.
    LapsesLookLikeCancels,

    /// Releases all keys that the key matches as a pattern.
    ReleasesMatchingKeys,
    /// Releases all keys below the key.
    ReleasesKeysBelow,
    /// Takes keys for the same that look the same.
    NormalisesUnicode,
    /// Takes the first five hundred characters for the key.
    TruncatesKeys,
    /// Takes what stands in braces for the key.
    TakesTheTagForTheKey,
    /// Takes keys for the same that differ in case.
    FoldsCase,
    /// Takes owners for the same that differ in case.
    FoldsOwners,
    /// Does not do one release in a thousand.
    LeaksEveryThousandth,

    /// Ends leases when its clock jumps back.
    JumpsBackEndLeases,
    /// Revives leases when its clock jumps back before their end.
    JumpsBackRevive,
    /// Stamps every reply with the time of the first.
    StampsRepliesOnce,
}
