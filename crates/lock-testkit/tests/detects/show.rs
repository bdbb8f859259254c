//! How a broken store shows what the store below it answered.

use lock_core::{
    AcquireRequest, Acquisition, Change, Inspection, Lease, Place, Renewal, Timestamp, Ttl, Waiter,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    /// The lease as it is shown: what was asked for, although it was understood otherwise.
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

    pub(super) fn show_place(&self, asked: &AcquireRequest, place: Place) -> Place {
        let mut shown = place;
        shown.holder = shown.holder.map(|lease| self.show(lease));
        match self.fault {
            Fault::TellsPlacesFromZero => shown.position -= 1,
            Fault::PlacesStandStill => {
                let mut story = self.story();
                shown.position = *story.places.entry(asked.request).or_insert(shown.position);
            }
            _ => {}
        }
        shown
    }

    pub(super) fn show_acquisition(
        &self,
        asked: &AcquireRequest,
        told: Acquisition,
    ) -> Acquisition {
        match told {
            Acquisition::Granted(lease) => Acquisition::Granted(self.show(lease)),
            Acquisition::Queued(place) => {
                let mut place = self.show_place(asked, place);
                if self.is(Fault::TellsTheEndOfTheQueue) {
                    place.position = place.waiting;
                }
                Acquisition::Queued(place)
            }
            Acquisition::Held(place) => {
                let mut place = self.show_place(asked, place);
                match self.fault {
                    Fault::TellsTheEndOfTheQueue => place.position = place.waiting + 1,
                    Fault::HidesTheQueueFromTheRefused => (place.position, place.waiting) = (1, 0),
                    _ => {}
                }
                Acquisition::Held(place)
            }
            Acquisition::QueueFull(place) => Acquisition::QueueFull(self.show_place(asked, place)),
            other => other,
        }
    }

    pub(super) fn show_renewal(&self, told: Renewal) -> Renewal {
        match told {
            Renewal::Renewed(lease) => Renewal::Renewed(self.show(lease)),
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
        seen.waiters = seen.waiters.into_iter().map(|waiter| self.show_waiter(waiter)).collect();
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
            other => other,
        }
    }
}

/// When a lease is said to end that really lasts `real` and not `told`.
fn lie(end: Option<Timestamp>, real: Ttl, told: Ttl) -> Option<Timestamp> {
    let (Some(end), Some(real), Some(told)) = (end, real.span(), told.span()) else { return None };
    let begun = end.since(Timestamp::default()).saturating_sub(real);
    Some(Timestamp::default().after(begun + told))
}
