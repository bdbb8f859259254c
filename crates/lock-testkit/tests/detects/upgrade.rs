//! Broken stores: upgrades and appeals.

use lock_core::{
    AcquireRequest, Acquisition, EvictRequest, LockBackend, Mode, ReleaseAppeal, ReleaseRequested,
    Result,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    /// Acquires, with the faults of upgrades.
    pub(super) async fn upgrade_broken(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        let Mode::Upgrade { request, .. } = bent.mode else {
            return self.acquire_below(bent).await;
        };
        match self.fault {
            Fault::UpgradesEvictTheOthers => {
                for held in self.leases(&bent.key).await? {
                    if held.request != request {
                        let _ = self.end(&bent.key, held.request).await?;
                    }
                }
            }
            Fault::UpgradesYieldToTheQueue if !self.waiters(&bent.key).await?.is_empty() => {
                return self.acquire_below(&bent.clone().with_mode(Mode::Exclusive)).await;
            }
            _ => {}
        }
        Ok(match (self.acquire_below(bent).await?, self.fault) {
            (Acquisition::Deadlock(position), Fault::UpgradesWaitForEachOther) => {
                Acquisition::Queued(position)
            }
            (Acquisition::NotHeld, Fault::UpgradesNeedNoLease) => {
                self.acquire_below(&bent.clone().with_mode(Mode::Exclusive)).await?
            }
            (told, _) => told,
        })
    }

    pub(super) async fn request_release_broken(
        &self,
        appeal: &ReleaseAppeal,
    ) -> Result<ReleaseRequested> {
        let key = self.key(&appeal.key);
        let mut bent = appeal.clone();
        bent.key = key.clone();
        if self.is(Fault::AppealsIgnoreTheToken) {
            bent.up_to = None;
        }
        let mut told = self.inner.request_release(&bent).await?.value;
        told.more &= !self.is(Fault::AppealsNeverSayThatMoreAreLeft);
        if self.is(Fault::AppealsEvict) {
            let evict = EvictRequest::all(key, appeal.by.clone(), appeal.reason.clone());
            let _ = self.inner.evict(&evict).await?;
        }
        Ok(told)
    }
}
