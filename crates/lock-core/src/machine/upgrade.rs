//! Rule 14: a request in the place of a lease that its holder has.

use super::{KeyState, Step};
use crate::{AcquireRequest, Acquisition, Change, ChangeKind, LeaseName, Mode, Timestamp};

impl KeyState {
    /// The refusal of an upgrade that can never be granted, or that would never end.
    pub(super) fn upgrade_refusal(
        &self,
        now: Timestamp,
        asked: &AcquireRequest,
        position: usize,
    ) -> Option<Acquisition> {
        let Mode::Upgrade { request, token } = asked.mode else { return None };
        let lease = LeaseName::new(asked.key.clone(), request, token);
        if self.named(now, &lease).is_none() {
            let end = self.end_of_lease(now, &lease);
            return Some(end.map_or(Acquisition::NotHeld, Acquisition::Ended));
        }
        let head = self.queue.as_ref().and_then(|queue| queue.head())?;
        let is_upgrade = matches!(head.request.mode, Mode::Upgrade { .. });
        is_upgrade.then(|| Acquisition::Deadlock(self.position(position, now)))
    }

    /// Ends the lease in whose place a request of this mode is granted.
    pub(super) fn end_upgraded(&mut self, step: &mut Step, mode: Mode) {
        let Mode::Upgrade { request, token } = mode else { return };
        if self.leases.get_alive(request, step.now).is_some_and(|held| held.lease.token == token) {
            self.leases.end(request, |record| {
                let released = || Change::Released(record.lease.clone());
                step.effects.record(ChangeKind::Released, released);
            });
        }
    }
}
