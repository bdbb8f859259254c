//! The waiters of a key, in the order in which they are granted.

use std::fmt;
use std::time::Duration;

use indexset::BTreeSet;

use super::expiry_set::{Expiring, ExpirySet};
use crate::{AcquireRequest, KeepAlive, MailboxId, Mode, OnHeld, RequestId, Timestamp, Waiter};

/// Maximum number of turns in a B-tree node; a shorter queue occupies one node.
const BLOCK: usize = 64;

/// Lead of an upgrade, which ranks before every other request: twice the longest head start.
pub const UPGRADE_LEAD: Duration = Duration::from_secs(7320 * 24 * 60 * 60);

/// The waiters of a key, in the order in which they are granted.
///
/// Joining, leaving, being heard of and finding one's position all take O(log n).
#[derive(Clone)]
pub(super) struct Queue {
    waiters: ExpirySet<QueuedRequest>,
    turns: BTreeSet<Turn>,
    arrivals: Arrivals,
}

/// Number of requests that joined a queue, and the time of the last.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Arrivals {
    count: u64,
    last_at: Timestamp,
}

/// A waiting request.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct QueuedRequest {
    pub(super) request: AcquireRequest,
    silent_at: Timestamp,
    rank: Rank,
    arrival: u64,
}

/// When a waiter's turn comes: the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    rank: Rank,
    arrival: u64,
    request: RequestId,
}

/// A point in time less a head start, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Rank(i64);

fn micros(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Rank {
    fn new(arrival: Timestamp, request: &AcquireRequest) -> Self {
        Self(micros(arrival.as_micros()).saturating_sub(micros(lead(request).as_micros())))
    }
}

/// How much earlier than its arrival a request ranks.
fn lead(request: &AcquireRequest) -> Duration {
    match request.mode {
        Mode::Upgrade { .. } => UPGRADE_LEAD,
        Mode::Exclusive | Mode::Shared { .. } => request.head_start.span(),
    }
}

impl Turn {
    /// The turn that has these parts.
    pub(super) const fn from_parts(rank: i64, arrival: u64, request: RequestId) -> Self {
        Self { rank: Rank(rank), arrival, request }
    }

    /// The parts that [`from_parts`](Self::from_parts) takes.
    pub(super) const fn to_parts(self) -> (i64, u64, RequestId) {
        (self.rank.0, self.arrival, self.request)
    }
}

impl Expiring for QueuedRequest {
    fn request(&self) -> RequestId {
        self.request.id
    }
    fn ends_at(&self) -> Option<Timestamp> {
        Some(self.silent_at)
    }
}

impl QueuedRequest {
    /// Duration of a lease granted to this waiter until it claims it.
    pub(super) fn claim_window(&self) -> Duration {
        let window = self.keep_alive();
        self.request.ttl.span().map_or(window, |ttl| ttl.min(window))
    }

    pub(super) fn to_waiter(&self) -> Waiter {
        let request = &self.request;
        let (key, owner) = (request.key.clone(), request.owner.clone());
        Waiter::new(key, owner, request.id, self.enqueued_at(), self.silent_at)
            .with_session(request.session)
            .with_terms(request.mode, request.head_start)
    }

    fn keep_alive(&self) -> Duration {
        match self.request.on_held {
            OnHeld::Queue { keep_alive, .. } => keep_alive.span(),
            OnHeld::Refuse => Duration::ZERO,
        }
    }

    fn enqueued_at(&self) -> Timestamp {
        let lead = micros(lead(&self.request).as_micros());
        let arrival = self.rank.0.saturating_add(lead);
        Timestamp::from_micros(u64::try_from(arrival).unwrap_or_default())
    }

    /// When the turn of the waiter comes.
    pub(super) const fn turn(&self) -> Turn {
        Turn { rank: self.rank, arrival: self.arrival, request: self.request.id }
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiters: ExpirySet::Empty,
            turns: BTreeSet::with_maximum_node_size(BLOCK),
            arrivals: Arrivals::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn get(&self, request: RequestId) -> Option<&QueuedRequest> {
        self.waiters.get(request)
    }

    /// The waiter that is next.
    pub(super) fn head(&self) -> Option<&QueuedRequest> {
        self.waiters.get(self.turns.first()?.request)
    }

    /// The waiter that must be dropped first: the head if it is silent, else the longest silent.
    pub(super) fn first_silent(&self, now: Timestamp) -> Option<RequestId> {
        let silent = |waiting: &&QueuedRequest| waiting.is_over(now);
        let head = self.head().filter(silent);
        let waiting = head.or_else(|| self.waiters.first_to_end().filter(silent));
        waiting.map(Expiring::request)
    }

    /// When the last waiter is silent.
    pub(super) fn last_end(&self) -> Option<Timestamp> {
        self.waiters.last_to_end().and_then(Expiring::ends_at)
    }

    /// Of the waiters that are alive, the one that would be silent last.
    pub(super) fn last_silent(&self, now: Timestamp) -> Option<&QueuedRequest> {
        self.waiters.last_to_end().filter(|waiting| !waiting.is_over(now))
    }

    /// The position of a waiting request, the next being 1.
    pub(super) fn position(&self, waiting: &QueuedRequest) -> usize {
        self.turns.rank(&waiting.turn()) + 1
    }

    /// The position that a newcomer would have: behind everybody of better or equal rank.
    pub(super) fn position_of_newcomer(&self, now: Timestamp, request: &AcquireRequest) -> usize {
        let rank = Rank::new(self.arrival(now), request);
        let request = RequestId::from_bits(u128::MAX);
        self.turns.rank(&Turn { rank, arrival: u64::MAX, request }) + 1
    }

    /// When a newcomer arrives: not before who came last, whatever the clock says.
    fn arrival(&self, now: Timestamp) -> Timestamp {
        now.max(self.arrivals.last_at)
    }

    /// Adds a request that does not wait yet, and answers with the waiter that it is now.
    pub(super) fn join(
        &mut self,
        now: Timestamp,
        request: &AcquireRequest,
        keep_alive: KeepAlive,
    ) -> Waiter {
        self.arrivals = Arrivals { count: self.arrivals.count + 1, last_at: self.arrival(now) };
        let waiting = QueuedRequest {
            request: request.clone(),
            silent_at: now.after(keep_alive.span()),
            rank: Rank::new(self.arrivals.last_at, request),
            arrival: self.arrivals.count,
        };
        let waiter = waiting.to_waiter();
        self.turns.insert(waiting.turn());
        self.waiters.insert(waiting);
        waiter
    }

    /// Keeps a waiter alive for another keep-alive, and moves its notices to `mailbox`.
    pub(super) fn hear(
        &mut self,
        now: Timestamp,
        request: RequestId,
        mailbox: Option<MailboxId>,
    ) -> Option<&QueuedRequest> {
        self.waiters.update(request, |waiting| {
            waiting.silent_at = now.after(waiting.keep_alive());
            waiting.request.mailbox = mailbox.or(waiting.request.mailbox);
        })
    }

    /// Takes a waiter out.
    pub(super) fn leave(&mut self, request: RequestId) -> Option<QueuedRequest> {
        let waiting = self.waiters.remove(request)?;
        self.turns.remove(&waiting.turn());
        Some(waiting)
    }

    /// All waiters behind `after`, or all, the head first.
    pub(super) fn iter_after(&self, after: Option<Turn>) -> impl Iterator<Item = &QueuedRequest> {
        // The rank of a turn that has left the queue is where it would stand.
        let first = after
            .map_or(0, |after| self.turns.rank(&after) + usize::from(self.turns.contains(&after)));
        self.turns.range_idx(first..).filter_map(|turn| self.waiters.get(turn.request))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter_after(None)).finish()
    }
}

/// A queue as it is written out.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct StoredQueue {
    waiters: Vec<QueuedRequest>,
    arrivals: Arrivals,
}

#[cfg(feature = "serde")]
impl StoredQueue {
    /// The waiters, and what is known of arrivals.
    pub(super) fn into_parts(self) -> (Vec<QueuedRequest>, Arrivals) {
        (self.waiters, self.arrivals)
    }
}

#[cfg(feature = "serde")]
impl Queue {
    /// The form in which the queue is written out.
    pub(super) fn to_stored(&self) -> StoredQueue {
        let waiters = self.iter_after(None).cloned().collect();
        StoredQueue { waiters, arrivals: self.arrivals }
    }

    /// The queue of these waiters.
    pub(super) fn from_parts(waiters: ExpirySet<QueuedRequest>, arrivals: Arrivals) -> Self {
        let mut turns = BTreeSet::with_maximum_node_size(BLOCK);
        for waiting in waiters.iter() {
            turns.insert(waiting.turn());
        }
        Self { waiters, turns, arrivals }
    }
}
