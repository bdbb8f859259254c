//! Rule 5: the holder hands its lease to a request by name, past the queue.

use super::queue::QueuedRequest;
use super::{KeyState, LeaseRecord, Step};
use crate::{
    AcquireRequest, Change, ChangeKind, End, Lease, Notice, Transfer, TransferRequest, TransferTo,
};

impl KeyState {
    /// Hands the lease over, with a token of its own and in the mode that it has.
    ///
    /// A receiver that waits gets what it asked for, for the claim window first. One that does not
    /// wait gets a lease of full length with the ttl of the giver's, unless it has a mark.
    pub fn transfer(&mut self, step: &mut Step, request: &TransferRequest) -> Transfer {
        let receiver = request.to.request();
        self.settle_for(step, receiver);
        let Some(giver) = self.named(step.now, &request.lease) else {
            return self.repeated_transfer(step, request);
        };
        if self.leases.get(receiver).is_some() {
            return Transfer::AlreadyHolds;
        }
        let (from, giver_mailbox) = (giver.lease.clone(), giver.mailbox);
        let (lease, mailbox, unclaimed) = match (self.waiter(receiver), &request.to) {
            (Some(waiting), to) if waiting.request.mode == from.mode && to.may_be(waiting) => {
                (waiting.granted(step), waiting.request.mailbox, true)
            }
            (None, TransferTo::Owner { owner, request, metadata })
                if self.end_of(step.now, receiver).is_none() =>
            {
                let request = AcquireRequest::new(*request, from.key.clone(), owner.clone())
                    .with_mode(from.mode)
                    .with_ttl(from.ttl)
                    .with_metadata(metadata.clone());
                (Lease::granted(&request, step.next_token(), step.now), None, false)
            }
            _ => return Transfer::NotWaiting,
        };
        self.leave_queue(step, receiver);
        self.leases.remove(from.request);
        let given_by = Some((from.request, from.token));
        let record = LeaseRecord { lease: lease.clone(), mailbox, unclaimed, given_by };
        step.effects.tell_grant(&record);
        self.put(record);
        let end = End::Transferred { by: request.by.clone(), to: lease.owner.clone() };
        step.effects.tell(giver_mailbox, || Notice::Ended {
            key: from.key.clone(),
            request: from.request,
            token: Some(from.token),
            end: end.clone(),
        });
        self.mark(step.now, from.request, Some(from.token), end, from.expires_at);
        let to = lease.clone();
        step.effects.record(ChangeKind::Transferred, || Change::Transferred { from, to });
        Transfer::Transferred(lease)
    }

    /// The answer to a giver that holds nothing: the same again when it gave its lease to this very
    /// receiver, whose first answer must have been lost.
    fn repeated_transfer(&self, step: &Step, request: &TransferRequest) -> Transfer {
        let given_by = Some((request.lease.request, request.lease.token));
        match self.leases.get_alive(request.to.request(), step.now) {
            Some(record) if record.given_by == given_by => {
                Transfer::Transferred(record.lease.clone())
            }
            _ => {
                let end = self.end_of_lease(step.now, &request.lease);
                end.map_or(Transfer::NotHeld, Transfer::Ended)
            }
        }
    }
}

impl TransferTo {
    /// Returns `true` if a waiter matches the receiver.
    fn may_be(&self, waiting: &QueuedRequest) -> bool {
        match self {
            Self::Waiter(_) => true,
            Self::Owner { owner, .. } => *owner == waiting.request.owner,
        }
    }
}
