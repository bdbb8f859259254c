//! What operators and tools do: look, list, hand over, take away, adopt.

use tokio::time::Instant;

use super::bounded::bounded;
use super::hold::LossReason;
use super::{LockGuard, LockManager, Stay};
use crate::{
    Capabilities, Error, ErrorKind, EventFilter, EventStream, EvictRequest, Health, Inspection,
    InvalidInput, Lease, ListQuery, LockKey, Operation, OwnerId, Page, Problem, Reason, Renewal,
    Result, Transfer, TransferRequest, TransferTo, Waiter,
};

impl LockManager {
    /// Shows who holds a key and who waits for it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no key, and what the store reports.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn inspect<K>(&self, key: K) -> Result<Inspection>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        let key = parse(Operation::Inspect, key)?;
        self.bounded(Operation::Inspect, Some(&key), self.shared.store.inspect(&key)).await
    }

    /// Shows one page of the leases that are alive.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn list(&self, query: &ListQuery) -> Result<Page> {
        self.bounded(Operation::List, None, self.shared.store.list(query)).await
    }

    /// Shows the requests of `owner` that wait in any queue.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        self.bounded(Operation::WaitsOf, None, self.shared.store.waits_of(owner)).await
    }

    /// Shows what happens from now on.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        self.bounded(Operation::Watch, None, self.shared.store.watch(filter)).await
    }

    /// Tells how the store is.
    ///
    /// # Errors
    /// What the store reports.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn health(&self) -> Result<Health> {
        self.bounded(Operation::Health, None, self.shared.store.health()).await
    }

    /// Tells what the store offers.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.store.capabilities()
    }

    /// Hands a lease to somebody by name, past the queue, and answers with the new lease.
    ///
    /// A guard of the old lease in this manager is told at once that it lost it.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] when the lease is over; [`ErrorKind::InvalidInput`], naming the field
    /// `to`, when the receiver does not wait for the key in the mode of the lease, or holds it
    /// already; and what the store reports.
    ///
    /// # Cancel safety
    /// The transfer may or may not have happened; the same call again tells.
    pub async fn transfer(&self, lease: &Lease, to: TransferTo) -> Result<Lease> {
        let given = TransferRequest::new(lease.key.clone(), lease.request, to);
        let call = self.shared.store.transfer(&given);
        let refused = |problem| {
            let input = InvalidInput::new("to", Problem::Malformed { expected: problem });
            Err(Error::invalid(Operation::Transfer, input).with_key(lease.key.clone()))
        };
        match self.bounded(Operation::Transfer, Some(&given.key), call).await? {
            Transfer::Transferred(new) => {
                let to = new.owner.clone();
                self.shared.renewals.lose(lease, LossReason::Transferred { to });
                Ok(new)
            }
            Transfer::NotHeld => Err(not_held(Operation::Transfer, lease)),
            Transfer::NotWaiting => refused("a request that waits in the mode of the lease"),
            Transfer::AlreadyHolds => refused("a request that does not hold the key yet"),
        }
    }

    /// Takes one lease away from its holder, in the name of this manager's owner; `false` when it
    /// is over already.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no reason, and what the store reports.
    ///
    /// # Cancel safety
    /// The eviction may or may not have happened; the same call again is safe, since it names the
    /// lease and not the key.
    pub async fn evict<R>(&self, lease: &Lease, reason: R) -> Result<bool>
    where
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let reason = parse(Operation::Evict, reason)?;
        let eviction = EvictRequest::new(lease.key.clone(), self.owner().clone(), reason);
        Ok(!self.evict_as_asked(eviction.only(lease.request)).await?.is_empty())
    }

    /// Takes every lease of a key away from its holders, in the name of this manager's owner, and
    /// answers with the leases that were taken.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no key or no reason, and what the store reports.
    ///
    /// # Cancel safety
    /// The eviction may or may not have happened. The same call again takes the key from those, too,
    /// who were granted it by the first.
    pub async fn evict_all<K, R>(&self, key: K, reason: R) -> Result<Vec<Lease>>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let key = parse(Operation::Evict, key)?;
        let reason = parse(Operation::Evict, reason)?;
        self.evict_as_asked(EvictRequest::new(key, self.owner().clone(), reason)).await
    }

    async fn evict_as_asked(&self, eviction: EvictRequest) -> Result<Vec<Lease>> {
        let call = self.shared.store.evict(&eviction);
        let evicted = self.bounded(Operation::Evict, Some(&eviction.key), call).await?.leases;
        for lease in &evicted {
            tracing::warn!(
                lock.key = %lease.key,
                lock.owner = %lease.owner,
                lock.token = lease.token.get(),
                by = %eviction.by,
                reason = %eviction.reason,
                "a lease was evicted"
            );
            let (by, reason) = (eviction.by.clone(), eviction.reason.clone());
            self.shared.renewals.lose(lease, LossReason::Evicted { by, reason });
        }
        Ok(evicted)
    }

    /// Takes charge of a lease that was taken out of its guard, here or in another process, or
    /// that was handed over by a transfer: it is renewed at once, and from then on.
    ///
    /// A guard that this manager has of the same lease is told that it lost it.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] when the lease is over, and what the store reports.
    ///
    /// # Cancel safety
    /// The lease may have been renewed once; adopt it again.
    pub async fn adopt(&self, lease: &Lease) -> Result<LockGuard> {
        let stay = Stay::enter(&self.shared, Operation::Adopt)?;
        let since = Instant::now();
        match self.shared.renew(Operation::Adopt, lease).await? {
            Renewal::Renewed(lease) => {
                let span = lease.ttl.span();
                Ok(LockGuard::new(stay, lease, since, span))
            }
            Renewal::NotHeld => Err(not_held(Operation::Adopt, lease)),
        }
    }

    async fn bounded<T>(
        &self,
        operation: Operation,
        key: Option<&LockKey>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        bounded(self.shared.config.operation_timeout, operation, key, call).await
    }
}

fn parse<T, V>(operation: Operation, value: V) -> Result<T>
where
    V: TryInto<T, Error: Into<InvalidInput>>,
{
    value.try_into().map_err(|error| Error::invalid(operation, error.into()))
}

fn not_held(operation: Operation, lease: &Lease) -> Error {
    Error::new(ErrorKind::NotHeld, operation).with_key(lease.key.clone())
}
