//! Rules 4 and 5: a lease lasts longer for the request that holds it, and for no other.

use super::{KeyState, LeaseRecord, Step};
use crate::{LeaseName, RenewRequest, Renewal, Timestamp};

impl KeyState {
    /// Makes the lease last its ttl from now.
    pub fn renew(&mut self, step: &mut Step, request: &RenewRequest) -> Renewal {
        self.settle(step);
        if self.named(step.now, &request.lease).is_none() {
            let end = self.end_of_lease(step.now, &request.lease);
            return end.map_or(Renewal::NotHeld, Renewal::Ended);
        }
        let expires_at = request.ttl.span().map(|span| step.now.after(span));
        self.leases.update(request.lease.request, |record| {
            record.unclaimed = false;
            record.lease.ttl = request.ttl;
            record.lease.expires_at = expires_at;
            record.mailbox = request.mailbox.or(record.mailbox);
        });
        Renewal::Renewed { expires_at }
    }

    /// The lease of this name, if it is alive.
    pub(super) fn named(&self, now: Timestamp, name: &LeaseName) -> Option<&LeaseRecord> {
        let held = self.leases.get_alive(name.request, now)?;
        (held.lease.token == name.token).then_some(held)
    }
}
