//! The lock state machine: the specification of every backend, in a form that runs.
//!
//! [`KeyState`] is all there is to know of one key. Each of its methods is a command: it takes the
//! present time and the last token in a [`Step`], changes the state, and answers; what others must
//! hear of it is left in the step's [`Effects`]. There is no I/O here, no clock and no randomness,
//! so the same commands at the same times give the same answers everywhere. A behaviour that is not
//! in these files does not exist, and a backend adds none.
//!
//! # The rules
//! 1. **Every command first settles the key**: leases whose time is over end; waiters that were
//!    silent for longer than their keep-alive are dropped, silent heads of the queue first, then the
//!    longest silent, at most [`SWEEP`] a command; then the head of the queue is granted as long as
//!    it fits. So nothing depends on a timer, and no command is slowed down by the length of the
//!    queue.
//! 2. **acquire**: a request that holds gets the same lease again; a request that waits is heard of
//!    and keeps its place; one that fits, when nobody of better or equal rank waits, is granted; the
//!    rest are queued or refused.
//! 3. **A grant is state**: it is written in the same step that freed the key. The notification in
//!    the effects is a hint that may be lost.
//! 4. **A grant to a waiter lasts the claim window**, which is the waiter's keep-alive (or the ttl,
//!    if that is shorter), until the request renews or asks again; only then it is full length.
//! 5. **renew, release and transfer need the holding request**; from anybody else they change
//!    nothing. What is over is never revived. **cancel** ends a request whether it waits or holds.
//! 6. **Tokens** are one more than the last, or the clock in microseconds if that is higher.
//! 7. **Only the clock in the step counts.** It may stand still or jump back: arrivals keep their
//!    order, tokens increase.
//! 8. **The rank of a request is its arrival less its head start**, fixed when it joins the queue;
//!    ties go by arrival. So nobody is overtaken by one that came later by more than the head start.
//! 9. **A newcomer never overtakes the queue unless its rank is better**, not even when it could
//!    share with the present holders.

mod acquire;
mod evict;
mod inspect;
mod queue;
mod release;
mod renew;
mod roster;
mod settle;
mod transfer;

use queue::Queue;
use roster::{Ends, Roster};

use crate::{
    Change, ChangeKind, ChangeKinds, FencingToken, Lease, Mode, Place, RequestId, Timestamp,
};

/// The most silent waiters that one command drops.
pub const SWEEP: usize = 64;

/// All there is to know of one key: who holds it and who waits for it.
///
/// When [`is_idle`](Self::is_idle), it may be forgotten: a new state behaves the same.
#[derive(Clone, Debug, Default)]
pub struct KeyState {
    leases: Roster<Holding>,
    queue: Option<Box<Queue>>,
}

/// A lease and what only the machine needs to know of it.
#[derive(Clone, Debug)]
struct Holding {
    lease: Lease,
    /// Whether the lease is still in its claim window.
    unclaimed: bool,
    /// The request that handed the lease over, by which a repeated transfer is known.
    given_by: Option<RequestId>,
}

impl Ends for Holding {
    fn request(&self) -> RequestId {
        self.lease.request
    }
    fn ends_at(&self) -> Option<Timestamp> {
        self.lease.expires_at
    }
}

/// What a command finds around it, and what it leaves for others.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The store's time.
    pub now: Timestamp,
    /// The last token that the store, or the part of it that has the key, gave out.
    pub last_token: Option<FencingToken>,
    /// What others must hear of.
    pub effects: Effects,
}

impl Step {
    /// A step at the time `now`, after `last_token`, recording changes of the `wanted` kinds.
    #[must_use]
    pub const fn new(
        now: Timestamp,
        last_token: Option<FencingToken>,
        wanted: ChangeKinds,
    ) -> Self {
        let effects = Effects { promoted: Vec::new(), changes: Vec::new(), wanted };
        Self { now, last_token, effects }
    }

    fn next_token(&mut self) -> FencingToken {
        let token = FencingToken::following(self.last_token, self.now);
        self.last_token = Some(token);
        token
    }
}

/// What others must hear of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Effects {
    /// Leases that were granted to requests other than the caller's: wake these.
    pub promoted: Vec<Lease>,
    /// What happened, in order, of the kinds that are wanted.
    pub changes: Vec<Change>,
    wanted: ChangeKinds,
}

impl Effects {
    fn record(&mut self, kind: ChangeKind, change: impl FnOnce() -> Change) {
        if self.wanted.contains(kind) {
            self.changes.push(change());
        }
    }
}

impl KeyState {
    /// Whether nobody holds or waits.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.leases.is_empty() && self.queue.is_none()
    }

    /// Whether a lease of this mode could be alive beside those that are.
    fn fits(&self, mode: Mode) -> bool {
        match (self.leases.first_to_end(), mode) {
            (None, _) => true,
            (Some(holding), Mode::Shared { limit }) if holding.lease.mode == mode => {
                limit.is_none_or(|limit| self.leases.len() < limit.get() as usize)
            }
            (Some(_), Mode::Exclusive | Mode::Shared { .. }) => false,
        }
    }

    /// The place at `position`, with the present holders.
    fn place(&self, position: usize, now: Timestamp) -> Place {
        let waiting = self.queue.as_ref().map_or(0, |queue| queue.len());
        let holder = self.leases.first_to_end().map(|holding| holding.lease.clone());
        Place::new(position as u64, waiting as u64, now)
            .with_holder(self.leases.len() as u64, holder)
    }
}
