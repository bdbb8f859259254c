//! Rules 12 and 13: an operator ends leases or a waiter, with who and why.

use super::expiry_set::Expiring;
use super::{EVICT_LIMIT, KeyState, Step};
use crate::{
    Change, ChangeKind, End, EvictRequest, EvictTarget, Eviction, FencingToken, Lease, Notice,
    RequestId, Waiter,
};

impl KeyState {
    /// Ends what the request names, and grants the key on.
    pub fn evict(&mut self, step: &mut Step, request: &EvictRequest) -> Eviction {
        self.settle(step);
        let targets: Vec<RequestId> = match request.target {
            EvictTarget::AllLeases => {
                let alive = self.leases.iter_alive(step.now).take(EVICT_LIMIT);
                alive.map(Expiring::request).collect()
            }
            EvictTarget::Lease { request, token } => {
                let held = self.leases.get_alive(request, step.now);
                let held = held.filter(|held| held.lease.token == token);
                held.map(Expiring::request).into_iter().collect()
            }
            EvictTarget::Waiter(waiter) => return self.evict_waiter(step, request, waiter),
        };
        let more = request.target == EvictTarget::AllLeases
            && self.leases.count_alive(step.now) > targets.len();
        let evict = |target| self.evict_lease(step, request, target);
        let leases = targets.into_iter().filter_map(evict).collect();
        self.promote(step);
        Eviction::of_leases(leases, more)
    }

    fn evict_lease(
        &mut self,
        step: &mut Step,
        request: &EvictRequest,
        target: RequestId,
    ) -> Option<Lease> {
        let held = self.leases.remove(target)?;
        let (token, lease) = (held.lease.token, held.lease);
        let end = request.end();
        step.effects.tell(held.mailbox, || request.notice(target, Some(token)));
        step.effects.record(ChangeKind::Evicted, || Change::Evicted {
            lease: lease.clone(),
            by: request.by.clone(),
            reason: request.reason.clone(),
        });
        self.mark(step.now, target, Some(token), end, lease.expires_at);
        Some(lease)
    }

    fn evict_waiter(
        &mut self,
        step: &mut Step,
        request: &EvictRequest,
        target: RequestId,
    ) -> Eviction {
        let alive = self.waiter(target).filter(|waiting| !waiting.is_over(step.now));
        if alive.is_none() {
            return Eviction::nothing();
        }
        let Some(waiting) = self.leave_queue(step, target) else { return Eviction::nothing() };
        let waiter: Waiter = waiting.to_waiter();
        step.effects.tell(waiting.request.mailbox, || request.notice(target, None));
        step.effects.record(ChangeKind::WaiterEvicted, || Change::WaiterEvicted {
            waiter: waiter.clone(),
            by: request.by.clone(),
            reason: request.reason.clone(),
        });
        self.mark(step.now, target, None, request.end(), Some(waiter.silent_at));
        self.promote(step);
        Eviction::of_waiter(waiter)
    }
}

impl EvictRequest {
    fn end(&self) -> End {
        End::Evicted { by: self.by.clone(), reason: self.reason.clone() }
    }

    fn notice(&self, request: RequestId, token: Option<FencingToken>) -> Notice {
        Notice::Ended { key: self.key.clone(), request, token, end: self.end() }
    }
}
