//! Getting a key: what can be asked for, and the loop that waits for it.

use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::Instrument;
use tracing::field::Empty;

use super::pending::Pending;
use super::{LockGuard, LockManager};
use crate::{
    AcquireRequest, Acquisition, Error, ErrorKind, HeadStart, InvalidInput, KeepAlive, LockKey,
    Metadata, Mode, OnHeld, Operation, OwnerId, Place, Priority, RequestId, Result, Ttl, Wake,
};

/// A request for a key, to be set up and then awaited.
///
/// [`LockManager::acquire`] makes one that waits in the queue and ends in a [`LockGuard`];
/// [`LockManager::try_acquire`] makes one that asks once and ends in an [`Attempt`].
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct Acquire<Patience> {
    manager: LockManager,
    asked: Result<AcquireRequest, InvalidInput>,
    head_start: Result<HeadStart, InvalidInput>,
    keep_alive: KeepAlive,
    queue_limit: Option<NonZeroU32>,
    wait: Option<Duration>,
    patience: PhantomData<Patience>,
}

/// The patience of [`LockManager::acquire`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Queueing;

/// The patience of [`LockManager::try_acquire`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Once;

/// What became of [`LockManager::try_acquire`].
#[derive(Debug)]
#[must_use = "an acquired lock is released when dropped"]
#[expect(clippy::exhaustive_enums, reason = "one attempt succeeds or it does not")]
pub enum Attempt {
    /// The key is held by this guard.
    Acquired(LockGuard),
    /// The key is held, or waited for, by others.
    Held(Place),
}

impl Attempt {
    /// The guard, if the key was acquired.
    #[must_use]
    pub fn guard(self) -> Option<LockGuard> {
        match self {
            Self::Acquired(guard) => Some(guard),
            Self::Held(_) => None,
        }
    }
}

impl<P> Acquire<P> {
    pub(super) fn new<K>(manager: LockManager, key: K) -> Self
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        let config = manager.config();
        Self {
            asked: ask(&manager, key),
            head_start: Priority::default().head_start(config.ageing_step),
            keep_alive: config.keep_alive,
            queue_limit: config.queue_limit,
            wait: None,
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
    pub fn head_start<H>(self, head_start: H) -> Self
    where
        H: TryInto<HeadStart, Error: Into<InvalidInput>>,
    {
        Self { head_start: head_start.try_into().map_err(H::Error::into), ..self }
    }

    /// Asks for a lease of this length, which is renewed as long as the guard lives.
    pub fn ttl<T>(self, ttl: T) -> Self
    where
        T: TryInto<Ttl, Error: Into<InvalidInput>>,
    {
        self.set(ttl.try_into(), AcquireRequest::with_ttl)
    }

    /// Asks in this mode instead of exclusively.
    pub fn mode(self, mode: Mode) -> Self {
        self.set(Ok::<_, InvalidInput>(mode), AcquireRequest::with_mode)
    }

    /// Acquires for this owner instead of the manager's.
    pub fn owner(self, owner: OwnerId) -> Self {
        self.set(Ok::<_, InvalidInput>(owner), |asked, owner| AcquireRequest { owner, ..asked })
    }

    /// Carries `metadata` for those who look at the lease.
    pub fn metadata(self, metadata: Metadata) -> Self {
        self.set(Ok::<_, InvalidInput>(metadata), AcquireRequest::with_metadata)
    }

    /// Asks under this identity instead of a new one: a program that was restarted finds what it
    /// asked for before.
    pub fn request(self, request: RequestId) -> Self {
        self.set(Ok::<_, InvalidInput>(request), |asked, request| AcquireRequest {
            request,
            ..asked
        })
    }

    /// Sets one value; the first that is outside its limits is what the request will end in.
    fn set<V, E: Into<InvalidInput>>(
        mut self,
        value: Result<V, E>,
        set: impl FnOnce(AcquireRequest, V) -> AcquireRequest,
    ) -> Self {
        self.asked = self.asked.and_then(|asked| Ok(set(asked, value.map_err(E::into)?)));
        self
    }

    /// The request as it is sent, and the span that it is traced in.
    fn pending(self, on_held: OnHeld) -> Result<(Pending, tracing::Span)> {
        let asked = self.asked.and_then(|asked| Ok(asked.with_head_start(self.head_start?)));
        let asked = asked.map_err(|input| Error::invalid(Operation::Acquire, input))?;
        let span = tracing::info_span!(
            "lock.acquire",
            lock.key = %asked.key,
            lock.owner = %asked.owner,
            lock.token = Empty,
        );
        Ok((Pending::new(&self.manager.shared, asked.with_on_held(on_held))?, span))
    }
}

fn ask<K>(manager: &LockManager, key: K) -> Result<AcquireRequest, InvalidInput>
where
    K: TryInto<LockKey, Error: Into<InvalidInput>>,
{
    let key = key.try_into().map_err(K::Error::into)?;
    let asked = AcquireRequest::new(RequestId::random(), key, manager.owner().clone());
    Ok(asked.with_ttl(manager.config().ttl))
}

impl Acquire<Queueing> {
    /// Waits this long at the most; without, as long as it takes.
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
            Err(input) => self.asked = self.asked.and(Err(input)),
        }
        self
    }

    /// Joins no longer queue than this, itself included.
    pub fn queue_limit(self, limit: NonZeroU32) -> Self {
        Self { queue_limit: Some(limit), ..self }
    }
}

impl IntoFuture for Acquire<Once> {
    type Output = Result<Attempt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (mut pending, span) = self.pending(OnHeld::Refuse)?;
            match pending.ask().instrument(span.clone()).await? {
                Acquisition::Granted(lease) => {
                    span.record("lock.token", lease.token.get());
                    Ok(Attempt::Acquired(pending.guard(lease)))
                }
                Acquisition::Held(place) => {
                    pending.forget();
                    Ok(Attempt::Held(place))
                }
                other => Err(pending.nonsense(&other)),
            }
        })
    }
}

impl IntoFuture for Acquire<Queueing> {
    type Output = Result<LockGuard>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (keep_alive, queue_limit) = (self.keep_alive, self.queue_limit);
            let give_up_at = self.wait.map(|wait| Instant::now() + wait);
            let (pending, span) = self.pending(OnHeld::Queue { keep_alive, queue_limit })?;
            let mut queue =
                Queue { pending, heartbeat: keep_alive.span() / 3, give_up_at, place: None };
            let guard = queue.until_granted().instrument(span.clone()).await?;
            span.record("lock.token", guard.token().get());
            Ok(guard)
        })
    }
}

/// A request on its way through the queue.
struct Queue {
    pending: Pending,
    /// How long to wait for news before asking again.
    heartbeat: Duration,
    give_up_at: Option<Instant>,
    /// Where the request stood when it was last told.
    place: Option<Place>,
}

impl Queue {
    /// Asks, waits for news, and asks again, until the key is granted or the time is up.
    ///
    /// What only a contended request needs is boxed, so that the future of all others is small.
    async fn until_granted(&mut self) -> Result<LockGuard> {
        loop {
            match self.pending.ask().await {
                Ok(Acquisition::Granted(lease)) => return Ok(self.pending.guard(lease)),
                Ok(Acquisition::Queued(place)) => self.place = Some(place),
                Ok(Acquisition::QueueFull(place)) => return Err(self.pending.refused(place)),
                Ok(other) => return Err(self.pending.nonsense(&other)),
                // The place in the queue outlives a failure of the store that is shorter than the
                // keep-alive, and so does the wait for it.
                Err(error) if error.is_retryable() && self.pending.still_has_its_place() => {
                    tracing::warn!(%error, "a waiting request could not be heard of");
                    Box::pin(self.pause()).await;
                    continue;
                }
                Err(error) => return Err(error),
            }
            if self.is_time_up() {
                return Err(Box::pin(self.give_up()).await);
            }
            if let Some(guard) = Box::pin(self.next_news()).await {
                return Ok(guard);
            }
        }
    }

    /// Waits for the grant, or for the time to ask again.
    async fn next_news(&mut self) -> Option<LockGuard> {
        match self.pending.wait(self.patience()).await {
            Ok(Wake::Granted(lease)) => return self.pending.trusted_guard(lease),
            Ok(Wake::AskAgain) => {}
            // Nothing is lost but the news: the heartbeat goes on.
            Err(error) => {
                tracing::warn!(%error, "news of a request cannot be waited for");
                sleep(self.patience()).await;
            }
        }
        None
    }

    /// How long to wait for news: a heartbeat, but no longer than until the lease in the way ends
    /// when this request is the next, and no longer than the caller waits.
    fn patience(&self) -> Duration {
        let mut patience = self.heartbeat;
        if let Some(place) = &self.place
            && place.position == 1
        {
            let lease = place.holder.as_ref();
            // With no holder at all, the store is still clearing dead waiters away.
            let end = lease.map_or(Some(Duration::ZERO), |it| it.remaining(place.observed_at));
            let end = end.map_or(patience, |end| end + Duration::from_millis(1));
            patience = patience.min(end);
        }
        let left = self.give_up_at.map(|at| at.saturating_duration_since(Instant::now()));
        left.map_or(patience, |left| patience.min(left))
    }

    /// Waits before a failed command is repeated: a random part of a heartbeat, so that those who
    /// failed together do not come back together.
    async fn pause(&self) {
        let pause = self.heartbeat.mul_f64(rand::random_range(0.1..0.5));
        let left = self.give_up_at.map(|at| at.saturating_duration_since(Instant::now()));
        sleep(left.map_or(pause, |left| pause.min(left))).await;
    }

    fn is_time_up(&self) -> bool {
        self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// Leaves the queue, and says who was in the way.
    async fn give_up(&mut self) -> Error {
        let error = Error::new(ErrorKind::TimedOut, Operation::Acquire);
        let error = error.with_key(self.pending.key().clone());
        let error = match self.place.take() {
            Some(place) => error.with_place(place),
            None => error,
        };
        self.pending.cancel().await;
        error
    }
}
