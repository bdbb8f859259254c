//! Rule 1: every command first drops what is over, then grants the key to the head of the queue.

use std::time::Duration;

use super::expiry_set::Expiring;
use super::queue::QueuedRequest;
use super::{KeyState, LeaseRecord, Step, take};
use crate::{AcquireRequest, Change, ChangeKind, Lease, Notice, RequestId, Timestamp};

impl KeyState {
    /// Drops what is over at the time of the step, and grants the key on.
    pub fn settle(&mut self, step: &mut Step) {
        self.drop_over(step);
        if self.queue.is_some() {
            self.drop_silent(step);
            self.promote(step);
        }
        if self.marks.is_some() {
            self.drop_marks(step);
        }
    }

    /// Returns `true` only if [`settle`](Self::settle) would do nothing at `now`; `false` is
    /// conservative.
    #[must_use]
    pub fn is_settled(&self, now: Timestamp) -> bool {
        self.queue.is_none()
            && self.marks.is_none()
            && self.leases.first_to_end().is_none_or(|first| !first.is_over(now))
    }

    /// Returns `true` if every waiter has been dead for `span` at `now`.
    #[must_use]
    pub fn is_abandoned(&self, now: Timestamp, span: Duration) -> bool {
        let last = self.queue.as_ref().and_then(|queue| queue.last_end());
        last.is_none_or(|end| end.after(span) <= now)
    }

    /// Settles the key, and drops what the request had and lost by time: it is as if it had never
    /// been.
    pub(super) fn settle_for(&mut self, step: &mut Step, request: RequestId) {
        self.settle(step);
        if self.leases.get(request).is_some_and(|held| held.is_over(step.now)) {
            self.expire(step, request);
        }
        if self.waiter(request).is_some_and(|waiting| waiting.is_over(step.now)) {
            self.lapse(step, request);
            self.promote(step);
        }
    }

    fn drop_over(&mut self, step: &mut Step) {
        while let Some(first) = self.leases.first_to_end()
            && first.is_over(step.now)
        {
            self.expire(step, first.request());
        }
    }

    fn drop_silent(&mut self, step: &mut Step) {
        while let Some(queue) = &self.queue
            && let Some(silent) = queue.first_silent(step.now)
            && take(&mut step.left.waiters)
        {
            self.lapse(step, silent);
        }
    }

    fn expire(&mut self, step: &mut Step, request: RequestId) {
        if let Some(over) = self.leases.remove(request) {
            step.effects.record(ChangeKind::Expired, || Change::Expired(over.lease));
        }
    }

    fn lapse(&mut self, step: &mut Step, request: RequestId) {
        if let Some(silent) = self.leave_queue(step, request) {
            step.effects.record(ChangeKind::Lapsed, || Change::Lapsed(silent.to_waiter()));
        }
    }

    /// Grants the key to the head of the queue, as long as it is alive and fits.
    pub(super) fn promote(&mut self, step: &mut Step) {
        while let Some(queue) = &self.queue
            && let Some(head) = queue.head()
            // Beside an exclusive lease no waiter fits, dead or alive.
            && !self.is_exclusive(step.now)
        {
            if head.is_over(step.now) {
                // More dead waiters than a step drops: the one that lives longest goes on.
                if let Some(last) = queue.last_silent(step.now) {
                    let (key, request) = (last.request.key.clone(), last.request.id);
                    step.effects.tell(last.request.mailbox, || Notice::Ask { key, request });
                }
                return;
            }
            if !self.fits(head.request.mode, step.now) {
                return;
            }
            let (request, mailbox) = (head.request.id, head.request.mailbox);
            if !take(&mut step.left.grants) {
                let key = head.request.key.clone();
                step.effects.tell(mailbox, || Notice::Ask { key, request });
                return;
            }
            let Some(waiting) = self.leave_queue(step, request) else { return };
            self.end_upgraded(step, waiting.request.mode);
            let lease = waiting.granted(step);
            step.effects.record(ChangeKind::Granted, || Change::Granted(lease.clone()));
            let record = LeaseRecord { lease, mailbox, unclaimed: true, given_by: None };
            step.effects.tell_grant(&record);
            self.put(record);
        }
    }

    /// Adds a lease, in the place of one of the same request that is over and was not dropped yet.
    pub(super) fn put(&mut self, record: LeaseRecord) {
        self.leases.remove(record.lease.request);
        self.leases.insert(record);
    }

    /// The request if it waits, dead or alive.
    pub(super) fn waiter(&self, request: RequestId) -> Option<&QueuedRequest> {
        self.queue.as_ref()?.get(request)
    }

    /// Takes a waiter out of the queue, which exists only while it has waiters.
    pub(super) fn leave_queue(
        &mut self,
        step: &mut Step,
        request: RequestId,
    ) -> Option<QueuedRequest> {
        let queue = self.queue.as_mut()?;
        let waiting = queue.leave(request)?;
        if queue.is_empty() {
            self.queue = None;
        }
        let AcquireRequest { owner, session, id, .. } = &waiting.request;
        step.effects.left.push((owner.clone(), *session, *id));
        Some(waiting)
    }
}

impl QueuedRequest {
    /// The lease that this waiter is handed, which lasts the claim window.
    pub(super) fn granted(&self, step: &mut Step) -> Lease {
        let window = step.now.after(self.claim_window());
        Lease::granted(&self.request, step.next_token(), step.now).with_expires_at(Some(window))
    }
}
