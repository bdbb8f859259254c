//! Rules 2, 8 and 9: which request is granted at once, which waits, which is refused.

use super::queue::Queue;
use super::{KeyState, LeaseRecord, Step};
use crate::{
    AcquireRequest, Acquisition, Change, ChangeKind, KeepAlive, Lease, MailboxId, OnHeld,
    QueuePosition, RequestId, Timestamp,
};

impl KeyState {
    /// Asks for the key.
    pub fn acquire(&mut self, step: &mut Step, request: &AcquireRequest) -> Acquisition {
        self.settle_for(step, request.id);
        if let Some(lease) = self.claim(step.now, request.id, request.mailbox) {
            return Acquisition::Granted(lease);
        }
        if let Some(position) = self.keep_waiting(step.now, request.id, request.mailbox) {
            return Acquisition::Queued(position);
        }
        if let Some(end) = self.end_of(step.now, request.id) {
            return Acquisition::Ended(end);
        }
        let position =
            self.queue.as_ref().map_or(1, |queue| queue.position_of_newcomer(step.now, request));
        if let Some(refusal) = self.upgrade_refusal(step.now, request, position) {
            return refusal;
        }
        if position == 1 && self.fits(request.mode, step.now) {
            return Acquisition::Granted(self.grant(step, request));
        }
        self.refuse_or_queue(step, request, position)
    }

    /// The lease that the request holds already, at its full length.
    pub(super) fn claim(
        &mut self,
        now: Timestamp,
        request: RequestId,
        mailbox: Option<MailboxId>,
    ) -> Option<Lease> {
        let held = self.leases.update_alive(request, now, |record| {
            record.claim(now);
            record.mailbox = mailbox.or(record.mailbox);
        });
        held.map(|held| held.lease.clone())
    }

    /// Hears a waiting request, and answers where it stands.
    pub(super) fn keep_waiting(
        &mut self,
        now: Timestamp,
        request: RequestId,
        mailbox: Option<MailboxId>,
    ) -> Option<QueuePosition> {
        let queue = self.queue.as_mut()?;
        queue.hear(now, request, mailbox)?;
        let position = queue.get(request).map(|waiting| queue.position(waiting))?;
        Some(self.position(position, now))
    }

    fn grant(&mut self, step: &mut Step, request: &AcquireRequest) -> Lease {
        self.end_upgraded(step, request.mode);
        let lease = Lease::granted(request, step.next_token(), step.now);
        step.effects.record(ChangeKind::Granted, || Change::Granted(lease.clone()));
        let (held, mailbox) = (lease.clone(), request.mailbox);
        self.leases.insert(LeaseRecord { lease: held, mailbox, unclaimed: false, given_by: None });
        lease
    }

    fn refuse_or_queue(
        &mut self,
        step: &mut Step,
        request: &AcquireRequest,
        position: usize,
    ) -> Acquisition {
        match request.on_held {
            OnHeld::Refuse => Acquisition::Held(self.position(position, step.now)),
            OnHeld::Queue { queue_limit: Some(limit), .. }
                if self.waiting() >= limit.get() as usize =>
            {
                Acquisition::QueueFull(self.position(position, step.now))
            }
            OnHeld::Queue { keep_alive, .. } => {
                self.join(step, request, keep_alive);
                Acquisition::Queued(self.position(position, step.now))
            }
        }
    }

    fn join(&mut self, step: &mut Step, request: &AcquireRequest, keep_alive: KeepAlive) {
        let queue = self.queue.get_or_insert_with(|| Box::new(Queue::new()));
        let waiter = queue.join(step.now, request, keep_alive);
        step.effects.joined.push((request.owner.clone(), request.session, request.id));
        step.effects.record(ChangeKind::Queued, || Change::Queued(waiter));
    }
}

impl LeaseRecord {
    /// Makes a lease in its claim window full length.
    pub(super) fn claim(&mut self, now: Timestamp) {
        if self.unclaimed {
            self.unclaimed = false;
            self.lease.expires_at = self.lease.ttl.span().map(|span| now.after(span));
        }
    }
}
