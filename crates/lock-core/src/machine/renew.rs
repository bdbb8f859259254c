//! Rules 4 and 5: a lease lasts longer for the request that holds it, and for nobody else.

use super::{KeyState, Step};
use crate::{RenewRequest, Renewal};

impl KeyState {
    /// Makes the lease last its ttl from now.
    pub fn renew(&mut self, step: &mut Step, renewal: &RenewRequest) -> Renewal {
        self.settle(step);
        let renewed = self.leases.update(renewal.request, |holding| {
            holding.unclaimed = false;
            holding.lease.ttl = renewal.ttl;
            holding.lease.expires_at = renewal.ttl.span().map(|span| step.now.after(span));
        });
        match renewed {
            Some(holding) => Renewal::Renewed(holding.lease.clone()),
            None => Renewal::NotHeld,
        }
    }
}
