//! The ways of being broken.

/// Declares the faults, and lists them with what they do.
macro_rules! faults {
    ($(#[doc = $does:literal] $fault:ident,)*) => {
        /// A way of being broken: what the store does that it must not.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $(#[doc = $does] $fault,)*
        }

        impl Fault {
            /// Every fault.
            pub(crate) const ALL: &[Self] = &[$(Self::$fault,)*];

            /// What the store does.
            pub(crate) const fn does(self) -> &'static str {
                match self {
                    $(Self::$fault => $does,)*
                }
            }
        }
    };
}

impl Fault {
    /// Whether the store keeps some commands to the connection that sent them.
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

    /// Whether the fault changes leases that waiters are handed, whoever caused the hand-over.
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
    /// Is not broken.
    None,

    /// Grants a key that is held.
    GrantsHeldKeys,
    /// Looks whether the key is free, and grants it a moment later.
    ChecksThenActs,
    /// Grants a key to every request of the owner that holds it.
    OwnersReenter,
    /// Answers a release and does not do it.
    SwallowsReleases,
    /// Queues those that it refuses.
    RefusalsQueue,

    /// Gives every lease of a key the token of the first.
    TokensStandStill,
    /// Gives the lease after one that ran out the same token.
    TokensRepeatAfterExpiry,
    /// Counts the tokens of a key from one, and again from one after it was free for a second.
    TokensRestartWhenForgotten,
    /// Gives a waiter that it hands a lease the token of the last lease.
    PromotionsKeepTheToken,
    /// Gives the receiver of a transfer the token of the giver.
    TransfersKeepTheToken,
    /// Gives the lease after one that was evicted the same token.
    TokensRepeatAfterEviction,
    /// Counts tokens on from the highest that a double holds.
    TokensBeyondDoubles,
    /// Makes tokens of its clock alone.
    TokensAreTheClock,
    /// Makes tokens of its clock alone when that jumped back.
    TokensFollowTheClockBack,

    /// Ends leases a little too early.
    EndsLeasesEarly,
    /// Ends leases a little too late.
    LeasesLinger,
    /// Makes short leases a little longer.
    RaisesShortTtls,
    /// Makes no lease longer than a day.
    CapsLongTtls,
    /// Ends a lease that never ends after a second.
    NeverMeansASecond,
    /// Lets no lease end for which somebody waits.
    WaitersProlongLeases,
    /// Says that every lease has the default ttl.
    TellsADefaultTtl,
    /// Makes leases last whole seconds.
    RoundsTtlsUpToSeconds,

    /// Answers a renewal and does not do it.
    RenewsInNameOnly,
    /// Renews by the ttl that was asked for first.
    RenewalsKeepTheTtl,
    /// Lets a late renewal revive a lease that ran out.
    RevivesExpiredLeases,
    /// Lets a late renewal revive a lease that was released.
    RevivesReleasedLeases,
    /// Lets a late renewal revive a lease that was evicted.
    RevivesEvictedLeases,
    /// Renews whatever lease there is for a request that never held.
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
    /// Says that a lease was released as often as it is asked to.
    RepeatedReleasesSucceed,
    /// Says that a request was cancelled as often as it is asked to.
    RepeatedCancelsSucceed,
    /// Does not know whom a giver gave its lease.
    ForgetsTransfers,

    /// Grants to who came last.
    LifoQueue,
    /// Takes everybody for equally urgent.
    IgnoresHeadStart,
    /// Takes a head start for a thousand times as much.
    StrictPriority,
    /// Takes head starts for multiples of ten milliseconds.
    RoundsHeadStarts,
    /// Grants to the last of those of equal rank.
    TiesGoToTheLast,
    /// Lets newcomers take a key that a waiter was handed and did not claim yet.
    NewcomersBarge,
    /// Ranks those who come after the clock jumped back before the others.
    RanksByTheClock,
    /// Counts positions from zero.
    TellsPositionsFromZero,
    /// Tells a waiter the position that it had at first.
    PositionsStandStill,
    /// Tells everybody the last position.
    TellsTheEndOfTheQueue,
    /// Tells those that it refuses that nobody waits.
    HidesTheQueueFromTheRefused,
    /// Lets a queue grow beyond what a request allows.
    IgnoresQueueLimits,
    /// Finds a queue full of waiters that fell silent long ago.
    CountsTheDead,
    /// Lets no more than two hundred wait.
    RefusesLongQueues,
    /// Grants readers beyond the first hundred of a queue one at a time.
    LateReadersWaitAlone,
    /// Counts leases that are over when there are many.
    CrowdsOfTheDeadCount,
    /// Names the end of the lease as the next change, although the head falls silent before.
    OverlooksTheSilenceOfTheHead,

    /// Leaves a released key with nobody until a waiter asks.
    HandsOverOnlyWhenAsked,
    /// Lets writers that waited hold a key together.
    QueuedWritersShare,
    /// Tells all waiters of the lease of one.
    TellsEverybodyOfTheGrant,
    /// Takes a lease back from a waiter whose mailbox is not open when it is handed to it.
    GrantsAreMessages,
    /// Tells no waiter of its grant.
    TellsNoGrants,
    /// Tells of the grants only that the mailbox's own connection caused.
    TellsOwnGrants,
    /// Tells no holder of its eviction.
    TellsNoEvictions,
    /// Tells no waiter of its eviction.
    TellsNoEvictedWaiters,
    /// Tells no waiter to ask.
    TellsNobodyToAsk,
    /// Does not tell the giver of a transfer.
    TellsGiversNothing,
    /// Does not tell the receiver of a transfer.
    TellsReceiversNothing,
    /// Tells of the end of a lease in the mailbox of its request, wherever it was renewed from.
    RenewalsKeepTheMailbox,
    /// Tells a waiter in the mailbox of its request, wherever it was heard from.
    HearingsKeepTheMailbox,
    /// Tells nothing to a mailbox that is opened again.
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
    /// Does not know a request any more that was granted, when it is heard.
    HearingsForgetGrants,
    /// Says of requests that it does not know that they wait, when they are heard.
    HearsTheUnknown,
    /// Takes a waiter that fell silent back into the queue when it is heard.
    HearingsTakeTheSilentBack,
    /// Answers a batch of hearings in reverse.
    AnswersHearingsInReverse,
    /// Gives a waiter that it hands a lease the whole ttl at once.
    GrantsNeedNoClaim,
    /// Gives a waiter at once a lease that never ends.
    NeverEndingGrantsNeedNoClaim,
    /// Gives a waiter the whole claim window, however short its ttl.
    ClaimWindowsIgnoreTheTtl,
    /// Leaves a lease in its claim window when it is renewed.
    RenewalsDoNotClaim,
    /// Leaves a lease in its claim window when its request asks again.
    AskingAgainDoesNotClaim,

    /// Answers a cancel of a waiter and does not do it.
    SwallowsCancels,
    /// Does not cancel what was granted.
    CancelOnlyDequeues,
    /// Says that requests were cancelled that it does not know.
    CancelsAlwaysSucceed,
    /// Takes waiters that cancel out of the queue at the next release.
    CancelledHeadsBlock,
    /// Acts on a request although the call was dropped and the request cancelled.
    DroppedAcquiresActLate,
    /// Cancels all waiters with one.
    CancelsEmptyTheQueue,
    /// Cancels all requests of an owner for a key with one.
    CancelsTheOwnersOtherRequests,
    /// Cancels the requests of an owner for other keys with one.
    CancelsTheOwnersOtherKeys,

    /// Releases whatever lease there is.
    ReleasesForAnybody,
    /// Lets a late release end the lease of the next holder.
    ReleasesTheSuccessor,
    /// Says that a lease was released that had run out.
    ReleasesWhatIsOver,
    /// Lets a waiter release the lease that it waits for.
    WaitersMayRelease,
    /// Says that a lease was released where there was none.
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
    /// Grants those that share a key one at a time when they waited.
    QueuedReadersWaitAlone,

    /// Hands a transferred lease to the head of the queue.
    TransfersGoToTheHead,
    /// Hands leases to waiters only.
    TransfersOnlyToWaiters,
    /// Hands the lease of the holder over for anybody.
    TransfersForAnybody,
    /// Releases a lease that could not be handed over.
    FailedTransfersRelease,
    /// Releases a lease that was to be handed to one that holds.
    TransfersToHoldersRelease,
    /// Lets who gave its lease away renew it.
    GiversGoOnRenewing,
    /// Gives a waiter that a lease is transferred to the whole ttl at once.
    TransfersNeedNoClaim,
    /// Hands a lease to a waiter that asked for another mode.
    TransfersIgnoreModes,

    /// Answers an eviction and does not do it.
    SwallowsEvictions,
    /// Evicts the waiters too.
    EvictionsEmptyTheQueue,
    /// Evicts all when one is named.
    EvictsAll,
    /// Evicts a named request that waits.
    EvictsWaiters,
    /// Does not evict a lease that never ends.
    EvictsOnlyWhatEnds,
    /// Cancels all waiters when one is evicted.
    EvictedWaitersTakeAllAlong,
    /// Says of every eviction that nothing is left.
    NeverSaysThatMoreAreLeft,

    /// Renews the lease that the request holds, whatever token is named.
    RenewsByRequest,
    /// Releases the lease that the request holds, whatever token is named.
    ReleasesByRequest,
    /// Hands over the lease that the request holds, whatever token is named.
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
    /// Answers a hearing after an eviction without the end.
    HearingsHideTheEnd,
    /// Does not remember who handed a lease over.
    TransfersLeaveNoMark,
    /// Refuses all requests of an owner of which one was evicted.
    MarksHitTheOwner,
    /// Refuses a request that was evicted for ever.
    MarksLastForEver,
    /// Refuses a request that was evicted for five minutes, however long its lease was.
    MarksLastFiveMinutes,
    /// Hands leases to requests that were ended.
    TransfersPassMarksBy,
    /// Does not remember a cancel that says that an answer is outstanding.
    CancelsLeaveNoMark,

    /// Hears a request only by the connection that sent it first.
    ConnectionsOwnRequests,
    /// Is not broken, although each connection has a replica.
    CachesNothing,
    /// Keeps what a connection was granted at once to the connection.
    CachesAcquires,
    /// Keeps what a connection queued to the connection.
    CachesWaiters,
    /// Keeps hearings of waiters to the connection.
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
    /// Stamps what it shows by a clock that is an hour fast.
    StampsLooksByAnotherClock,
    /// Shows leases that ran out.
    ShowsTheDead,
    /// Shows a key as it was before what was due.
    LooksWithoutSettling,
    /// Finds one wait of an owner.
    FindsOneWait,
    /// Finds the waiters of the whole owner for one of its sessions.
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
