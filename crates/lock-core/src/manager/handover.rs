//! Leases that leave their guards for others.

use tokio::time::Instant;

use super::LockGuard;
use super::bounded::bounded;
use super::guard_error::GuardError;
use super::planted::{self, ManagerFault};
use super::successor::Successor;
use crate::{
    Error, ErrorKind, Lease, LossReason, Operation, RequestId, Transfer, TransferRequest,
    TransferTo,
};

impl LockGuard {
    /// Transfers the lease by name, past the queue, on behalf of its owner.
    ///
    /// # Errors
    /// Returned with the guard, which still holds: [`ErrorKind::Refused`] when the receiver does
    /// not wait for the key in the mode of the lease, or holds it already, or when other guards
    /// [share](super::Acquire::reentrant) the lease; [`ErrorKind::NotHeld`],
    /// with the [reason](Error::loss), when the lease is over; [`ErrorKind::Unavailable`] when the
    /// store did not answer (did not happen, or unknown).
    ///
    /// # Cancel safety
    /// The transfer may or may not have happened; if it did not, the lease is released in the
    /// background.
    pub async fn transfer(mut self, to: TransferTo) -> Result<Lease, GuardError> {
        if let Err(error) = self.unshare(Operation::Transfer) {
            return Err(GuardError { guard: self, error });
        }
        let by = self.lease().owner.clone();
        let request = TransferRequest::new(self.lease().name(), by, to);
        let call = self.shared().store.transfer(&request);
        let limit = self.shared().config.operation_timeout.span();
        let reply = bounded(limit, Operation::Transfer, Some(&self.lease().key), call).await;
        match reply.map(|reply| reply.value) {
            Ok(Transfer::Transferred(lease)) => {
                self.leave();
                Ok(lease)
            }
            Ok(Transfer::Ended(end)) => {
                self.validity.lose(LossReason::Ended(end));
                let error = self.not_held(Operation::Transfer);
                Err(self.kept(error))
            }
            Ok(Transfer::NotHeld) => {
                let error = self.not_held(Operation::Transfer);
                Err(self.kept(error))
            }
            Ok(refused @ (Transfer::NotWaiting | Transfer::AlreadyHolds)) => {
                let cause = match refused {
                    Transfer::AlreadyHolds => "the receiver holds the key already",
                    _ => "the receiver does not wait for the key in the mode of the lease",
                };
                let error = Error::new(ErrorKind::Refused, Operation::Transfer).with_source(cause);
                let error = error.with_key(self.lease().key.clone());
                Err(self.kept(error))
            }
            Err(error) => Err(self.kept(error)),
        }
    }

    /// Detaches the lease, unreleased and no longer renewed, so that another manager can
    /// [adopt](super::LockManager::adopt) it.
    ///
    /// A lease granted by a notice is claimed first, so that it has its full length. If its request
    /// may still arrive again, it continues as a lease of a new request with a higher token, so
    /// that the late arrival takes no lock.
    ///
    /// # Errors
    /// Returned with the guard, which still holds unless the lease is over: [`ErrorKind::NotHeld`],
    /// with the [reason](Error::loss), when it is; [`ErrorKind::Unavailable`] when the store did
    /// not answer (did not happen, or unknown); [`ErrorKind::Refused`] when other guards
    /// [share](super::Acquire::reentrant) it.
    ///
    /// # Cancel safety
    /// If dropped, the lease is released in the background.
    pub async fn into_lease(mut self) -> Result<Lease, GuardError> {
        if let Err(error) = self.unshare(Operation::Renew) {
            return Err(GuardError { guard: self, error });
        }
        if self.answer_outstanding {
            let (owner, metadata) = (self.lease().owner.clone(), self.lease().metadata.clone());
            let request = RequestId::random();
            let mut successor = Successor::new(self.shared(), self.lease(), request);
            let lease = self.transfer(TransferTo::Owner { owner, request, metadata }).await;
            successor.may_hold = lease.as_ref().is_err_and(|failed| failed.error.is_unknown());
            return lease;
        }
        let mut lease = self.lease().clone();
        if !self.validity.is_claimed() && !planted::has(ManagerFault::TakesOutUnclaimed) {
            match self.claim().await {
                Ok(expires_at) => lease.expires_at = expires_at,
                Err(error) => return Err(self.kept(error)),
            }
        } else if let Some(reason) = self.validity.lost(Instant::now()) {
            let error = self.not_held(Operation::Renew).with_loss(reason);
            return Err(self.kept(error));
        }
        self.leave();
        Ok(lease)
    }

    /// The guard, which stays as it was.
    fn kept(mut self, error: Error) -> GuardError {
        self.share_again();
        GuardError { guard: self, error }
    }
}
