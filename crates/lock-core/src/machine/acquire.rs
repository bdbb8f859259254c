//! Rules 2, 8 and 9: who is granted at once, who waits, who is refused.

use super::queue::Queue;
use super::{Holding, KeyState, Step};
use crate::{
    AcquireRequest, Acquisition, Change, ChangeKind, KeepAlive, Lease, OnHeld, RequestId, Timestamp,
};

impl KeyState {
    /// Asks for the key.
    pub fn acquire(&mut self, step: &mut Step, asked: &AcquireRequest) -> Acquisition {
        self.settle(step);
        if let Some(lease) = self.claim(step.now, asked.request) {
            return Acquisition::Granted(lease);
        }
        if let Some(position) = self.hear(step.now, asked.request) {
            return Acquisition::Queued(self.place(position, step.now));
        }
        let position = self
            .queue
            .as_ref()
            .map_or(1, |queue| queue.position_of_newcomer(step.now, asked.head_start));
        if position == 1 && self.fits(asked.mode) {
            return Acquisition::Granted(self.grant(step, asked));
        }
        self.refuse_or_queue(step, asked, position)
    }

    /// The lease that the request holds already, at its full length.
    fn claim(&mut self, now: Timestamp, request: RequestId) -> Option<Lease> {
        self.leases.update(request, |holding| holding.claim(now)).map(|held| held.lease.clone())
    }

    /// Notes that a waiting request was heard of, and says at which position it waits.
    fn hear(&mut self, now: Timestamp, request: RequestId) -> Option<usize> {
        let queue = self.queue.as_mut()?;
        queue.hear(now, request)?;
        queue.get(request).map(|waiting| queue.position(waiting))
    }

    fn grant(&mut self, step: &mut Step, asked: &AcquireRequest) -> Lease {
        let lease = Lease::granted(asked, step.next_token(), step.now);
        step.effects.record(ChangeKind::Granted, || Change::Granted(lease.clone()));
        let held = lease.clone();
        self.leases.insert(Holding { lease: held, unclaimed: false, given_by: None });
        lease
    }

    fn refuse_or_queue(
        &mut self,
        step: &mut Step,
        asked: &AcquireRequest,
        position: usize,
    ) -> Acquisition {
        let waiting = self.queue.as_ref().map_or(0, |queue| queue.len());
        match asked.on_held {
            OnHeld::Refuse => Acquisition::Held(self.place(position, step.now)),
            OnHeld::Queue { queue_limit: Some(limit), .. } if waiting >= limit.get() as usize => {
                Acquisition::QueueFull(self.place(position, step.now))
            }
            OnHeld::Queue { keep_alive, .. } => {
                self.join(step, asked, keep_alive);
                Acquisition::Queued(self.place(position, step.now))
            }
        }
    }

    fn join(&mut self, step: &mut Step, asked: &AcquireRequest, keep_alive: KeepAlive) {
        let queue = self.queue.get_or_insert_with(|| Box::new(Queue::new()));
        let waiter = queue.join(step.now, asked, keep_alive);
        step.effects.record(ChangeKind::Queued, || Change::Queued(waiter));
    }
}

impl Holding {
    /// Makes a lease in its claim window full length.
    pub(super) fn claim(&mut self, now: Timestamp) {
        if self.unclaimed {
            self.unclaimed = false;
            self.lease.expires_at = self.lease.ttl.span().map(|span| now.after(span));
        }
    }
}
