//! The builder of acquire requests.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use super::notification::heartbeat;
use super::pending_request::{Answer, PendingRequest};
use super::queue::Queue;
use super::session::SessionScope;
use super::{Attempt, LockGuard, LockManager};
use crate::{
    AcquireRequest, Acquisition, Error, ErrorKind, HeadStart, InvalidInput, KeepAlive, LockKey,
    LossReason, Metadata, Mode, OnHeld, Operation, OwnerId, Priority, RequestId, Result, SessionId,
    Timed, Ttl,
};

/// Builder of a request for a key; await it to send the request.
///
/// [`LockManager::acquire`] returns one that waits in the queue and yields a [`LockGuard`];
/// [`LockManager::try_acquire`] returns one that tries once and yields an [`Attempt`].
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct Acquire<Patience> {
    pub(super) manager: LockManager,
    pub(super) request: Result<AcquireRequest, InvalidInput>,
    head_start: HeadStart,
    keep_alive: KeepAlive,
    queue_limit: Option<NonZeroU32>,
    pub(super) wait: Option<Duration>,
    /// Whether this manager alone acquires for the session.
    is_local_session: bool,
    /// Whether the lease is shared within the session.
    pub(super) is_reentrant: bool,
    patience: PhantomData<Patience>,
}

/// Mode of [`LockManager::acquire`]: waits in the queue.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Wait;

/// Mode of [`LockManager::try_acquire`]: a single attempt.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Try;

impl<P> Acquire<P> {
    pub(super) fn new<K>(manager: LockManager, key: K) -> Self
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        let config = manager.config();
        Self {
            request: request(&manager, key),
            head_start: Priority::default().head_start(config.ageing_step),
            keep_alive: config.keep_alive,
            queue_limit: config.queue_limit,
            wait: None,
            is_local_session: false,
            is_reentrant: false,
            patience: PhantomData,
            manager,
        }
    }

    /// Ranks by this priority in the queue.
    pub fn priority(self, priority: Priority) -> Self {
        let head_start = priority.head_start(self.manager.config().ageing_step);
        Self { head_start, ..self }
    }

    /// Ranks this much earlier than its arrival, instead of by a priority.
    pub fn head_start<H>(mut self, head_start: H) -> Self
    where
        H: TryInto<HeadStart, Error: Into<InvalidInput>>,
    {
        match head_start.try_into().map_err(H::Error::into) {
            Ok(head_start) => self.head_start = head_start,
            Err(input) => self.request = self.request.and(Err(input)),
        }
        self
    }

    /// Sets the ttl of the lease, which is renewed while the guard lives.
    pub fn ttl<T>(self, ttl: T) -> Self
    where
        T: TryInto<Ttl, Error: Into<InvalidInput>>,
    {
        self.set(ttl.try_into(), AcquireRequest::with_ttl)
    }

    /// Sets the mode; the default is exclusive.
    pub fn mode(self, mode: Mode) -> Self {
        self.set(Ok::<_, InvalidInput>(mode), AcquireRequest::with_mode)
    }

    /// Shares the key with any number of other readers.
    pub fn shared(self) -> Self {
        self.mode(Mode::READER)
    }

    /// Shares the key as one of a number of permits; all requests must name the same number.
    pub fn permits(self, permits: u32) -> Self {
        self.set(Mode::semaphore(permits), AcquireRequest::with_mode)
    }

    /// Acquires for this owner instead of the manager's.
    pub fn owner<O>(self, owner: O) -> Self
    where
        O: TryInto<OwnerId, Error: Into<InvalidInput>>,
    {
        self.set(owner.try_into(), |request, owner| AcquireRequest { owner, ..request })
    }

    /// Sets the session; by default the request has its own.
    pub fn session(self, session: SessionId) -> Self {
        self.in_session(SessionScope::shared(session))
    }

    pub(super) fn in_session(self, session: SessionScope) -> Self {
        let asks = self.set(Ok::<_, InvalidInput>(session.id), AcquireRequest::with_session);
        Self { is_local_session: session.is_local, ..asks }
    }

    /// Attaches `metadata` to the lease.
    pub fn metadata<M>(self, metadata: M) -> Self
    where
        M: TryInto<Metadata, Error: Into<InvalidInput>>,
    {
        self.set(metadata.try_into(), AcquireRequest::with_metadata)
    }

    /// Sets the identity of the request, so that a restarted program finds the lease, which is
    /// renewed, or the queue position of its predecessor.
    ///
    /// For the successor of a terminated program. Concurrent users of one identity share one lease,
    /// and a release by one releases it for all.
    pub fn request(self, request: RequestId) -> Self {
        self.set(Ok::<_, InvalidInput>(request), |asks, id| {
            let session = if asks.session == asks.id.into() { id.into() } else { asks.session };
            AcquireRequest { id, session, ..asks }
        })
    }

    /// Sets one value; the first that is outside its limits is what the request will end in.
    fn set<V, E: Into<InvalidInput>>(
        mut self,
        value: Result<V, E>,
        set: impl FnOnce(AcquireRequest, V) -> AcquireRequest,
    ) -> Self {
        self.request = self.request.and_then(|request| Ok(set(request, value.map_err(E::into)?)));
        self
    }

    /// The request as it is sent, and the span that it is traced in.
    fn pending(self, on_held: OnHeld) -> Result<(PendingRequest, tracing::Span)> {
        let request = self.request.map_err(|input| Error::invalid(Operation::Acquire, input))?;
        let request = request.with_head_start(self.head_start);
        let span = tracing::info_span!(
            "lock.acquire",
            lock.key = %request.key,
            lock.owner = %request.owner,
            lock.token = Empty,
        );
        Ok((PendingRequest::new(&self.manager.shared, request.with_on_held(on_held))?, span))
    }
}

fn request<K>(manager: &LockManager, key: K) -> Result<AcquireRequest, InvalidInput>
where
    K: TryInto<LockKey, Error: Into<InvalidInput>>,
{
    let key = key.try_into().map_err(K::Error::into)?;
    let request = AcquireRequest::new(RequestId::random(), key, manager.owner().clone());
    Ok(request.with_ttl(manager.config().ttl))
}

impl Acquire<Wait> {
    /// Limits the wait; the default is no limit. Zero tries once.
    ///
    /// However short it is, the store has 100 ms for its answer, and with zero the
    /// [`operation_timeout`](crate::ManagerConfig::operation_timeout).
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// Is dropped from the queue when silent for this long, and loses a grant that it does not
    /// take up within it.
    pub fn keep_alive<T>(mut self, keep_alive: T) -> Self
    where
        T: TryInto<KeepAlive, Error: Into<InvalidInput>>,
    {
        match keep_alive.try_into().map_err(T::Error::into) {
            Ok(keep_alive) => self.keep_alive = keep_alive,
            Err(input) => self.request = self.request.and(Err(input)),
        }
        self
    }

    /// Joins no longer queue than this, itself included.
    pub fn queue_limit(self, limit: NonZeroU32) -> Self {
        Self { queue_limit: Some(limit), ..self }
    }
}

impl IntoFuture for Acquire<Try> {
    type Output = Result<Attempt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (mut pending, span) = self.pending(OnHeld::Refuse)?;
            let attempt = attempt(&mut pending).instrument(span.clone()).await;
            pending.count_attempt(&attempt);
            let attempt = attempt?;
            if let Attempt::Acquired(guard) = &attempt {
                span.record("lock.token", guard.token().get());
            }
            Ok(attempt)
        })
    }
}

/// Tries once, or repeatedly while the store has dead waiters to drop.
async fn attempt(pending: &mut PendingRequest) -> Result<Attempt> {
    let limit = pending.shared().config.operation_timeout.span();
    pending.shared().mailbox.until_opened(limit).await;
    loop {
        let Answer { answered, value } = pending.acquire(limit).await?;
        match value {
            Acquisition::Granted(lease) => {
                return Ok(Attempt::Acquired(pending.guard(answered, lease)));
            }
            Acquisition::Held(position)
                if position.next_change_at == Some(answered.observed_at) =>
            {
                tokio::task::yield_now().await;
            }
            // A request that waits already keeps its place.
            Acquisition::Held(position) | Acquisition::Queued(position) => {
                pending.leave_place();
                return Ok(Attempt::Held(Timed::new(answered.observed_at, position)));
            }
            Acquisition::Ended(end) => {
                pending.leave_place();
                let error = Error::new(ErrorKind::Ended, Operation::Acquire).with_end(end);
                return Err(error.with_key(pending.key().clone()));
            }
            Acquisition::NotHeld => return Err(pending.nothing_to_upgrade()),
            Acquisition::Deadlock(position) => {
                return Err(pending.second_upgrade(answered, position));
            }
            other @ Acquisition::QueueFull(_) => {
                let cause = format!("unexpected answer: {other:?}");
                return Err(pending.corrupt(cause));
            }
        }
    }
}

impl Acquire<Wait> {
    /// The key, if all values are within their limits.
    pub(super) fn key(&self) -> Result<&LockKey> {
        match &self.request {
            Ok(request) => Ok(&request.key),
            Err(input) => Err(Error::invalid(Operation::Acquire, input.clone())),
        }
    }

    /// The same request with another identity.
    pub(super) fn again(&self) -> Self {
        self.with_new_identity()
    }

    /// The same request with another identity, which tries once.
    pub(super) fn again_once(&self) -> Acquire<Try> {
        self.with_new_identity()
    }

    fn with_new_identity<P>(&self) -> Acquire<P> {
        let Self { manager, request, head_start, keep_alive, queue_limit, wait, .. } = self;
        let is_local_session = self.is_local_session;
        let id = RequestId::random();
        Acquire {
            manager: manager.clone(),
            request: request.clone().map(|request| AcquireRequest { id, ..request }),
            head_start: *head_start,
            keep_alive: *keep_alive,
            queue_limit: *queue_limit,
            wait: *wait,
            is_local_session,
            is_reentrant: self.is_reentrant,
            patience: PhantomData,
        }
    }

    pub(super) fn wait_at_most(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    pub(super) fn queue(self) -> Result<(Queue, tracing::Span)> {
        let (keep_alive, queue_limit) = (self.keep_alive, self.queue_limit);
        let is_local_session = self.is_local_session;
        let give_up_at = self.wait.and_then(|wait| Instant::now().checked_add(wait));
        let (pending, span) = self.pending(OnHeld::Queue { keep_alive, queue_limit })?;
        let heartbeat = heartbeat(keep_alive.span());
        Ok((Queue { pending, heartbeat, is_local_session, give_up_at, last: None }, span))
    }
}

impl IntoFuture for Acquire<Wait> {
    type Output = Result<LockGuard>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        if self.is_reentrant {
            return Box::pin(self.in_reentry());
        }
        if self.wait == Some(Duration::ZERO) {
            return Box::pin(self.once());
        }
        Box::pin(async move {
            let (mut queue, span) = self.queue()?;
            let guard = queue.until_granted().instrument(span.clone()).await?;
            span.record("lock.token", guard.token().get());
            Ok(guard)
        })
    }
}

impl Acquire<Wait> {
    /// Asks once; to be held is to have waited in vain.
    async fn once(self) -> Result<LockGuard> {
        let key = self.request.as_ref().ok().map(|request| request.key.clone());
        let Self { manager, request, head_start, keep_alive, queue_limit, wait, .. } = self;
        let (patience, is_local_session, is_reentrant) = (PhantomData::<Try>, false, false);
        let once = Acquire {
            manager,
            request,
            head_start,
            keep_alive,
            queue_limit,
            wait,
            is_local_session,
            is_reentrant,
            patience,
        };
        match once.await? {
            Attempt::Acquired(guard) => Ok(guard),
            Attempt::Held(position) => {
                let error = Error::new(ErrorKind::WaitOver, Operation::Acquire);
                let error = error.with_position(position);
                Err(match key {
                    Some(key) => error.with_key(key),
                    None => error,
                })
            }
        }
    }

    /// Acquires the key, runs the work under its lease, and releases the lease on every path before
    /// returning. See [`LockManager::hold`].
    ///
    /// # Errors
    /// Errors of the acquire; [`ErrorKind::Lost`], with the [reason](Error::loss), when the lease
    /// was lost before the work completed.
    ///
    /// # Cancel safety
    /// If dropped, the work is dropped and the lease is released in the background.
    pub async fn hold<T, W>(self, work: W) -> Result<T>
    where
        W: AsyncFnOnce(&LockGuard) -> T,
    {
        let guard = self.await?;
        let done = guard.run(work(&guard)).await;
        let key = guard.key().clone();
        match (done, guard.release().await) {
            (Ok(done), Ok(())) => Ok(done),
            // The cancel goes on in the background.
            (Ok(done), Err(error)) if error.is_retryable() => {
                tracing::warn!(lock.key = %key, %error, "the work is done, the release is not");
                Ok(done)
            }
            (Ok(_), Err(error)) if error.kind() == ErrorKind::NotHeld => {
                let lost = Error::new(ErrorKind::Lost, Operation::Run).with_key(key);
                let loss = error.loss().cloned().unwrap_or(LossReason::NotHeld);
                Err(lost.with_loss(loss))
            }
            (Ok(_), Err(error)) | (Err(error), _) => Err(error),
        }
    }
}
