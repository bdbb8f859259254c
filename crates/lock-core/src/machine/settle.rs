//! Rule 1: every command first drops what is over, then grants the key to the head of the queue.

use super::queue::Waiting;
use super::{Holding, KeyState, SWEEP, Step};
use crate::{Change, ChangeKind, Lease};

impl KeyState {
    /// Ends what is over at the time of the step, and grants the key on.
    pub fn settle(&mut self, step: &mut Step) {
        self.expire(step);
        if self.queue.is_some() {
            self.drop_silent(step);
            self.promote(step);
        }
    }

    fn expire(&mut self, step: &mut Step) {
        while let Some(first) = self.leases.first_to_end()
            && first.lease.is_over(step.now)
        {
            let request = first.lease.request;
            let Some(over) = self.leases.remove(request) else { break };
            step.effects.record(ChangeKind::Expired, || Change::Expired(over.lease));
        }
    }

    fn drop_silent(&mut self, step: &mut Step) {
        let Some(queue) = &mut self.queue else { return };
        for _ in 0..SWEEP {
            let silent = queue.first_silent(step.now).and_then(|request| queue.leave(request));
            let Some(silent) = silent else { break };
            step.effects.record(ChangeKind::Lapsed, || Change::Lapsed(silent.to_waiter()));
        }
    }

    /// Grants the key to the head of the queue, as long as there is one that is alive and fits.
    pub(super) fn promote(&mut self, step: &mut Step) {
        while let Some(queue) = &self.queue
            && let Some(head) = queue.head()
            && !head.is_silent(step.now)
            && self.fits(head.asked.mode)
        {
            let request = head.asked.request;
            let Some(waiting) = self.leave_queue(request) else { break };
            let lease = waiting.granted(step);
            step.effects.record(ChangeKind::Granted, || Change::Granted(lease.clone()));
            step.effects.promoted.push(lease.clone());
            self.leases.insert(Holding { lease, unclaimed: true, given_by: None });
        }
        self.forget_empty_queue();
    }

    /// Takes a waiter out of the queue.
    pub(super) fn leave_queue(&mut self, request: crate::RequestId) -> Option<Waiting> {
        self.queue.as_mut()?.leave(request)
    }

    /// A queue exists only while somebody waits.
    pub(super) fn forget_empty_queue(&mut self) {
        if self.queue.as_ref().is_some_and(|queue| queue.is_empty()) {
            self.queue = None;
        }
    }
}

impl Waiting {
    /// The lease that this waiter is handed, which lasts the claim window.
    pub(super) fn granted(&self, step: &mut Step) -> Lease {
        let window = step.now.after(self.claim_window());
        Lease::granted(&self.asked, step.next_token(), step.now).with_expires_at(Some(window))
    }
}
