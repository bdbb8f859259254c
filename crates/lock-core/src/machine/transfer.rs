//! Rule 5: the holder hands its lease to somebody by name, past the queue.

use super::queue::Waiting;
use super::{Holding, KeyState, Step};
use crate::{
    AcquireRequest, Change, ChangeKind, Lease, RequestId, Transfer, TransferRequest, TransferTo,
};

impl KeyState {
    /// Hands the lease over, with a token of its own and in the mode that it has.
    ///
    /// A receiver that waits gets what it asked for, for the claim window first. One that does not
    /// wait gets a lease of full length with the ttl of the giver's.
    pub fn transfer(&mut self, step: &mut Step, given: &TransferRequest) -> Transfer {
        self.settle(step);
        let receiver = given.to.request();
        let Some(giver) = self.leases.get(given.request) else {
            return self.repeated_transfer(given.request, receiver);
        };
        if self.leases.get(receiver).is_some() {
            return Transfer::AlreadyHolds;
        }
        let from = giver.lease.clone();
        let waiting = self.queue.as_ref().and_then(|queue| queue.get(receiver));
        let waiting = waiting.filter(|waiting| !waiting.is_silent(step.now));
        let (to, unclaimed) = match (waiting, &given.to) {
            (Some(waiting), to) if waiting.asked.mode == from.mode && to.may_be(waiting) => {
                (waiting.granted(step), true)
            }
            (None, TransferTo::Owner { owner, request, metadata }) => {
                let asked = AcquireRequest::new(*request, from.key.clone(), owner.clone())
                    .with_mode(from.mode)
                    .with_ttl(from.ttl)
                    .with_metadata(metadata.clone());
                (Lease::granted(&asked, step.next_token(), step.now), false)
            }
            _ => return Transfer::NotWaiting,
        };
        self.leave_queue(receiver);
        self.forget_empty_queue();
        self.leases.remove(from.request);
        let given_by = Some(from.request);
        self.leases.insert(Holding { lease: to.clone(), unclaimed, given_by });
        step.effects.promoted.push(to.clone());
        step.effects.record(ChangeKind::Transferred, || {
            let to = to.clone();
            Change::Transferred { from, to }
        });
        Transfer::Transferred(to)
    }

    /// The answer to a giver that holds nothing: the same again when it gave its lease to this very
    /// receiver, whose first answer must have been lost.
    fn repeated_transfer(&self, giver: RequestId, receiver: RequestId) -> Transfer {
        match self.leases.get(receiver) {
            Some(holding) if holding.given_by == Some(giver) => {
                Transfer::Transferred(holding.lease.clone())
            }
            _ => Transfer::NotHeld,
        }
    }
}

impl TransferTo {
    /// Whether a waiter is the receiver that is meant.
    fn may_be(&self, waiting: &Waiting) -> bool {
        match self {
            Self::Waiter(_) => true,
            Self::Owner { owner, .. } => *owner == waiting.asked.owner,
        }
    }

    /// The request that holds after the transfer.
    #[must_use]
    pub const fn request(&self) -> RequestId {
        match self {
            Self::Waiter(request) | Self::Owner { request, .. } => *request,
        }
    }
}
