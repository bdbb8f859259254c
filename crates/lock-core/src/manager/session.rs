//! Sessions.

use super::acquire::{Acquire, Try, Wait};
use super::{LockGuard, LockManager};
use crate::{InvalidInput, LockKey, SessionId};

/// A line of work that holds keys while it waits for more.
///
/// Deadlocks are detected between sessions: a request of a session that can never be granted, since
/// sessions wait for one another, ends in [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock) with
/// [who waits for whom](crate::Error::deadlock). Requests without a session wait for ever there.
///
/// Two tasks that do not wait for each other need two sessions.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_core::{ErrorKind, LockManager, OwnerId};
/// use lock_memory::MemoryBackend;
///
/// let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("deploy-7")?);
/// let session = manager.session();
/// let database = session.acquire("database").await?;
/// let error = session.acquire("database").await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Deadlock);
/// assert_eq!(
///     error.deadlock().unwrap().to_string(),
///     "`deploy-7` waits for `database`, held by itself",
/// );
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    manager: LockManager,
    scope: SessionScope,
}

/// The session of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionScope {
    pub(super) id: SessionId,
    /// Whether this manager alone acquires for it, and so knows what it holds.
    pub(super) is_local: bool,
}

impl SessionScope {
    pub(super) fn new() -> Self {
        Self { id: SessionId::random(), is_local: true }
    }

    pub(super) const fn shared(id: SessionId) -> Self {
        Self { id, is_local: false }
    }
}

impl Session {
    /// The identity, for another process that works for the same session.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.scope.id
    }

    pub(super) const fn scope(&self) -> SessionScope {
        self.scope
    }

    pub(super) const fn manager(&self) -> &LockManager {
        &self.manager
    }

    /// As [`LockManager::acquire`], in this session.
    pub fn acquire<K>(&self, key: K) -> Acquire<Wait>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        self.manager.acquire(key).in_session(self.scope)
    }

    /// As [`LockManager::try_acquire`], in this session.
    pub fn try_acquire<K>(&self, key: K) -> Acquire<Try>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
    {
        self.manager.try_acquire(key).in_session(self.scope)
    }
}

impl LockManager {
    /// A new session.
    #[must_use]
    pub fn session(&self) -> Session {
        Session { manager: self.clone(), scope: SessionScope::new() }
    }

    /// The session of this identity, which another process may have begun.
    #[must_use]
    pub fn session_of(&self, id: SessionId) -> Session {
        Session { manager: self.clone(), scope: SessionScope::shared(id) }
    }
}

impl<P> Acquire<P> {
    /// Requests the key in the session of a guard that is held meanwhile.
    pub fn while_holding(self, guard: &LockGuard) -> Self {
        self.session(guard.lease().session)
    }
}
