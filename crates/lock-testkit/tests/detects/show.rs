//! Broken stores: answers of the store below, distorted.

use lock_core::{
    AcquireRequest, Acquisition, Change, Holder, Inspection, Lease, QueuePosition, RequestId,
    Timestamp, Ttl, Waiter,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    /// The lease as it is shown: the terms of the request, although it was read otherwise.
    pub(super) fn show(&self, lease: Lease) -> Lease {
        if self.is(Fault::None) {
            return lease;
        }
        let story = self.story();
        let mut shown = lease;
        shown.token = story.token(&shown);
        if let Some(asked) = story.asked.get(&shown.request) {
            shown.key = asked.key.clone();
            shown.owner = asked.owner.clone();
            shown.mode = asked.mode;
        }
        if let Some((real, told)) = story.lies.get(&shown.request).copied() {
            shown.expires_at = lie(shown.expires_at, real, told);
            shown.ttl = told;
        }
        match (self.fault, story.asked.get(&shown.request)) {
            (Fault::TellsADefaultTtl, _) => shown.ttl = Ttl::default(),
            (Fault::ClaimWindowsIgnoreTheTtl, Some(asked)) => shown.ttl = asked.ttl,
            _ => {}
        }
        shown
    }

    /// The end of a lease as it is shown, although the lease really lasts otherwise.
    pub(super) fn show_end(
        &self,
        request: RequestId,
        expires_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        match self.story().lies.get(&request).copied() {
            Some((real, told)) => lie(expires_at, real, told),
            None => expires_at,
        }
    }

    fn show_holder(&self, request: &AcquireRequest, holder: Holder) -> Holder {
        let key = self.key(&request.key);
        let known = self.story().lease_with(&key, holder.token);
        match known {
            Some(lease) => Holder::from(&self.show(lease.with_expires_at(holder.expires_at))),
            None => holder,
        }
    }

    pub(super) fn show_position(
        &self,
        request: &AcquireRequest,
        position: QueuePosition,
    ) -> QueuePosition {
        let mut shown = position;
        shown.holder = shown.holder.map(|holder| self.show_holder(request, holder));
        match self.fault {
            Fault::TellsPositionsFromZero => shown.position -= 1,
            Fault::OverlooksTheSilenceOfTheHead => {
                shown.next_change_at = shown.holder.as_ref().and_then(|holder| holder.expires_at);
            }
            Fault::PositionsStandStill => {
                let mut story = self.story();
                shown.position = *story.positions.entry(request.id).or_insert(shown.position);
            }
            _ => {}
        }
        shown
    }

    pub(super) fn show_acquisition(
        &self,
        request: &AcquireRequest,
        told: Acquisition,
    ) -> Acquisition {
        match told {
            Acquisition::Granted(lease) => Acquisition::Granted(self.show(lease)),
            Acquisition::Queued(position) => {
                let mut position = self.show_position(request, position);
                if self.is(Fault::TellsTheEndOfTheQueue) {
                    position.position = position.waiting;
                }
                Acquisition::Queued(position)
            }
            Acquisition::Held(position) => {
                let mut position = self.show_position(request, position);
                match self.fault {
                    Fault::TellsTheEndOfTheQueue => position.position = position.waiting + 1,
                    Fault::HidesTheQueueFromTheRefused => {
                        (position.position, position.waiting) = (1, 0);
                    }
                    _ => {}
                }
                Acquisition::Held(position)
            }
            Acquisition::QueueFull(position) => {
                Acquisition::QueueFull(self.show_position(request, position))
            }
            other => other,
        }
    }

    pub(super) fn show_waiter(&self, mut waiter: Waiter) -> Waiter {
        match self.story().asked.get(&waiter.request) {
            Some(asked) if !self.is(Fault::None) => {
                waiter.key = asked.key.clone();
                waiter.owner = asked.owner.clone();
                waiter.with_terms(asked.mode, asked.head_start)
            }
            _ => waiter,
        }
    }

    pub(super) fn show_inspection(&self, mut seen: Inspection) -> Inspection {
        seen.leases = seen.leases.into_iter().map(|lease| self.show(lease)).collect();
        let waiters = seen.waiters.items.into_iter();
        seen.waiters.items = waiters.map(|waiter| self.show_waiter(waiter)).collect();
        seen
    }

    pub(super) fn show_change(&self, change: Change) -> Change {
        match change {
            Change::Queued(waiter) => Change::Queued(self.show_waiter(waiter)),
            Change::Cancelled(waiter) => Change::Cancelled(self.show_waiter(waiter)),
            Change::Lapsed(waiter) => Change::Lapsed(self.show_waiter(waiter)),
            Change::Granted(lease) => Change::Granted(self.show(lease)),
            Change::Released(lease) => Change::Released(self.show(lease)),
            Change::Expired(lease) => Change::Expired(self.show(lease)),
            Change::Transferred { from, to } => {
                Change::Transferred { from: self.show(from), to: self.show(to) }
            }
            Change::Evicted { lease, by, reason } => {
                Change::Evicted { lease: self.show(lease), by, reason }
            }
            Change::WaiterEvicted { waiter, by, reason } => {
                Change::WaiterEvicted { waiter: self.show_waiter(waiter), by, reason }
            }
            other => other,
        }
    }
}

/// The reported end of a lease that lasts `real` and not `told`.
fn lie(end: Option<Timestamp>, real: Ttl, told: Ttl) -> Option<Timestamp> {
    let (Some(end), Some(real), Some(told)) = (end, real.span(), told.span()) else { return None };
    let begun = end.since(Timestamp::default()).saturating_sub(real);
    Some(Timestamp::default().after(begun + told))
}
