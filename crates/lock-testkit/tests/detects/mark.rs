//! Broken stores: marks of forced ends.

use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, End, EvictRequest, EvictTarget, Eviction, QueuePosition,
};

use super::Broken;
use crate::fault::Fault;

/// The lifetime of a short mark.
const SHORT: Duration = Duration::from_secs(5 * 60);

impl Broken {
    /// Notes which requests an eviction ended.
    pub(super) fn note_ends(&self, request: &EvictRequest, told: &Eviction) {
        let (now, mut story) = (self.now(), self.story());
        let end = End::Evicted { by: request.by.clone(), reason: request.reason.clone() };
        let leases = told.leases.iter().map(|lease| (lease.request, lease.owner.clone()));
        let waiters = told.waiter.iter().map(|waiter| (waiter.request, waiter.owner.clone()));
        for (request, owner) in leases.chain(waiters) {
            story.evicted.insert(request, (end.clone(), now));
            story.evicted_owners.insert(owner, end.clone());
        }
        if let EvictTarget::Waiter(waiter) = request.target {
            story.queued.remove(&waiter);
        }
    }

    /// Applies the faults to the answer to a request that was ended by force, or was not.
    pub(super) fn twist_marks(&self, request: &AcquireRequest, told: Acquisition) -> Acquisition {
        let story = self.story();
        let evicted = story.evicted.get(&request.id);
        let had_lease = story.leases.contains_key(&request.id);
        match (told, self.fault, evicted) {
            (Acquisition::Ended(_), Fault::EvictedRequestsHoldAgain, _) if had_lease => {
                drop(story);
                Acquisition::Granted(self.invent(request))
            }
            (Acquisition::Ended(_), Fault::EvictedWaitersJoinAgain, _) if !had_lease => {
                Acquisition::Queued(QueuePosition::new(1, 1))
            }
            (Acquisition::Ended(_), Fault::MarksLastFiveMinutes, Some((_, at)))
                if self.now() >= at.after(SHORT) =>
            {
                drop(story);
                Acquisition::Granted(self.invent(request))
            }
            (Acquisition::Granted(_), Fault::MarksLastForEver, Some((end, _))) => {
                Acquisition::Ended(end.clone())
            }
            (Acquisition::Granted(lease), Fault::MarksHitTheOwner, None) => {
                match story.evicted_owners.get(&lease.owner) {
                    Some(end) => Acquisition::Ended(end.clone()),
                    None => Acquisition::Granted(lease),
                }
            }
            (told, _, _) => told,
        }
    }

    /// The end as reported, if it is.
    pub(super) fn twist_end(&self, end: End) -> Option<End> {
        match end {
            End::Transferred { .. } if self.is(Fault::TransfersLeaveNoMark) => None,
            end => Some(end),
        }
    }
}
