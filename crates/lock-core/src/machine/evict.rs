//! An operator takes leases away, with who and why.

use super::{KeyState, Step};
use crate::{Change, ChangeKind, EvictRequest, Eviction, RequestId};

impl KeyState {
    /// Ends the lease of the named request, or all, and grants the key on.
    pub fn evict(&mut self, step: &mut Step, eviction: &EvictRequest) -> Eviction {
        self.settle(step);
        let targets: Vec<RequestId> = match eviction.request {
            Some(request) => vec![request],
            None => self.leases.iter().map(|holding| holding.lease.request).collect(),
        };
        let evicted = targets.into_iter().filter_map(|request| self.leases.remove(request));
        let leases: Vec<_> = evicted.map(|holding| holding.lease).collect();
        for lease in &leases {
            step.effects.record(ChangeKind::Evicted, || Change::Evicted {
                lease: lease.clone(),
                by: eviction.by.clone(),
                reason: eviction.reason.clone(),
            });
        }
        self.promote(step);
        Eviction::new(leases)
    }
}
