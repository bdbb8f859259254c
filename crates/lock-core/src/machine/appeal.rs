//! Rule 15: the holders are asked to release the key.

use super::{EVICT_LIMIT, KeyState, Step};
use crate::{Holder, Notice, ReleaseAppeal, ReleaseRequested};

impl KeyState {
    /// Asks the holders to release the key, the first to end first.
    pub fn request_release(&mut self, step: &mut Step, appeal: &ReleaseAppeal) -> ReleaseRequested {
        self.settle(step);
        let mut holders = Vec::new();
        for record in self.leases.iter_alive(step.now).take(EVICT_LIMIT) {
            if appeal.up_to.is_some_and(|last| record.lease.token > last) {
                continue;
            }
            step.effects.tell(record.mailbox, || Notice::Wanted {
                key: appeal.key.clone(),
                request: record.lease.request,
                token: record.lease.token,
                by: appeal.by.clone(),
                reason: appeal.reason.clone(),
                within: appeal.within,
            });
            holders.push(Holder::from(&record.lease));
        }
        let more = self.leases.count_alive(step.now) > EVICT_LIMIT;
        ReleaseRequested::new(holders, more)
    }
}
