//! Several held locks.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use tokio::time::Instant;

use super::LockGuard;
use crate::{Error, ErrorKind, LockKey, LossReason, Operation, Result};

/// Several held locks, of [`LockManager::acquire_all`](super::LockManager::acquire_all). Each lease is
/// renewed in the background, and dropping the set releases all of them.
#[must_use = "if unused the locks are released at once"]
#[derive(Debug)]
pub struct LockSet {
    guards: Vec<LockGuard>,
}

impl LockSet {
    pub(super) const fn new(guards: Vec<LockGuard>) -> Self {
        Self { guards }
    }

    /// The guards, in the order of their keys.
    pub fn guards(&self) -> &[LockGuard] {
        &self.guards
    }

    /// The guard of a key of the set.
    #[must_use]
    pub fn guard(&self, key: &LockKey) -> Option<&LockGuard> {
        self.guards.iter().find(|guard| guard.key() == key)
    }

    /// Takes the set apart.
    #[must_use]
    pub fn into_guards(self) -> Vec<LockGuard> {
        self.guards
    }

    /// Until when all leases last for certain unless renewed, by this process's clock; `None` is
    /// until they are released.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.guards.iter().filter_map(LockGuard::deadline).min()
    }

    /// Returns `true` if a lease is known to be lost; see [`LockGuard::is_lost`].
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.guards.iter().any(LockGuard::is_lost)
    }

    /// Renews all leases now, and waits for that.
    ///
    /// # Errors
    /// The first error of [`LockGuard::renew_now`].
    ///
    /// # Cancel safety
    /// Some leases may have been renewed.
    pub async fn renew_now(&self) -> Result<()> {
        for guard in &self.guards {
            guard.renew_now().await?;
        }
        Ok(())
    }

    /// Waits until a lease is lost, and returns its key and the reason. It completes before the store
    /// grants the key to another request.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn lost(&self) -> (&LockKey, LossReason) {
        type Lost<'a> = Pin<Box<dyn Future<Output = LossReason> + Send + 'a>>;
        let mut losses: Vec<(&LockKey, Lost<'_>)> = Vec::with_capacity(self.guards.len());
        for guard in &self.guards {
            losses.push((guard.key(), Box::pin(guard.lost())));
        }
        poll_fn(|cx| {
            for (key, lost) in &mut losses {
                if let Poll::Ready(reason) = lost.as_mut().poll(cx) {
                    return Poll::Ready((*key, reason));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Does the work as long as all leases last: the moment one is lost, the work is dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Lost`], with the key and the [reason](Error::loss), when a lease was lost before
    /// the work was done.
    ///
    /// # Cancel safety
    /// Dropped, it drops the work; the set still holds.
    pub async fn run<W: Future>(&self, work: W) -> Result<W::Output> {
        tokio::select! {
            biased;
            (key, reason) = self.lost() => {
                let error = Error::new(ErrorKind::Lost, Operation::Run);
                Err(error.with_key(key.clone()).with_loss(reason))
            }
            done = work => Ok(done),
        }
    }

    /// Releases every lease, the last one first.
    ///
    /// # Errors
    /// The first error of [`LockGuard::release`]; the others are released all the same.
    ///
    /// # Cancel safety
    /// If dropped, the leases that are left are released in the background.
    pub async fn release(self) -> Result<()> {
        let mut released = Ok(());
        let mut guards = self.guards;
        while let Some(guard) = guards.pop() {
            released = released.and(guard.release().await);
        }
        released
    }
}
