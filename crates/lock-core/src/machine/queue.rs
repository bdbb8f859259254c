//! Who waits for a key, in the order in which they will be granted.

use std::fmt;
use std::time::Duration;

use indexset::BTreeSet;

use super::roster::{Ends, Roster};
use crate::{AcquireRequest, HeadStart, KeepAlive, RequestId, Timestamp, Waiter};

/// How many turns share one block of memory; a queue of less costs one block.
const BLOCK: usize = 64;

/// Who waits for a key, in the order in which they will be granted.
///
/// Joining, leaving, being heard of and finding one's position all take O(log n).
#[derive(Clone)]
pub(super) struct Queue {
    waiters: Roster<Waiting>,
    turns: BTreeSet<Turn>,
    arrivals: u64,
    last_arrival: Timestamp,
}

/// A waiting request.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) asked: AcquireRequest,
    pub(super) keep_alive: KeepAlive,
    enqueued_at: Timestamp,
    silent_at: Timestamp,
    turn: Turn,
}

/// When a waiter's turn comes: the lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    rank: Rank,
    arrival: u64,
    request: RequestId,
}

/// A point in time less a head start, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(i64);

fn micros(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Rank {
    fn new(arrival: Timestamp, head_start: HeadStart) -> Self {
        Self(micros(arrival.as_micros()).saturating_sub(micros(head_start.span().as_micros())))
    }
}

impl Ends for Waiting {
    fn request(&self) -> RequestId {
        self.asked.request
    }
    fn ends_at(&self) -> Option<Timestamp> {
        Some(self.silent_at)
    }
}

impl Waiting {
    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        self.silent_at <= now
    }

    /// How long a lease lasts that is handed to this waiter, until it claims it.
    pub(super) fn claim_window(&self) -> Duration {
        let window = self.keep_alive.span();
        self.asked.ttl.span().map_or(window, |ttl| ttl.min(window))
    }

    pub(super) fn to_waiter(&self) -> Waiter {
        let asked = &self.asked;
        let (key, owner) = (asked.key.clone(), asked.owner.clone());
        Waiter::new(key, owner, asked.request, self.enqueued_at, self.silent_at)
            .with_terms(asked.mode, asked.head_start)
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            waiters: Roster::Empty,
            turns: BTreeSet::with_maximum_node_size(BLOCK),
            arrivals: 0,
            last_arrival: Timestamp::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn get(&self, request: RequestId) -> Option<&Waiting> {
        self.waiters.get(request)
    }

    /// Who is next.
    pub(super) fn head(&self) -> Option<&Waiting> {
        self.waiters.get(self.turns.first()?.request)
    }

    /// Who was silent and must go first: the head if it is, else the longest silent.
    pub(super) fn first_silent(&self, now: Timestamp) -> Option<RequestId> {
        let silent = |waiting: &&Waiting| waiting.is_silent(now);
        let head = self.head().filter(silent);
        let waiting = head.or_else(|| self.waiters.first_to_end().filter(silent));
        waiting.map(Ends::request)
    }

    /// The position of a waiting request, the next being 1.
    pub(super) fn position(&self, waiting: &Waiting) -> usize {
        self.turns.rank(&waiting.turn) + 1
    }

    /// The position that a newcomer would have: behind everybody of better or equal rank.
    pub(super) fn position_of_newcomer(&self, now: Timestamp, head_start: HeadStart) -> usize {
        let rank = Rank::new(self.arrival(now), head_start);
        let request = RequestId::from_bits(u128::MAX);
        self.turns.rank(&Turn { rank, arrival: u64::MAX, request }) + 1
    }

    /// When a newcomer arrives: not before who came last, whatever the clock says.
    fn arrival(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_arrival)
    }

    /// Adds a request that does not wait yet, and says who it is now.
    pub(super) fn join(
        &mut self,
        now: Timestamp,
        asked: &AcquireRequest,
        keep_alive: KeepAlive,
    ) -> Waiter {
        self.last_arrival = self.arrival(now);
        self.arrivals += 1;
        let rank = Rank::new(self.last_arrival, asked.head_start);
        let turn = Turn { rank, arrival: self.arrivals, request: asked.request };
        let waiting = Waiting {
            asked: asked.clone(),
            keep_alive,
            enqueued_at: self.last_arrival,
            silent_at: now.after(keep_alive.span()),
            turn,
        };
        let waiter = waiting.to_waiter();
        self.turns.insert(turn);
        self.waiters.insert(waiting);
        waiter
    }

    /// Notes that a waiter was heard of.
    pub(super) fn hear(&mut self, now: Timestamp, request: RequestId) -> Option<&Waiting> {
        self.waiters.update(request, |waiting| {
            waiting.silent_at = now.after(waiting.keep_alive.span());
        })
    }

    /// Takes a waiter out.
    pub(super) fn leave(&mut self, request: RequestId) -> Option<Waiting> {
        let waiting = self.waiters.remove(request)?;
        self.turns.remove(&waiting.turn);
        Some(waiting)
    }

    /// Everybody, the next first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.turns.iter().filter_map(|turn| self.waiters.get(turn.request))
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
