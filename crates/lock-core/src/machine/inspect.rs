//! Inspection of a key.

use super::expiry_set::Expiring;
use super::queue::{QueuedRequest, Turn};
use super::{KeyState, Step};
use crate::{
    Cursor, FencingToken, InspectQuery, Inspection, InvalidInput, Lease, Page, RequestId,
    Timestamp, Violation, Waiter, WaitsOf,
};

/// Maximum number of waiters that one page of an owner's or a session's waiters looks at.
const LOOK_LIMIT: usize = 1000;

impl KeyState {
    /// Shows the leases and a page of the waiters of the key, which this is the state of.
    ///
    /// # Errors
    /// [`InvalidInput`] when the cursor is none that this method wrote.
    pub fn inspect(
        &mut self,
        step: &mut Step,
        query: &InspectQuery,
    ) -> Result<Inspection, InvalidInput> {
        let after = query.cursor.as_ref().map(read_cursor).transpose()?;
        self.settle(step);
        let (now, limit) = (step.now, query.shown());
        let leases = self.leases(now).take(limit).cloned().collect();
        let mut waiters: Vec<&QueuedRequest> =
            self.waiting_after(after, now).take(limit + 1).collect();
        let is_last = waiters.len() <= limit;
        waiters.truncate(limit);
        let next = waiters.last().filter(|_| !is_last).map(|last| write_cursor(last.turn()));
        let waiters = waiters.into_iter().map(QueuedRequest::to_waiter).collect();
        Ok(Inspection::free(query.key.clone())
            .with_leases(self.leases.count_alive(now) as u64, leases)
            .with_waiters(self.waiting() as u64, Page::new(waiters, next)))
    }

    /// A page of at most `limit` of the waiters that are wanted. It looks at no more than a
    /// thousand waiters, so it may be short while it names a next.
    ///
    /// # Errors
    /// [`InvalidInput`] when the cursor is none that this method wrote.
    pub fn waits_of(
        &mut self,
        step: &mut Step,
        of: &WaitsOf,
        cursor: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<Waiter>, InvalidInput> {
        let after = cursor.map(read_cursor).transpose()?;
        self.settle(step);
        let (mut found, mut looked_at) = (Vec::new(), 0);
        let mut last = None;
        for waiting in self.waiting_after(after, step.now) {
            if found.len() == limit || looked_at == LOOK_LIMIT {
                let next = last.map(write_cursor);
                return Ok(Page::new(found, next));
            }
            looked_at += 1;
            last = Some(waiting.turn());
            let waiter = waiting.to_waiter();
            if of.matches(&waiter) {
                found.push(waiter);
            }
        }
        Ok(Page::new(found, None))
    }

    /// The lease that the request holds.
    #[must_use]
    pub fn lease_of(&self, request: RequestId, now: Timestamp) -> Option<&Lease> {
        self.leases.get_alive(request, now).map(|record| &record.lease)
    }

    /// The waiter that the request is, if it is alive at the time `now`.
    #[must_use]
    pub fn waiter_of(&self, request: RequestId, now: Timestamp) -> Option<Waiter> {
        self.waiter(request).filter(|waiting| !waiting.is_over(now)).map(QueuedRequest::to_waiter)
    }

    /// Returns `true` if the key has a queue.
    #[must_use]
    pub const fn has_waiters(&self) -> bool {
        self.queue.is_some()
    }

    /// The leases that are alive at the time `now`, the first to end first.
    pub fn leases(&self, now: Timestamp) -> impl Iterator<Item = &Lease> {
        self.leases.iter_alive(now).map(|record| &record.lease)
    }

    /// The leases that are alive at the time `now`, the lowest token first: all of them, or those
    /// with a higher token than `after`. Finding the first takes O(log n).
    pub fn leases_after(
        &self,
        after: Option<FencingToken>,
        now: Timestamp,
    ) -> impl Iterator<Item = &Lease> {
        let behind = self.leases.iter_after(after).filter(move |record| !record.is_over(now));
        behind.map(|record| &record.lease)
    }

    /// The requests that wait and are alive at the time `now`, the head first.
    pub fn waiters(&self, now: Timestamp) -> impl Iterator<Item = Waiter> {
        self.waiting_after(None, now).map(QueuedRequest::to_waiter)
    }

    fn waiting_after(
        &self,
        after: Option<Turn>,
        now: Timestamp,
    ) -> impl Iterator<Item = &QueuedRequest> {
        let queue = self.queue.iter().flat_map(move |queue| queue.iter_after(after));
        queue.filter(move |waiting| !waiting.is_over(now))
    }
}

fn write_cursor(turn: Turn) -> Cursor {
    let (rank, arrival, request) = turn.to_parts();
    Cursor::new(format!("{rank:x}.{arrival:x}.{request}"))
}

fn read_cursor(cursor: &Cursor) -> Result<Turn, InvalidInput> {
    let parse = || {
        let mut parts = cursor.as_str().splitn(3, '.');
        let rank = i64::from_str_radix(parts.next()?, 16).ok()?;
        let arrival = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Turn::from_parts(rank, arrival, RequestId::parse(parts.next()?).ok()?))
    };
    let violation = Violation::Malformed { expected: "a cursor of this store" };
    parse().ok_or_else(|| InvalidInput::new("cursor", violation))
}
