//! Rules 3 and 5: a request ends, and the key goes to the head of the queue in the same step.

use super::{KeyState, Step};
use crate::{
    CancelRequest, Cancellation, Change, ChangeKind, End, Release, ReleaseRequest, RequestId,
};

impl KeyState {
    /// Ends the lease.
    pub fn release(&mut self, step: &mut Step, request: &ReleaseRequest) -> Release {
        self.settle(step);
        let lease = &request.lease;
        if self.named(step.now, lease).is_some() {
            self.end_lease(step, lease.request);
            return Release::Released;
        }
        self.end_of_lease(step.now, lease).map_or(Release::NotHeld, Release::Ended)
    }

    /// Ends the request, whether it waits or holds.
    pub fn cancel(&mut self, step: &mut Step, request: &CancelRequest) -> Cancellation {
        self.settle_for(step, request.request);
        let token = self.leases.get(request.request).map(|held| held.lease.token);
        let outcome = if let Some(waiting) = self.leave_queue(step, request.request) {
            step.effects.record(ChangeKind::Cancelled, || Change::Cancelled(waiting.to_waiter()));
            self.promote(step);
            Cancellation::Dequeued
        } else if self.end_lease(step, request.request) {
            Cancellation::Released
        } else {
            Cancellation::Absent
        };
        if request.answer_outstanding {
            self.mark(step.now, request.request, token, End::Cancelled, Some(step.now));
        }
        outcome
    }

    /// Ends the lease of the request as one that its holder gives back; `false` when it has none.
    fn end_lease(&mut self, step: &mut Step, request: RequestId) -> bool {
        let was_held = self.leases.end(request, |record| {
            step.effects.record(ChangeKind::Released, || Change::Released(record.lease.clone()));
        });
        if was_held {
            self.promote(step);
        }
        was_held
    }
}
