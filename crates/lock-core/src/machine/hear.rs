//! Rules 3 and 4: a waiter is kept alive, and a grant is claimed.

use super::{KeyState, Step};
use crate::{HearRequest, Heard};

impl KeyState {
    /// Keeps the request waiting for another keep-alive, or claims the lease that it was granted.
    pub fn hear(&mut self, step: &mut Step, request: &HearRequest) -> Heard {
        self.settle_for(step, request.request);
        if let Some(lease) = self.claim(step.now, request.request, request.mailbox) {
            return Heard::Granted(lease);
        }
        if let Some(position) = self.keep_waiting(step.now, request.request, request.mailbox) {
            return Heard::Queued(position);
        }
        self.end_of(step.now, request.request).map_or(Heard::Absent, Heard::Ended)
    }
}
