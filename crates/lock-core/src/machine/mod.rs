//! The lock state machine: the specification of every backend, in a form that runs.
//!
//! [`KeyState`] is the whole state of one key. Each of its methods is a command: it takes the
//! present time and the last token in a [`Step`], changes the state, and answers; messages to
//! others are left in the step's [`Effects`]. There is no I/O here, no clock and no randomness, so
//! the same commands at the same times give the same answers everywhere. A behaviour that is not in
//! these files does not exist, and a backend adds none.
//!
//! # The rules
//! 1. **Every command first settles the key.** Leases that are over end, the longest over first;
//!    waiters that were silent for their keep-alive are dropped, silent heads of the queue first,
//!    then the longest silent; then the head of the queue is granted as long as it fits. At most
//!    [`SWEEP_LIMIT`] waiters are dropped and as many granted in a step, so no command is slowed down
//!    by the length of the queue. If more could be granted, the next head is notified
//!    to [ask](Notice::Ask); if more are dead, the waiter that lives longest. All leases that are
//!    over end in one step: one that a clock which jumps back revived would stand beside others.
//!    Nothing depends on a timer.
//! 2. **acquire**: a request that holds gets the same lease again; a request that waits is heard
//!    and keeps its place; one that fits, when no request of better or equal rank waits, is
//!    granted; the rest are queued or refused. It is the only command that joins a queue.
//! 3. **A grant is state**: it is written in the same step that freed the key. The notice in the
//!    effects is a hint that may be lost.
//! 4. **A grant to a waiter lasts the claim window**, which is the waiter's keep-alive (or the ttl,
//!    if that is shorter), until the request is heard, asks again or renews; only then it is full
//!    length.
//! 5. **renew, release and transfer need the name of the lease**: key, request and token. For any
//!    other they change nothing. A lease that is over is never revived. **cancel** ends a request
//!    whether it waits or holds.
//! 6. **Tokens** are one more than the last, or the clock in microseconds if that is higher. A clock
//!    that is past the year 2219 counts as that year, so that it uses up no tokens.
//! 7. **Only the clock in the step counts.** It may stand still or jump back: arrivals keep their
//!    order, tokens increase.
//! 8. **The rank of a request is its arrival less its head start**, fixed when it joins the queue;
//!    ties go by arrival. So no request is overtaken by one that came later by more than its head
//!    start.
//! 9. **A newcomer never overtakes the queue unless its rank is better**, not even when it could
//!    share with the present holders.
//! 10. **A position names the next instant at which time alone can lead to a grant**: the end of the
//!     lease that ends first, or the silence of the head of the queue; the present while dead waiters
//!     are still dropped. Waiters further ahead may fall silent before, which changes the position
//!     and nothing else.
//! 11. **Every reply is at the time of its step**, from which a client counts what its lease lasts.
//! 12. **A forced end pushes an [`Ended`](crate::Notice::Ended) notice**, with who and why, to the
//!     mailbox of the lease or the waiter, in the effects of the same step.
//! 13. **A request that was ended by force leaves a mark**, and so does a request that was cancelled
//!     while an answer is outstanding. An acquire of a marked request takes nothing, and nothing is
//!     transferred to it; acquire, hear, renew, release and transfer are answered with its end.
//!     A mark lasts [`MARK_SPAN`], after a forced end at least as long as the lease or the place
//!     would have lasted, at most [`MARK_MAX_SPAN`]; a key keeps at most [`MARK_LIMIT`] of them, and
//!     drops the first to end.
//! 14. **An [upgrade](crate::Mode::Upgrade) takes the place of a lease that its holder has.** It fits
//!     beside that lease alone, and its grant ends the lease in the same step. It ranks before every
//!     other request, since whoever was ahead would wait for the lease. So there is one at a time:
//!     another is refused while it waits, as neither would give way. An upgrade whose lease ends
//!     keeps its place.
//! 15. **A holder can be asked to release.** The [notice](crate::Notice::Wanted) is all that happens:
//!     no state tells of it, and whoever asks repeats it.

mod acquire;
mod appeal;
mod evict;
mod expiry_set;
mod hear;
mod inspect;
mod leases;
mod mark;
mod queue;
mod release;
mod renew;
mod settle;
#[cfg(feature = "serde")]
mod stored;
mod transfer;
mod upgrade;

pub use queue::UPGRADE_LEAD;

pub use mark::{MARK_LIMIT, MARK_MAX_SPAN, MARK_SPAN};

use expiry_set::{Expiring, ExpirySet};
use leases::Leases;
use mark::Mark;
use queue::Queue;

use crate::{
    Change, ChangeKind, ChangeKinds, FencingToken, Grant, Holder, Lease, MailboxId, Mode, Notice,
    OwnerId, QueuePosition, RequestId, SessionId, Timestamp,
};

/// Maximum number of waiters and of marks that one step drops, and of waiters that it grants.
pub const SWEEP_LIMIT: usize = 64;
/// Maximum number of leases that one eviction ends.
pub const EVICT_LIMIT: usize = 64;

/// All there is to know of one key: its leases, its waiters and its marks.
///
/// When [`is_idle`](Self::is_idle), it may be forgotten: a new state behaves the same.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "stored::Stored", into = "stored::Stored"))]
pub struct KeyState {
    leases: Leases,
    queue: Option<Box<Queue>>,
    marks: Option<Box<ExpirySet<Mark>>>,
}

/// A lease with the state that only the machine needs.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct LeaseRecord {
    lease: Lease,
    mailbox: Option<MailboxId>,
    /// `true` while the lease is in its claim window.
    unclaimed: bool,
    /// The request and the token that handed the lease over, by which a repeated transfer is known.
    given_by: Option<(RequestId, FencingToken)>,
}

impl Expiring for LeaseRecord {
    fn request(&self) -> RequestId {
        self.lease.request
    }
    fn ends_at(&self) -> Option<Timestamp> {
        self.lease.expires_at
    }
}

/// Context of a command: its time, its bounds and its effects on others.
///
/// Several commands may share a step, as in a batch: then they share its bounds, too. A command
/// must not be run in a step that [is spent](Self::is_spent).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The store's time.
    pub now: Timestamp,
    /// The last token that the store, or the part of it that has the key, gave out.
    pub last_token: Option<FencingToken>,
    /// Notices and events for others.
    pub effects: Effects,
    left: Bounds,
}

/// Remaining work that a step may do for others.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    waiters: usize,
    marks: usize,
    grants: usize,
}

impl Step {
    /// A step at the time `now`, after `last_token`, recording changes of the `wanted` kinds.
    #[must_use]
    #[inline]
    pub const fn new(
        now: Timestamp,
        last_token: Option<FencingToken>,
        wanted: ChangeKinds,
    ) -> Self {
        let effects = Effects {
            notices: Vec::new(),
            changes: Vec::new(),
            joined: Vec::new(),
            left: Vec::new(),
            wanted,
        };
        let most = SWEEP_LIMIT;
        let left = Bounds { waiters: most, marks: most, grants: most };
        Self { now, last_token, effects, left }
    }

    /// Returns `true` if the bounds of the step are exhausted; further commands belong in the next
    /// step.
    #[must_use]
    pub const fn is_spent(&self) -> bool {
        let Bounds { waiters, marks, grants } = self.left;
        waiters == 0 || marks == 0 || grants == 0
    }

    fn next_token(&mut self) -> FencingToken {
        let token = FencingToken::following(self.last_token, self.now);
        self.last_token = Some(token);
        token
    }
}

/// Takes one from a bound, unless nothing is left.
const fn take(bound: &mut usize) -> bool {
    let is_left = *bound > 0;
    if is_left {
        *bound -= 1;
    }
    is_left
}

/// Notices and events for others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Effects {
    /// Notices, each with the mailbox that it is for.
    pub notices: Vec<(MailboxId, Notice)>,
    /// Changes of the kinds that are wanted, in the order in which they happened.
    pub changes: Vec<Change>,
    /// Owners, sessions and identities of the requests that joined the queue, for a store that finds
    /// waiters by an index.
    pub joined: Vec<(OwnerId, SessionId, RequestId)>,
    /// Owners, sessions and identities of the requests that left the queue.
    pub left: Vec<(OwnerId, SessionId, RequestId)>,
    wanted: ChangeKinds,
}

impl Effects {
    fn record(&mut self, kind: ChangeKind, change: impl FnOnce() -> Change) {
        if self.wanted.contains(kind) {
            self.changes.push(change());
        }
    }

    fn tell(&mut self, mailbox: Option<MailboxId>, notice: impl FnOnce() -> Notice) {
        if let Some(mailbox) = mailbox {
            self.notices.push((mailbox, notice()));
        }
    }

    fn tell_grant(&mut self, record: &LeaseRecord) {
        let Lease { request, token, granted_at, expires_at, .. } = record.lease;
        self.tell(record.mailbox, || {
            let grant = Grant::new(record.lease.key.clone(), request, token, granted_at);
            Notice::Granted(grant.with_expires_at(expires_at))
        });
    }
}

impl KeyState {
    /// Returns `true` if there is no lease, no waiter and no mark.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.leases.is_empty() && self.queue.is_none() && self.marks.is_none()
    }

    /// Returns `true` if an exclusive lease is alive.
    fn is_exclusive(&self, now: Timestamp) -> bool {
        self.leases.first_alive(now).is_some_and(|record| record.lease.mode == Mode::Exclusive)
    }

    /// Returns `true` if a request of this mode could be granted beside the leases that are alive.
    fn fits(&self, mode: Mode, now: Timestamp) -> bool {
        // Those that are alive share one mode; those that are over may have had another.
        let Some(first) = self.leases.first_alive(now) else { return true };
        match mode {
            Mode::Shared { limit } if first.lease.mode == mode => {
                limit.is_none_or(|limit| self.leases.count_alive(now) < limit.get() as usize)
            }
            Mode::Upgrade { request, token } => {
                first.lease.request == request
                    && first.lease.token == token
                    && self.leases.count_alive(now) == 1
            }
            Mode::Exclusive | Mode::Shared { .. } => false,
        }
    }

    /// The number of waiters, dead ones included until they are dropped.
    fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// The position of a request that waits at `position`, or would.
    fn position(&self, position: usize, now: Timestamp) -> QueuePosition {
        let first = self.leases.first_alive(now);
        QueuePosition::new(position as u64, self.waiting() as u64)
            .with_holder(
                self.leases.count_alive(now) as u64,
                first.map(|record| Holder::from(&record.lease)),
            )
            .with_next_change_at(self.next_change_at(position, now))
    }

    /// The next instant at which time alone can lead to a grant of the request at `position`.
    fn next_change_at(&self, position: usize, now: Timestamp) -> Option<Timestamp> {
        let head = self.queue.as_ref().and_then(|queue| queue.head());
        if head.is_some_and(|head| head.is_over(now) || self.fits(head.request.mode, now)) {
            return Some(now);
        }
        let lease_ends = self.leases.first_alive(now).and_then(Expiring::ends_at);
        let head_ends = head.filter(|_| position > 1).and_then(Expiring::ends_at);
        lease_ends.into_iter().chain(head_ends).min()
    }
}
