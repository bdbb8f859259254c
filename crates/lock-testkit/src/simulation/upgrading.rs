//! Shared leases that are exchanged for exclusive ones.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{ErrorKind, LockGuard, RequestId};

use super::job::Worker;
use super::quiet;
use super::witness::Wait;

/// Distinguishes the request of an upgrade from that of its lease.
const UPGRADE: u128 = 0x100_0000;
/// How long the exclusive lease is held.
const HOLD: Duration = Duration::from_millis(300);

impl Worker {
    /// Exchanges the lease for an exclusive one, or releases it when that fails.
    pub(super) async fn upgrade(&self, guard: LockGuard, wait: Duration, request: RequestId) {
        let (key, lease) = (guard.key().clone(), guard.lease().clone());
        let request = RequestId::from_bits(request.to_bits() | UPGRADE);
        let keep_alive = self.life.manager.config().keep_alive.span();
        self.note(format_args!("upgrades {key} #{}", lease.token));
        self.environment.state().witness.park(&lease, &self.life.jobs);
        let since = tokio::time::Instant::now();
        let outcome = {
            let _asking = self.enter(&key, request, keep_alive, true);
            let upgrade = guard.upgrade().wait(wait).request(request);
            // For one answer at the end, and what finds out whether it was granted.
            let end = 2 * self.life.manager.config().operation_timeout.span();
            let limit = wait + Duration::from_millis(100) + end;
            self.bounded("upgrade", limit, upgrade.into_future()).await
        };
        self.environment.state().witness.unpark(&lease);
        let guard = match outcome {
            Ok(guard) => {
                self.note(format_args!("has {key} #{} exclusively", guard.token()));
                let guard = Arc::new(guard);
                self.environment.state().witness.believe(&self.life.jobs, &guard);
                self.environment.look();
                tokio::select! {
                    biased;
                    _ = guard.lost() => {}
                    () = self.pause(HOLD) => {}
                }
                guard
            }
            Err(failed) => {
                self.note(format_args!("upgrade {key}: {:?}", failed.error.kind()));
                if failed.error.kind() == ErrorKind::WaitOver {
                    let (lasted, delay) = (since.elapsed(), self.life.delay());
                    let wait = Wait { limit: Some(wait), lasted, keep_alive, delay };
                    let outcome =
                        quiet::check_wait(&self.environment.state(), &wait, &failed.error);
                    self.environment.check(outcome);
                }
                let guard = Arc::new(failed.guard);
                self.environment.state().witness.believe(&self.life.jobs, &guard);
                self.environment.look();
                tokio::select! {
                    biased;
                    _ = guard.lost() => {}
                    () = self.pause(HOLD) => {}
                }
                guard
            }
        };
        if let Some(guard) = Arc::into_inner(guard) {
            let what = format!("release {key} #{}", guard.token());
            self.note_end(&what, self.call(&what, guard.release()).await);
        }
    }
}
