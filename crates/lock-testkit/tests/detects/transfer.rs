//! How a broken store hands leases over, or does not.

use lock_core::{
    Acquisition, LockBackend, Metadata, ReleaseRequest, Result, Transfer, TransferRequest,
    TransferTo,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    pub(super) async fn transfer_broken(&self, given: &TransferRequest) -> Result<Transfer> {
        let (mut given, key) = (given.clone(), self.key(&given.key));
        given.key = key.clone();
        let holds = self.lease_of(&key, given.request).await?.is_some();
        let waiters = self.waiters(&key).await?;
        match (self.fault, &given.to) {
            (Fault::TransfersGoToTheHead, TransferTo::Waiter(_)) if !waiters.is_empty() => {
                given.to = TransferTo::Waiter(waiters[0].request);
            }
            (Fault::TransfersOnlyToWaiters, TransferTo::Owner { .. }) if holds => {
                return Ok(Transfer::NotWaiting);
            }
            (Fault::TransfersForAnybody, _) if !holds => {
                if let Some(holder) = self.leases(&key).await?.first() {
                    given.request = holder.request;
                }
            }
            (Fault::ForgetsTransfers, _) if !holds => return Ok(Transfer::NotHeld),
            (Fault::TransfersIgnoreModes, TransferTo::Waiter(receiver)) => {
                let (receiver, waits) = (*receiver, |w: &lock_core::Waiter| w.request);
                if let Some(waiter) = waiters.iter().find(|waiter| waits(waiter) == receiver) {
                    let (owner, metadata) = (waiter.owner.clone(), Metadata::default());
                    let _ = self.end(&key, receiver).await?;
                    given.to = TransferTo::Owner { owner, request: receiver, metadata };
                }
            }
            _ => {}
        }
        let told = self.inner.transfer(&given).await?;
        match (&told, self.fault) {
            (Transfer::NotWaiting, Fault::FailedTransfersRelease)
            | (Transfer::AlreadyHolds, Fault::TransfersToHoldersRelease) => {
                let _ = self.inner.release(&ReleaseRequest::new(key, given.request)).await?;
            }
            (Transfer::Transferred(lease), Fault::TransfersNeedNoClaim) => {
                let asked = self.story().asked.get(&lease.request).cloned();
                if let Some(asked) = asked
                    && let Acquisition::Granted(lease) = self.inner.acquire(&asked).await?
                {
                    return Ok(Transfer::Transferred(lease));
                }
            }
            _ => {}
        }
        Ok(told)
    }
}
