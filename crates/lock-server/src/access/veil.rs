//! What a client is shown of the locks of others.

use std::sync::Arc;

use lock_core::{
    Change, Cursor, Inspection, Lease, LockKey, Page, QueuePosition, RequestId, SessionId, Timed,
    Waiter, Watched,
};

use super::seal::Seal;
use super::{Access, Caller};
use crate::problem::Problem;

/// Shows a client what its token lets it see.
///
/// A request is what its client proves to be its own by: whoever names it renews, releases and
/// transfers the lease. So only operators see requests of others, and sessions, which are named after
/// them; the rest sees pseudonyms. Cursors of stores hold names, and are sealed.
#[derive(Clone, Debug)]
pub(crate) struct Veil {
    seal: Arc<Seal>,
    caller: Caller,
    /// The listing whose pages it shows: a cursor of another is refused.
    listing: &'static str,
}

impl Veil {
    pub(crate) fn new(access: &Access, caller: Caller, listing: &'static str) -> Self {
        Self { seal: Arc::clone(&access.seal), caller, listing }
    }

    /// The cursor of a store from that of a client.
    pub(crate) fn after(&self, cursor: Cursor) -> Result<Cursor, Problem> {
        if self.caller.sees_all() {
            return Ok(cursor);
        }
        let opened = self.seal.opened(self.listing, cursor.as_str()).map(Cursor::new);
        opened.ok_or_else(|| Problem::invalid("`after` is of another listing: begin again"))
    }

    /// The cursor for the client.
    pub(crate) fn next(&self, cursor: Option<Cursor>) -> Option<Cursor> {
        match self.caller.sees_all() {
            true => cursor,
            false => {
                cursor.map(|cursor| Cursor::new(self.seal.closed(self.listing, cursor.as_str())))
            }
        }
    }

    pub(crate) fn covers(&self, key: &LockKey) -> bool {
        self.caller.covers(key)
    }

    pub(crate) fn leases(&self, page: Page<Lease>) -> Page<Lease> {
        let mut items = page.items;
        items.retain(|lease| self.caller.covers(&lease.key));
        items.iter_mut().for_each(|lease| self.lease(lease));
        Page::new(items, self.next(page.next))
    }

    pub(crate) fn waiters(&self, page: Page<Waiter>) -> Page<Waiter> {
        let mut items = page.items;
        items.retain(|waiter| self.caller.covers(&waiter.key));
        items.iter_mut().for_each(|waiter| self.waiter(waiter));
        Page::new(items, self.next(page.next))
    }

    pub(crate) fn inspection(&self, mut seen: Inspection) -> Inspection {
        seen.leases.iter_mut().for_each(|lease| self.lease(lease));
        seen.waiters = self.waiters(seen.waiters);
        seen
    }

    pub(crate) fn lease(&self, lease: &mut Lease) {
        self.hide(&mut lease.request, &mut lease.session);
    }

    fn waiter(&self, waiter: &mut Waiter) {
        self.hide(&mut waiter.request, &mut waiter.session);
    }

    /// The event as the client sees it; `None` if it sees nothing of it.
    pub(crate) fn watched(&self, watched: Watched) -> Option<Watched> {
        let Watched::Event(mut event) = watched else { return Some(watched) };
        let is_shown = self.caller.covers(event.key()) && self.change(&mut event.change);
        is_shown.then_some(Watched::Event(event))
    }

    /// Hides what only holders and operators need; `false` if the change is of a kind whose parts this
    /// does not know.
    fn change(&self, change: &mut Change) -> bool {
        match change {
            Change::Queued(waiter)
            | Change::Cancelled(waiter)
            | Change::Lapsed(waiter)
            | Change::WaiterEvicted { waiter, .. } => self.waiter(waiter),
            Change::Granted(lease)
            | Change::Released(lease)
            | Change::Expired(lease)
            | Change::Evicted { lease, .. } => self.lease(lease),
            Change::Transferred { from, to } => {
                self.lease(from);
                self.lease(to);
            }
            _ => return self.caller.sees_requests(),
        }
        true
    }

    /// The position that a problem tells.
    pub(crate) fn problem(&self, mut problem: Problem) -> Problem {
        // Its words name keys of others.
        if problem.kind == "deadlock" && !self.caller.sees_all() {
            problem.detail = "sessions wait for one another, this one among them".into();
        }
        if let Some(position) = problem.position.as_deref_mut() {
            self.position(position);
        }
        problem
    }

    fn position(&self, position: &mut Timed<QueuePosition>) {
        if let Some(holder) = position.value.holder.as_mut() {
            self.hide(&mut RequestId::from_bits(0), &mut holder.session);
        }
    }

    fn hide(&self, request: &mut RequestId, session: &mut SessionId) {
        if !self.caller.sees_requests() {
            *request = RequestId::from_bits(self.seal.pseudonym(request.to_bits()));
            *session = SessionId::from_bits(self.seal.pseudonym(session.to_bits()));
        }
    }
}
