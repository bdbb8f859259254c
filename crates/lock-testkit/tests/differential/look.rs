//! Inspection of a key, in the naive form of the rules.

use lock_core::{Cursor, Holder, InspectQuery, Inspection, Page, QueuePosition, Timestamp, Waiter};

use super::Command;
use crate::fault::Fault;

impl Command<'_> {
    pub(super) fn position(&self, position: usize) -> QueuePosition {
        let alive = self.alive();
        let holder = alive.first().map(|held| Holder::from(&held.lease));
        let waiting = self.key.queue.len() as u64;
        QueuePosition::new(position as u64, waiting)
            .with_holder(alive.len() as u64, holder)
            .with_next_change_at(self.next_change_at(position))
    }

    fn next_change_at(&self, position: usize) -> Option<Timestamp> {
        let alive = self.alive();
        let head = self.key.queue.first();
        if head.is_some_and(|head| self.is_silent(head) || self.fits(head.request.mode)) {
            return Some(self.now);
        }
        let mut ends = alive.iter().map(|held| held.lease.expires_at);
        let lease = match self.has(Fault::NextChangeIsTheLast) {
            true => ends.next_back(),
            false => ends.next(),
        };
        let head = head.filter(|_| position > 1 && !self.has(Fault::NextChangeIgnoresTheHead));
        let head = head.map(|head| head.shown.silent_at);
        lease.flatten().into_iter().chain(head).min()
    }

    /// The waiters that are alive, the head first.
    pub(crate) fn waiters(&self) -> Vec<Waiter> {
        let alive = self.key.queue.iter().filter(|waiting| !self.is_silent(waiting));
        alive.map(|waiting| waiting.shown.clone()).collect()
    }

    /// The cursor is the number of waiters that were shown before.
    pub(crate) fn inspect(&mut self, query: &InspectQuery) -> Inspection {
        self.settle();
        let alive = self.alive();
        let holders = alive.len() as u64;
        let leases = alive.iter().take(query.shown()).map(|held| held.lease.clone()).collect();
        let overlap = usize::from(self.has(Fault::PagesOverlap));
        let waiters = page(self.waiters(), query.cursor.as_ref(), query.shown(), overlap);
        Inspection::free(query.key.clone())
            .with_leases(holders, leases)
            .with_waiters(self.key.queue.len() as u64, waiters)
    }
}

/// A page that begins this many items before the cursor.
pub(crate) fn page<T>(
    items: Vec<T>,
    cursor: Option<&Cursor>,
    limit: usize,
    overlap: usize,
) -> Page<T> {
    let skipped: usize = cursor.map_or(0, |cursor| cursor.as_str().parse().unwrap());
    let next = (skipped + limit < items.len()).then(|| (skipped + limit).to_string());
    let first = skipped - overlap.min(skipped);
    Page::new(items.into_iter().skip(first).take(limit).collect(), next.map(Cursor::new))
}
