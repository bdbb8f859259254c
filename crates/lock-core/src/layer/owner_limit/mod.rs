//! Limits the requests of each owner that wait or hold at the same time.

mod requests;

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_core::Stream;
use tokio::time::Instant;

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, ErrorKind,
    EventCursor, EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockInspector, MailboxId, Notice,
    NoticeStream, Operation, OwnerId, Page, Release, ReleaseAppeal, ReleaseRequest,
    ReleaseRequested, RenewRequest, Renewal, Result, Timed, Transfer, TransferRequest, Waiter,
    WaitsQuery,
};
use requests::Requests;

/// A store at which each owner has at most so many requests that wait or hold at the same time.
///
/// An acquire beyond that is not sent: it fails with [`ErrorKind::Refused`], whose source is an
/// [`OwnerLimitReached`]. It is not retried, since only the owner itself can make room. A request
/// that is sent again counts once.
///
/// A request counts from before it is sent until the store says that it is over: released,
/// cancelled, refused, evicted, transferred, lost. An upgrade counts in the place of its lease. One whose answer is unknown, or whose future was
/// dropped, counts until its cancel is answered, which the manager sends in both cases. Where no
/// command follows, it counts for as long as the store could still have it: for the ttl, or
/// twice the keep-alive of a waiter; a lease with [`Ttl::Never`](crate::Ttl::Never) for ever.
///
/// # What it does not see
///
/// It counts the requests that pass through it and its clones, and no others: **another process, or
/// another handle of the same store, has a count of its own**, and a restart begins at zero. It is
/// a guard against a program that leaks requests, not a quota of the store. A lease that is adopted,
/// or received without waiting, does not count either, and one that is ended by another process
/// counts until a notice, a renewal or a hear says so.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::num::NonZeroU32;
/// use lock_core::layer::OwnerLimit;
/// use lock_core::{ErrorKind, LockManager, OwnerId};
/// use lock_memory::MemoryBackend;
///
/// let store = OwnerLimit::new(MemoryBackend::new(), NonZeroU32::MIN);
/// let manager = LockManager::new(store, OwnerId::parse("deploy-7")?);
/// let first = manager.acquire("first").await?;
/// let error = manager.acquire("second").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Refused);
/// first.release().await?;
/// manager.acquire("second").await?.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OwnerLimit<S> {
    store: S,
    limit: NonZeroU32,
    requests: Arc<Mutex<Requests>>,
}

/// An owner has as many requests that wait or hold as it may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{owner}` has {limit} requests that wait or hold in this process, which is its limit")]
#[non_exhaustive]
pub struct OwnerLimitReached {
    /// The owner.
    pub owner: OwnerId,
    /// The number of requests that it may have.
    pub limit: NonZeroU32,
}

impl<S> OwnerLimit<S> {
    /// At most `limit` requests of each owner wait or hold at the same time.
    pub fn new(store: S, limit: NonZeroU32) -> Self {
        let most = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        Self { store, limit, requests: Arc::new(Mutex::new(Requests::new(most))) }
    }

    /// Number of requests of `owner` that may wait or hold now. One that is over by time alone
    /// counts until its place is needed.
    #[must_use]
    pub fn count(&self, owner: &OwnerId) -> usize {
        self.requests().count(owner)
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        lock(&self.requests)
    }
}

fn lock(requests: &Mutex<Requests>) -> MutexGuard<'_, Requests> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for OwnerLimit<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let notices = self.store.listen(mailbox).await?;
        Ok(Box::pin(Ends { notices, requests: Arc::clone(&self.requests) }))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let id = request.id;
        let Some(entered) = self.requests().enter(Instant::now(), request) else {
            let reached = OwnerLimitReached { owner: request.owner.clone(), limit: self.limit };
            let error = Error::new(ErrorKind::Refused, Operation::Acquire).with_source(reached);
            return Err(error.with_key(request.key.clone()));
        };
        // Dropped here, it stays entered: it may have arrived.
        let reply = self.store.acquire(request).await;
        let (mut requests, now) = (self.requests(), Instant::now());
        match reply.as_ref().map(|reply| &reply.value) {
            Ok(Acquisition::Granted(_)) => requests.holds(now, id, None),
            Ok(Acquisition::Queued(_)) => requests.waits(now, id),
            Ok(
                Acquisition::Held(_)
                | Acquisition::QueueFull(_)
                | Acquisition::Ended(_)
                | Acquisition::NotHeld
                | Acquisition::Deadlock(_),
            ) => {
                requests.remove(id);
            }
            Err(error) if error.is_unknown() => {}
            Err(_) => requests.undo(id, &entered),
        }
        drop(requests);
        reply
    }

    async fn hear(&self, asked: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let replies = self.store.hear(asked).await;
        let (mut requests, now) = (self.requests(), Instant::now());
        for (request, reply) in asked.iter().zip(&replies) {
            match reply.as_ref().map(|reply| &reply.value) {
                Ok(Heard::Queued(_)) => requests.waits(now, request.request),
                Ok(Heard::Granted(_)) => requests.holds(now, request.request, None),
                Ok(Heard::Ended(_) | Heard::Absent) => requests.remove(request.request),
                Err(_) => {}
            }
        }
        drop(requests);
        replies
    }

    async fn renew(&self, asked: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let replies = self.store.renew(asked).await;
        let (mut requests, now) = (self.requests(), Instant::now());
        for (request, reply) in asked.iter().zip(&replies) {
            let id = request.lease.request;
            match reply.as_ref().map(|reply| &reply.value) {
                Ok(Renewal::Renewed { .. }) => requests.holds(now, id, Some(request.ttl)),
                Ok(Renewal::Ended(_) | Renewal::NotHeld) => requests.was_held(id),
                Err(_) => {}
            }
        }
        drop(requests);
        replies
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let reply = self.store.release(request).await?;
        self.requests().was_held(request.lease.request);
        Ok(reply)
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let reply = self.store.cancel(request).await?;
        match reply.value {
            Cancellation::Released => self.requests().was_held(request.request),
            Cancellation::Dequeued | Cancellation::Absent => {
                self.requests().remove(request.request)
            }
        }
        Ok(reply)
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let reply = self.store.transfer(request).await?;
        match reply.value {
            Transfer::Transferred(_) | Transfer::Ended(_) | Transfer::NotHeld => {
                self.requests().was_held(request.lease.request);
            }
            Transfer::NotWaiting | Transfer::AlreadyHolds => {}
        }
        Ok(reply)
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let reply = self.store.evict(request).await?;
        let Eviction { leases, waiter, .. } = &reply.value;
        let mut requests = self.requests();
        leases.iter().for_each(|lease| requests.was_held(lease.request));
        waiter.iter().for_each(|waiter| requests.remove(waiter.request));
        drop(requests);
        Ok(reply)
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.store.request_release(appeal).await
    }
}

/// Notices, from which the limit learns of forced ends.
struct Ends {
    notices: NoticeStream,
    requests: Arc<Mutex<Requests>>,
}

impl Stream for Ends {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        let notice = ready!(self.notices.as_mut().poll_next(cx));
        match &notice {
            Some(Notice::Granted(grant)) => lock(&self.requests).was_granted(grant.request),
            Some(Notice::Ended { request, token: Some(_), .. }) => {
                lock(&self.requests).was_held(*request);
            }
            Some(Notice::Ended { request, .. }) => lock(&self.requests).remove(*request),
            _ => {}
        }
        Poll::Ready(notice)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for OwnerLimit<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.store.inspect(query).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.store.list(query).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.store.waits_of(query).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.store.watch(filter, after).await
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
