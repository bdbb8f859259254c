//! Administration: inspect, list, transfer, release by name, evict and adopt.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::time::Instant;

use super::bounded::{bounded, one};
use super::clock_bound::ClockBound;
use super::pending_request::catch_up;
use super::{LockGuard, LockManager, TrackerToken};
use crate::LossReason;
use crate::machine::EVICT_LIMIT;
use crate::{
    Capabilities, End, Error, ErrorKind, EventCursor, EventFilter, EventStream, EvictRequest,
    Eviction, FencingToken, Health, InspectQuery, Inspection, InvalidInput, Lease, ListQuery,
    LockKey, Operation, Page, Reason, Release, ReleaseRequest, RenewRequest, Renewal, RequestId,
    Result, Timed, Timestamp, Transfer, TransferRequest, TransferTo, Waiter, WaitsQuery,
};

impl LockManager {
    /// Shows the leases of a key and its first waiters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the key is invalid; [`ErrorKind::Unavailable`] when the
    /// store did not answer.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn inspect<K>(&self, key: K) -> Result<Timed<Inspection>>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        self.inspect_page(&InspectQuery::new(parse(Operation::Inspect, key)?)).await
    }

    /// Returns the leases of a key and one page of its waiters.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn inspect_page(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.bounded(Operation::Inspect, Some(&query.key), self.shared.store.inspect(query)).await
    }

    /// Shows one page of the leases that are alive.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.bounded(Operation::List, None, self.shared.store.list(query)).await
    }

    /// Shows one page of the waiters of an owner or of a session.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.bounded(Operation::WaitsOf, None, self.shared.store.waits_of(query)).await
    }

    /// Shows the events after a cursor, or from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.bounded(Operation::Watch, None, self.shared.store.watch(filter, after)).await
    }

    /// Returns the health of the store, with the round trip to it.
    ///
    /// It is one command, cheap enough for a readiness probe.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn health(&self) -> Result<Health> {
        let sent = Instant::now();
        let health = self.bounded(Operation::Health, None, self.shared.store.health()).await?;
        Ok(health.with_round_trip(sent.elapsed()))
    }

    /// Returns the capabilities of the store.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.shared.store.capabilities()
    }

    /// Transfers a lease by name, past the queue, on behalf of this manager's owner.
    ///
    /// A guard of the old lease in this manager loses it at once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged. A refused transfer is a value.
    ///
    /// # Cancel safety
    /// The transfer may or may not have happened; repeat the call to find out.
    pub async fn transfer(&self, lease: &Lease, to: TransferTo) -> Result<Transfer> {
        let by = self.owner().clone();
        let request = TransferRequest::new(lease.name(), by.clone(), to);
        let call = self.shared.store.transfer(&request);
        let transfer = self.bounded(Operation::Transfer, Some(&lease.key), call).await?.value;
        if let Transfer::Transferred(new) = &transfer {
            let end = End::Transferred { by, to: new.owner.clone() };
            self.shared.renewals.lose(&lease.name(), LossReason::Ended(end));
        }
        Ok(transfer)
    }

    /// Releases a lease that was detached from its guard, here or in another process; `false` if it
    /// was already over.
    ///
    /// For use on behalf of the holder; others [evict](Self::evict). No mark is left. A guard of
    /// this manager loses the lease at once; a guard in another process learns of it at its next
    /// renewal, and never if its lease is not renewed.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when the store did not answer; other errors of the store
    /// unchanged.
    ///
    /// # Cancel safety
    /// The release may or may not have happened; the same call again is safe, since it names the
    /// lease and not the key.
    pub async fn release_lease(&self, lease: &Lease) -> Result<bool> {
        let request = ReleaseRequest::new(lease.name());
        let call = self.shared.store.release(&request);
        let release = self.bounded(Operation::Release, Some(&lease.key), call).await?.value;
        let loss = match &release {
            Release::Ended(end) => LossReason::Ended(end.clone()),
            Release::Released | Release::NotHeld => LossReason::NotHeld,
        };
        self.shared.renewals.lose(&lease.name(), loss);
        Ok(release == Release::Released)
    }

    /// Ends one lease by force, in the name of this manager's owner; `false` when it is over
    /// already.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the reason is invalid; [`ErrorKind::Unavailable`] when the
    /// store did not answer (did not happen, or unknown).
    ///
    /// # Cancel safety
    /// The eviction may or may not have happened; the same call again is safe, since it names the
    /// lease and not the key.
    pub async fn evict<R>(&self, lease: &Lease, reason: R) -> Result<bool>
    where
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let reason = parse(Operation::Evict, reason)?;
        let request = EvictRequest::lease(lease.name(), self.owner().clone(), reason);
        Ok(!self.evict_once(&request).await?.is_empty())
    }

    /// Takes a request out of a queue by force, in the name of this manager's owner; `false` when
    /// it does not wait.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the key or the reason is invalid;
    /// [`ErrorKind::Unavailable`] when the store did not answer (did not happen, or unknown).
    ///
    /// # Cancel safety
    /// The eviction may or may not have happened; the same call again is safe.
    pub async fn evict_waiter<K, R>(&self, key: K, request: RequestId, reason: R) -> Result<bool>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let key = parse(Operation::Evict, key)?;
        let reason = parse(Operation::Evict, reason)?;
        let request = EvictRequest::waiter(key, request, self.owner().clone(), reason);
        Ok(!self.evict_once(&request).await?.is_empty())
    }

    /// Ends every lease that a key has now by force, in the name of this manager's owner, and answers
    /// with the leases that were ended. Leases that are granted because of that are not meant.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the key or the reason is invalid;
    /// [`ErrorKind::Unavailable`] when the store did not answer (did not happen, or unknown).
    ///
    /// # Cancel safety
    /// The eviction may or may not have happened, or in part. The same call again ends the leases,
    /// too, that were granted meanwhile.
    pub async fn evict_all<K, R>(&self, key: K, reason: R) -> Result<Vec<Lease>>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        let key: LockKey = parse(Operation::Evict, key)?;
        let reason: Reason = parse(Operation::Evict, reason)?;
        let by = self.owner();
        let all = EvictRequest::all(key.clone(), by.clone(), reason.clone());
        let query = InspectQuery::new(key).with_limit(NonZeroU32::MAX);
        let mut evicted = Vec::new();
        let mut first: Option<(Timestamp, Option<FencingToken>)> = None;
        // One command ends a bounded number, and what that grants is not meant: leases of a crowd are
        // ended one by one.
        loop {
            let Timed { observed_at, value: seen, .. } = self.inspect_page(&query).await?;
            let mut meant = seen.leases;
            let newest = meant.iter().map(|lease| lease.token).max();
            let is_whole = meant.len() as u64 == seen.holders;
            // Where not all are seen at first, those that are older than that are meant, too.
            let (begin, newest) = *first.get_or_insert((observed_at, newest.filter(|_| is_whole)));
            meant.retain(|lease| match newest {
                Some(newest) => lease.token <= newest,
                None => lease.granted_at < begin,
            });
            if evicted.is_empty() && meant.len() <= EVICT_LIMIT {
                evicted.extend(self.evict_once(&all).await?.leases);
                return Ok(evicted);
            }
            if meant.is_empty() {
                return Ok(evicted);
            }
            for lease in meant {
                let one = EvictRequest::lease(lease.name(), by.clone(), reason.clone());
                evicted.extend(self.evict_once(&one).await?.leases);
            }
        }
    }

    async fn evict_once(&self, request: &EvictRequest) -> Result<Eviction> {
        let call = self.shared.store.evict(request);
        let eviction = self.bounded(Operation::Evict, Some(&request.key), call).await?.value;
        for lease in &eviction.leases {
            tracing::warn!(
                lock.key = %lease.key,
                lock.owner = %lease.owner,
                lock.token = lease.token.get(),
                by = %request.by,
                reason = %request.reason,
                "a lease was evicted"
            );
            let (by, reason) = (request.by.clone(), request.reason.clone());
            let end = End::Evicted { by, reason };
            self.shared.renewals.lose(&lease.name(), LossReason::Ended(end));
        }
        Ok(eviction)
    }

    /// Adopts a lease that was detached from its guard, here or in another process, or transferred.
    /// It is renewed at once, and from then on.
    ///
    /// A guard of the same lease in this manager loses it.
    ///
    /// # Errors
    /// [`ErrorKind::NotHeld`] when the lease is over, with the [reason](Error::loss) if it was
    /// ended by force; [`ErrorKind::Unavailable`] when the store did not answer.
    ///
    /// # Cancel safety
    /// The lease may have been renewed once; adopt it again.
    pub async fn adopt(&self, lease: &Lease) -> Result<LockGuard> {
        let _tracker = TrackerToken::enter(&self.shared, Operation::Adopt)?;
        let entered = self.shared.waiters.enter(lease.request, lease.key.clone());
        let longest = self.shared.config.operation_timeout.span();
        self.shared.mailbox.until_opened(longest).await;
        let sent = Instant::now();
        let requests =
            [RenewRequest::new(lease.name(), lease.ttl).with_mailbox(self.shared.mailbox.id())];
        let limit = self.shared.config.operation_timeout.span();
        let call = self.shared.store.renew(&requests);
        let reply = one(limit, Operation::Adopt, &lease.key, call).await?;
        match reply.value {
            Renewal::Renewed { expires_at } => {
                let answered = ClockBound { sent, observed_at: reply.observed_at };
                let lasts = answered.lasts(expires_at);
                let lease = lease.clone().with_expires_at(expires_at);
                let guard = LockGuard::new(Arc::clone(&self.shared), lease, sent, lasts, true);
                catch_up(&entered, &guard);
                Ok(guard)
            }
            Renewal::Ended(end) => Err(not_held(lease).with_loss(LossReason::Ended(end))),
            Renewal::NotHeld => Err(not_held(lease)),
        }
    }

    async fn bounded<T>(
        &self,
        operation: Operation,
        key: Option<&LockKey>,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        bounded(self.shared.config.operation_timeout.span(), operation, key, call).await
    }
}

pub(super) fn parse<T, V>(operation: Operation, value: V) -> Result<T>
where
    V: TryInto<T, Error: Into<InvalidInput>>,
{
    value.try_into().map_err(|error| Error::invalid(operation, error.into()))
}

pub(super) fn not_held(lease: &Lease) -> Error {
    Error::new(ErrorKind::NotHeld, Operation::Adopt).with_key(lease.key.clone())
}
