//! Rules 3 and 5: a request ends, and the key goes to the next in the same step.

use super::{KeyState, Step};
use crate::{Cancellation, Change, ChangeKind, Release, RequestId};

impl KeyState {
    /// Ends the lease that the request holds.
    pub fn release(&mut self, step: &mut Step, request: RequestId) -> Release {
        self.settle(step);
        self.release_settled(step, request)
    }

    /// Ends the request, whether it waits or holds.
    pub fn cancel(&mut self, step: &mut Step, request: RequestId) -> Cancellation {
        self.settle(step);
        if let Some(waiting) = self.leave_queue(request) {
            step.effects.record(ChangeKind::Cancelled, || Change::Cancelled(waiting.to_waiter()));
            self.promote(step);
            return Cancellation::Dequeued;
        }
        match self.release_settled(step, request) {
            Release::Released => Cancellation::Released,
            Release::NotHeld => Cancellation::Absent,
        }
    }

    fn release_settled(&mut self, step: &mut Step, request: RequestId) -> Release {
        let was_held = self.leases.end(request, |holding| {
            step.effects.record(ChangeKind::Released, || Change::Released(holding.lease.clone()));
        });
        if !was_held {
            return Release::NotHeld;
        }
        self.promote(step);
        Release::Released
    }
}
