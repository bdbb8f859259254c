//! Several keys, all or none.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use super::acquire::{Acquire, Wait};
use super::session::SessionScope;
use super::{LockGuard, LockManager, LockSet, Session};
use crate::{Error, ErrorKind, InvalidInput, LockKey, Operation, Result, SessionId, Violation};

/// Number of rounds in which the set holds nothing while it waits.
const ROUNDS: usize = 4;

/// Builder of a request for several keys, all or none; await it to send the request.
///
/// See [`LockManager::acquire_all`].
#[must_use = "a request does nothing until it is awaited"]
#[derive(Debug)]
pub struct AcquireAll {
    manager: LockManager,
    session: SessionScope,
    /// The requests by their keys.
    requests: Result<BTreeMap<LockKey, Acquire<Wait>>>,
    wait: Option<Duration>,
}

impl LockManager {
    /// Requests several keys, and waits until it holds all of them. Each request has a mode, a ttl and
    /// a priority of its own; its wait, identity and session are those of the set.
    ///
    /// While it waits for a key it holds none of the others: it waits for the missing key, then tries
    /// the rest, and gives back everything where one is missing. So sets are never in a deadlock with
    /// one another, in whatever order they name their keys. After four such rounds it takes the keys
    /// in their order, and waits for each while it holds those before. From then on, it waits at most
    /// for the requests that are ahead of it in the queue of each key, once: a large set is not starved
    /// by small ones.
    ///
    /// # Errors
    /// As for [`acquire`](Self::acquire), with the key that was missing, and its position there.
    /// [`ErrorKind::InvalidInput`] when a key is named twice. Nothing
    /// is held after an error.
    ///
    /// # Cancel safety
    /// If dropped, what was granted is released in the background.
    ///
    /// # Panics
    /// Awaited outside of a tokio runtime.
    ///
    /// # Examples
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use lock_core::{LockManager, OwnerId};
    /// use lock_memory::MemoryBackend;
    ///
    /// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("migration")?);
    /// let keys = [manager.acquire("orders"), manager.acquire("customers").shared()];
    /// let set = manager.acquire_all(keys).await?;
    /// let copied = set.run(async { "copied" }).await?;
    /// set.release().await?;
    /// # assert_eq!(copied, "copied");
    /// # Ok(())
    /// # }
    /// ```
    pub fn acquire_all(&self, requests: impl IntoIterator<Item = Acquire<Wait>>) -> AcquireAll {
        AcquireAll::new(self.clone(), SessionScope::new(), requests)
    }
}

impl Session {
    /// As [`LockManager::acquire_all`], in this session.
    pub fn acquire_all(&self, requests: impl IntoIterator<Item = Acquire<Wait>>) -> AcquireAll {
        AcquireAll::new(self.manager().clone(), self.scope(), requests)
    }
}

impl AcquireAll {
    fn new(
        manager: LockManager,
        session: SessionScope,
        requests: impl IntoIterator<Item = Acquire<Wait>>,
    ) -> Self {
        let requests = by_key(requests.into_iter().map(|request| request.in_session(session)));
        Self { manager, session, requests, wait: None }
    }

    /// Limits the wait for all keys together; the default is no limit. Zero tries and does not wait.
    pub fn wait(self, wait: Duration) -> Self {
        Self { wait: Some(wait), ..self }
    }

    /// Acquires the keys, runs the work under their leases, and releases them on every path before
    /// returning.
    ///
    /// # Errors
    /// Errors of the acquire; [`ErrorKind::Lost`](crate::ErrorKind::Lost), with the key and the
    /// [reason](Error::loss), when a lease was lost before the work completed.
    ///
    /// # Cancel safety
    /// If dropped, the work is dropped and the leases are released in the background.
    pub async fn hold<T, W>(self, work: W) -> Result<T>
    where
        W: AsyncFnOnce(&LockSet) -> T,
    {
        let set = self.await?;
        let done = set.run(work(&set)).await;
        match (done, set.release().await) {
            (Ok(done), Err(error)) if error.is_retryable() => {
                tracing::warn!(%error, "the work is done, a release is not");
                Ok(done)
            }
            (Ok(_), Err(error)) => Err(error),
            (done, _) => done,
        }
    }

    async fn until_granted(self) -> Result<LockSet> {
        let Self { manager, session, requests, wait } = self;
        let requests = requests?;
        let until = wait.and_then(|wait| Instant::now().checked_add(wait));
        let left = || until.map(|until| until.saturating_duration_since(Instant::now()));
        // A lone key is waited for at once.
        let mut missing = requests.keys().next().filter(|_| requests.len() == 1);
        for _ in 0..ROUNDS {
            let mut guards = Vec::with_capacity(requests.len());
            if let Some(key) = missing.take() {
                guards.push(requests[key].again().wait_at_most(left()).await?);
            }
            for (key, request) in &requests {
                if guards.iter().any(|guard: &LockGuard| guard.key() == key) {
                    continue;
                }
                match request.tried().await? {
                    Some(guard) => guards.push(guard),
                    None => {
                        missing = Some(key);
                        break;
                    }
                }
            }
            if missing.is_none() {
                guards.sort_by(|one, other| one.key().cmp(other.key()));
                return Ok(LockSet::new(guards));
            }
            drop(guards);
            manager.until_departed(session.id).await;
        }
        let mut guards = Vec::with_capacity(requests.len());
        for request in requests.values() {
            guards.push(request.again().wait_at_most(left()).await?);
        }
        Ok(LockSet::new(guards))
    }
}

impl Acquire<Wait> {
    /// The guard, if the key can be had at once.
    async fn tried(&self) -> Result<Option<LockGuard>> {
        if !self.is_reentrant {
            return Ok(self.again_once().await?.guard());
        }
        match self.again().wait_at_most(Some(Duration::ZERO)).await {
            Err(error) if error.kind() == ErrorKind::WaitOver => Ok(None),
            tried => tried.map(Some),
        }
    }
}

impl LockManager {
    /// Waits until what the session has dropped has reached the store, as long as a command may take.
    async fn until_departed(&self, session: SessionId) {
        let departed = self.shared.sessions.until_departed(session);
        let _ = tokio::time::timeout(self.config().operation_timeout.span(), departed).await;
    }
}

fn by_key(
    requests: impl Iterator<Item = Acquire<Wait>>,
) -> Result<BTreeMap<LockKey, Acquire<Wait>>> {
    let mut by_key = BTreeMap::new();
    for request in requests {
        let key = request.key()?.clone();
        if by_key.insert(key.clone(), request).is_some() {
            let twice = Violation::Malformed { expected: "keys that differ" };
            let error = Error::invalid(Operation::Acquire, InvalidInput::new("keys", twice));
            return Err(error.with_key(key));
        }
    }
    Ok(by_key)
}

impl IntoFuture for AcquireAll {
    type Output = Result<LockSet>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.until_granted())
    }
}
