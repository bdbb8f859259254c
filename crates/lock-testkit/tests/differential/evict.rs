//! Evictions of leases and waiters, in the naive form of the rules.

use lock_core::{
    Change, End, EvictRequest, EvictTarget, Eviction, FencingToken, Holder, LeaseName, Notice,
    ReleaseAppeal, ReleaseRequested,
};
use lock_core::{MailboxId, RequestId, Timestamp};

use super::{BOUND, Command};
use crate::fault::Fault;

impl Command<'_> {
    pub(crate) fn evict(&mut self, request: &EvictRequest) -> Eviction {
        self.settle();
        let all: Vec<_> = self.alive().into_iter().map(|held| held.lease.request).collect();
        let count = if self.has(Fault::EvictionsAreUnbounded) { usize::MAX } else { BOUND };
        let (mut targets, more) = match request.target {
            EvictTarget::AllLeases => {
                let always = self.has(Fault::EvictionsAlwaysSayMore) && all.len() == BOUND;
                let more = all.len() > count || always;
                (all.into_iter().take(count).collect::<Vec<_>>(), more)
            }
            EvictTarget::Lease { request: id, token } => {
                let name = LeaseName::new(request.key.clone(), id, token);
                let held = self.named(&name, Fault::EvictionsIgnoreTheToken);
                (held.map(|held| held.lease.request).into_iter().collect(), false)
            }
            EvictTarget::Waiter(waiter) => return self.evict_waiter(request, waiter),
            other => unreachable!("a target that is not known here: {other:?}"),
        };
        if self.has(Fault::EvictionsAreInOrderOfGrants) {
            targets.sort_by_key(|request| self.held(*request).map(|held| held.lease.token));
        }
        let mut leases = Vec::new();
        for target in targets {
            let held = self.end(target).unwrap();
            let lease = held.lease;
            self.force(request, held.mailbox, target, Some(lease.token), lease.expires_at);
            let (by, reason) = (request.by.clone(), request.reason.clone());
            self.changes.push(Change::Evicted { lease: lease.clone(), by, reason });
            leases.push(lease);
        }
        self.promote();
        Eviction::of_leases(leases, more)
    }

    pub(crate) fn request_release(&mut self, appeal: &ReleaseAppeal) -> ReleaseRequested {
        self.settle();
        let count = if self.has(Fault::AppealsAreUnbounded) { usize::MAX } else { BOUND };
        let alive: Vec<_> =
            self.alive().into_iter().map(|it| (it.lease.clone(), it.mailbox)).collect();
        let more = alive.len() > count;
        let mut holders = Vec::new();
        for (lease, mailbox) in alive.into_iter().take(count) {
            if appeal.up_to.is_some_and(|last| lease.token > last) {
                continue;
            }
            let notice = Notice::Wanted {
                key: appeal.key.clone(),
                request: lease.request,
                token: lease.token,
                by: appeal.by.clone(),
                reason: appeal.reason.clone(),
                within: appeal.within,
            };
            if !self.has(Fault::AppealsAreNotTold) {
                self.tell(mailbox, notice);
            }
            holders.push(Holder::from(&lease));
        }
        ReleaseRequested::new(holders, more)
    }

    fn evict_waiter(&mut self, request: &EvictRequest, target: RequestId) -> Eviction {
        let waiting = self.key.queue.iter().find(|it| it.shown.request == target);
        if waiting.is_none_or(|waiting| self.is_silent(waiting)) {
            return Eviction::nothing();
        }
        let waiting = self.leave(target).unwrap();
        let waiter = waiting.shown;
        self.force(request, waiting.mailbox, target, None, Some(waiter.silent_at));
        let (by, reason) = (request.by.clone(), request.reason.clone());
        self.changes.push(Change::WaiterEvicted { waiter: waiter.clone(), by, reason });
        self.promote();
        Eviction::of_waiter(waiter)
    }

    /// Notifies of the end of a request, and marks it.
    fn force(
        &mut self,
        eviction: &EvictRequest,
        mailbox: Option<MailboxId>,
        request: RequestId,
        token: Option<FencingToken>,
        lasted_until: Option<Timestamp>,
    ) {
        let end = End::Evicted { by: eviction.by.clone(), reason: eviction.reason.clone() };
        let key = eviction.key.clone();
        self.tell(mailbox, Notice::Ended { key, request, token, end: end.clone() });
        if !self.has(Fault::EvictionsLeaveNoMark) {
            self.mark(request, token, end, lasted_until);
        }
    }
}
