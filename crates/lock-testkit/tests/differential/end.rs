//! How leases and waits end in the simplest form of the rules.

use lock_core::{
    AcquireRequest, Cancellation, Change, EvictRequest, Lease, Release, RequestId, Transfer,
    TransferRequest, TransferTo,
};

use super::{Command, Held, Waiting};
use crate::fault::Fault;

impl Command<'_> {
    fn end(&mut self, request: RequestId) -> Option<Lease> {
        let at = self.key.held.iter().position(|held| held.lease.request == request)?;
        Some(self.key.held.remove(at).lease)
    }

    pub(crate) fn release(&mut self, request: RequestId) -> Release {
        self.settle();
        self.release_settled(request)
    }

    fn release_settled(&mut self, request: RequestId) -> Release {
        let Some(lease) = self.end(request) else { return Release::NotHeld };
        self.changes.push(Change::Released(lease));
        self.promote();
        Release::Released
    }

    pub(crate) fn cancel(&mut self, request: RequestId) -> Cancellation {
        self.settle();
        if let Some(waiting) = self.leave(request) {
            self.changes.push(Change::Cancelled(waiting.shown));
            self.promote();
            return Cancellation::Dequeued;
        }
        if self.has(Fault::CancelsSettleTwice) {
            self.settle();
        }
        match self.release_settled(request) {
            Release::Released => Cancellation::Released,
            _ => Cancellation::Absent,
        }
    }

    fn leave(&mut self, request: RequestId) -> Option<Waiting> {
        let at = self.key.queue.iter().position(|it| it.shown.request == request)?;
        Some(self.key.queue.remove(at))
    }

    pub(crate) fn transfer(&mut self, given: &TransferRequest) -> Transfer {
        self.settle();
        let receiver = given.to.request();
        let forgets = self.has(Fault::TransfersForgetTheGiver);
        let Some(from) = self.held(given.request).map(|held| held.lease.clone()) else {
            return match self.held(receiver) {
                Some(held) if held.given_by == Some(given.request) && !forgets => {
                    Transfer::Transferred(held.lease.clone())
                }
                _ => Transfer::NotHeld,
            };
        };
        if self.held(receiver).is_some() {
            return Transfer::AlreadyHolds;
        }
        let alive = |it: &&Waiting| it.shown.request == receiver && !self.is_silent(it);
        let waiting = self.key.queue.iter().find(alive);
        let (to, unclaimed) = match (&given.to, waiting.map(|it| it.asked.clone())) {
            (TransferTo::Owner { owner, request, metadata }, None) => {
                let asked = AcquireRequest::new(*request, from.key.clone(), owner.clone())
                    .with_mode(from.mode)
                    .with_ttl(from.ttl)
                    .with_metadata(metadata.clone());
                let token = self.token();
                (Lease::granted(&asked, token, self.now), false)
            }
            (to, Some(asked)) if asked.mode == from.mode && self.is_meant(to, &asked) => {
                let waiting = self.leave(receiver).unwrap();
                (self.handed(&waiting), true)
            }
            _ => return Transfer::NotWaiting,
        };
        self.leave(receiver);
        self.end(given.request);
        let given_by = Some(given.request);
        self.key.held.push(Held { lease: to.clone(), unclaimed, given_by });
        self.changes.push(Change::Transferred { from, to: to.clone() });
        Transfer::Transferred(to)
    }

    fn is_meant(&self, to: &TransferTo, asked: &AcquireRequest) -> bool {
        match to {
            TransferTo::Owner { owner, .. } => {
                *owner == asked.owner || self.has(Fault::TransfersIgnoreTheOwner)
            }
            _ => true,
        }
    }

    pub(crate) fn evict(&mut self, eviction: &EvictRequest) -> Vec<Lease> {
        self.settle();
        let all = self.ordered().into_iter().map(|held| held.lease.request);
        let mut targets: Vec<_> = eviction.request.map_or(all.collect(), |one| vec![one]);
        if self.has(Fault::EvictionsAreInOrderOfGrants) {
            targets.sort_by_key(|request| self.held(*request).map(|held| held.lease.token));
        }
        let evicted: Vec<_> = targets.into_iter().filter_map(|it| self.end(it)).collect();
        for lease in evicted.iter().cloned() {
            let (by, reason) = (eviction.by.clone(), eviction.reason.clone());
            self.changes.push(Change::Evicted { lease, by, reason });
        }
        self.promote();
        evicted
    }
}
