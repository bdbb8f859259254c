//! Leases that one process hands to another.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Lease, LockGuard, Metadata, Mode, Priority, RequestId, Transfer, TransferTo};

use super::job::Worker;
use super::plan::{HoldEnd, Patience, Terms};
use super::process::Life;
use super::quiet;

impl Worker {
    /// Hands a lease over to another process, which adopts it after a while.
    pub(super) async fn hand(&self, guard: LockGuard, mode: Mode, to: usize, after: Duration) {
        let Some(receiver) = (self.lives)(to) else { return };
        let (key, token) = (guard.key().clone(), guard.token());
        let taken_out = self.call("take out", guard.into_lease()).await;
        self.note(format_args!("takes {key} #{token} out: {}", taken_out.is_ok()));
        let Ok(lease) = taken_out else { return };
        self.look_at(&lease);
        self.park(&lease, &receiver);
        self.adopt_by(&receiver, lease, mode, after);
    }

    /// Takes a lease out, and has it adopted when it is over and the request holds another.
    pub(super) async fn hand_too_late(
        &self,
        guard: LockGuard,
        mode: Mode,
        to: usize,
        request: RequestId,
    ) {
        let Some(receiver) = (self.lives)(to) else { return };
        let Some(ttl) = guard.lease().ttl.span() else { return };
        let Ok(lease) = self.call("take out", guard.into_lease()).await else { return };
        self.note(format_args!("takes {} #{} out", lease.key, lease.token));
        self.look_at(&lease);
        self.park(&lease, &receiver);
        self.pause(ttl * 2).await;
        let keep_alive = Duration::from_secs(3);
        let (ttl, priority) = (lease.ttl, Priority::Critical);
        let terms = Terms { ttl, keep_alive, priority, mode };
        let patience = Patience::For(Duration::from_secs(20));
        let again = self.ask(&lease.key, request, &terms, patience, None).await;
        self.environment.state().witness.unpark(&lease);
        let Some(again) = again.filter(|again| again.token() != lease.token) else { return };
        self.adopt_by(&receiver, lease, mode, Duration::ZERO);
        self.hold(again, mode, Duration::from_secs(2), HoldEnd::Release, request).await;
    }

    pub(super) async fn transfer_to_owner(
        &self,
        guard: LockGuard,
        mode: Mode,
        to: usize,
        request: RequestId,
    ) {
        let Some(receiver) = (self.lives)(to) else { return };
        let lease = guard.lease().clone();
        let to = TransferTo::Owner {
            owner: receiver.manager.owner().clone(),
            request: RequestId::from_bits(request.to_bits() | 0x10_0000),
            metadata: Metadata::default(),
        };
        self.begin_force(&lease.key);
        let transferred = self.call("transfer", self.life.manager.transfer(&lease, to)).await;
        if let Ok(Transfer::Transferred(lease)) = &transferred {
            self.park(lease, &receiver);
            self.adopt_by(&receiver, lease.clone(), mode, Duration::ZERO);
        }
        self.note_force(&lease.key, "transfer", transferred);
    }

    fn park(&self, lease: &Lease, receiver: &Life) {
        self.environment.state().witness.park(lease, &receiver.jobs);
    }

    /// Checks a lease that was taken out of its guard.
    fn look_at(&self, lease: &Lease) {
        let outcome = quiet::check_taken_out(&self.environment.state(), lease);
        self.environment.check(outcome);
    }

    fn adopt_by(&self, receiver: &Arc<Life>, lease: Lease, mode: Mode, after: Duration) {
        let (environment, lives) = (Arc::clone(&self.environment), Arc::clone(&self.lives));
        let adopter = Self { environment, life: Arc::clone(receiver), lives };
        receiver.spawn(Box::pin(async move {
            adopter.pause(after).await;
            let limit = adopter.life.plan.operation_timeout * 2; // it may open the mailbox, too
            let adopt = adopter.life.manager.adopt(&lease);
            let adopted = adopter.bounded("adopt", limit, adopt).await;
            if let Ok(guard) = adopted {
                let at = (lease.key.clone(), lease.token);
                adopter.note(format_args!("adopts {} #{}", at.0, at.1));
                let guard = Arc::new(guard);
                {
                    let mut state = adopter.environment.state();
                    state.witness.believe(&adopter.life.jobs, &guard);
                    state.witness.unpark(&lease);
                }
                adopter.environment.look();
                let request = lease.request;
                let hold = Duration::from_millis(700);
                Box::pin(adopter.hold(guard, mode, hold, HoldEnd::Release, request)).await;
            } else {
                adopter.note(format_args!("adopts {}: {adopted:?}", lease.key));
            }
        }));
    }
}
