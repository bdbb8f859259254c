//! Broken stores: transfers.

use lock_core::{
    Acquisition, LockBackend, Metadata, ReleaseRequest, RequestId, Result, Transfer,
    TransferRequest, TransferTo, Waiter,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    pub(super) async fn transfer_broken(&self, request: &TransferRequest) -> Result<Transfer> {
        let mut given = request.clone();
        given.lease = self.bend_name(&request.lease);
        let key = given.lease.key.clone();
        let held = self.lease_of(&key, given.lease.request).await?;
        let holds = held.is_some();
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
                    given.lease = holder.name();
                }
            }
            (Fault::TransfersByRequest, _) => {
                given.lease = held.map_or(given.lease, |held| held.name());
            }
            (Fault::ForgetsTransfers, _) if !holds => return Ok(Transfer::NotHeld),
            (Fault::TransfersIgnoreModes, TransferTo::Waiter(receiver)) => {
                let receiver = *receiver;
                let is_receiver = |waiter: &&Waiter| waiter.request == receiver;
                if let Some(waiter) = waiters.iter().find(is_receiver) {
                    let (owner, metadata) = (waiter.owner.clone(), Metadata::default());
                    let _ = self.end(&key, receiver).await?;
                    given.to = TransferTo::Owner { owner, request: receiver, metadata };
                }
            }
            _ => {}
        }
        let told = self.inner.transfer(&given).await?.value;
        match (&told, self.fault) {
            (Transfer::NotWaiting, Fault::FailedTransfersRelease)
            | (Transfer::AlreadyHolds, Fault::TransfersToHoldersRelease) => {
                let _ = self.inner.release(&ReleaseRequest::new(given.lease)).await?;
            }
            (Transfer::NotWaiting, Fault::TransfersPassMarksBy) => {
                // By another request, since the store below refuses this one.
                if let TransferTo::Owner { request, .. } = &mut given.to {
                    *request = RequestId::random();
                }
                return Ok(self.inner.transfer(&given).await?.value);
            }
            (Transfer::Transferred(lease), Fault::TransfersNeedNoClaim) => {
                let asked = self.story().asked.get(&lease.request).cloned();
                if let Some(asked) = asked
                    && let Acquisition::Granted(lease) = self.acquire_below(&asked).await?
                {
                    return Ok(Transfer::Transferred(lease));
                }
            }
            (Transfer::Ended(_), Fault::TransfersHideTheEnd) => return Ok(Transfer::NotHeld),
            _ => {}
        }
        Ok(told)
    }
}
