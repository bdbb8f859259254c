//! Polite revocation: a holder learns who wants its key, and an operator asks for it.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::admin::parse;
use super::bounded::bounded;
use super::notification::heartbeat;
use super::{LockGuard, LockManager};
use crate::{
    Error, ErrorKind, InspectQuery, InvalidInput, LockKey, Operation, OwnerId, Reason,
    ReleaseAppeal, ReleaseRequested, Result, Timeout,
};

/// Pause after which a request to release is repeated.
const REPEATED_AFTER: Duration = Duration::from_secs(1);

/// Who wants the key of a [`LockGuard`], and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wanted {
    /// The owner that wants the key.
    pub by: OwnerId,
    /// Why; `None` for a request of higher priority in the queue.
    pub reason: Option<Reason>,
    /// Until when the key should be released; `None` for a request in the queue, which just waits.
    pub until: Option<Instant>,
}

impl Wanted {
    pub(super) fn requested(by: OwnerId, reason: Reason, within: Timeout) -> Self {
        Self { by, reason: Some(reason), until: Instant::now().checked_add(within.span()) }
    }
}

impl LockGuard {
    /// Waits until somebody with better right wants the key: an operator that
    /// [asks for its release](LockManager::request_release), or a request of higher priority at the
    /// head of the queue.
    ///
    /// Nothing happens to the lease: the holder may finish, stop at a safe point, or go on. An
    /// operator's request arrives by a notice, and is repeated until it is over. The queue is read at
    /// every third of the ttl, at least every 10 seconds, while this is awaited.
    ///
    /// # Cancel safety
    /// It may be dropped at any time.
    pub async fn wanted(&self) -> Wanted {
        let longest = self.lease().ttl.span().unwrap_or(Duration::MAX);
        loop {
            tokio::select! {
                biased;
                wanted = self.until_asked() => return wanted,
                outranking = self.outranking() => {
                    if let Some(by) = outranking {
                        return Wanted { by, reason: None, until: None };
                    }
                }
            }
            tokio::select! {
                biased;
                wanted = self.until_asked() => return wanted,
                () = sleep(heartbeat(longest)) => {}
            }
        }
    }

    /// The last request of an operator to release the key, if its time is not over. It needs no command.
    #[must_use]
    pub fn release_requested(&self) -> Option<Wanted> {
        self.validity.wanted(Instant::now())
    }

    /// Waits until somebody asks for the key.
    async fn until_asked(&self) -> Wanted {
        self.validity.until_wanted().await
    }

    /// The owner of the request at the head of the queue, if its priority is higher.
    async fn outranking(&self) -> Option<OwnerId> {
        let query = InspectQuery::new(self.key().clone()).with_limit(NonZeroU32::MIN);
        let limit = self.shared().config.operation_timeout.span();
        let call = self.shared().store.inspect(&query);
        let seen = match bounded(limit, Operation::Inspect, Some(self.key()), call).await {
            Ok(seen) => seen.value,
            Err(error) => {
                tracing::debug!(lock.key = %self.key(), %error, "the queue was not read");
                return None;
            }
        };
        let head = seen.waiters.items.into_iter().next()?;
        let is_own = head.session == self.lease().session;
        (!is_own && head.head_start > self.head_start()).then_some(head.owner)
    }
}

impl LockManager {
    /// Asks the present holders of a key to release it within a time, in the name of this manager's
    /// owner, and waits for that: `true` once none of them holds it any more.
    ///
    /// Their [`LockGuard::wanted`] completes, and nothing else happens to them: whoever cannot wait
    /// [evicts](Self::evict_all) them afterwards. The request is repeated every second, since a notice
    /// may be lost. Of more than 64 holders the first 64 to end are asked at a time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the key or the reason is invalid, or the time is not between 1
    /// millisecond and 1 day; [`ErrorKind::Unavailable`] when the store did not answer at the end;
    /// [`ErrorKind::Unsupported`] from a store without notices.
    ///
    /// # Cancel safety
    /// If dropped, the request is not repeated; it may have been heard.
    pub async fn request_release<K, R>(&self, key: K, within: Duration, why: R) -> Result<bool>
    where
        K: TryInto<LockKey, Error: Into<InvalidInput>>,
        R: TryInto<Reason, Error: Into<InvalidInput>>,
    {
        const OPERATION: Operation = Operation::RequestRelease;
        let key: LockKey = parse(OPERATION, key)?;
        let reason: Reason = parse(OPERATION, why)?;
        let within =
            Timeout::of("within", within).map_err(|input| Error::invalid(OPERATION, input))?;
        let until = Instant::now() + within.span();
        let mut appeal = ReleaseAppeal::new(key, self.owner().clone(), reason, within);
        if !self.capabilities().notices {
            return Err(Error::new(ErrorKind::Unsupported, OPERATION).with_key(appeal.key));
        }
        loop {
            let failure = match self.appeal(&appeal).await {
                Ok(asked) => {
                    // Later holders may stand before those that are meant.
                    let is_done = asked.holders.is_empty()
                        && (!asked.more || self.is_released(&appeal).await.unwrap_or(false));
                    if is_done {
                        return Ok(true);
                    }
                    let newest = asked.holders.iter().map(|holder| holder.token).max();
                    appeal.up_to = appeal.up_to.or(newest.filter(|_| !asked.more));
                    None
                }
                Err(error) if error.is_retryable() => Some(error),
                Err(error) => return Err(error),
            };
            sleep_until(until.min(Instant::now() + REPEATED_AFTER)).await;
            match Timeout::of("within", until.saturating_duration_since(Instant::now())) {
                Ok(left) => appeal.within = left,
                // The time is over: a last look, which asks nobody.
                Err(_) => {
                    return match failure {
                        Some(failure) => Err(failure),
                        None => self.is_released(&appeal).await,
                    };
                }
            }
        }
    }

    /// Returns `true` if no lease that is meant is alive.
    async fn is_released(&self, appeal: &ReleaseAppeal) -> Result<bool> {
        let query = InspectQuery::new(appeal.key.clone()).with_limit(NonZeroU32::MAX);
        let seen = self.inspect_page(&query).await?.value;
        let is_whole = seen.leases.len() as u64 == seen.holders;
        let is_meant = |token| appeal.up_to.is_none_or(|last| token <= last);
        Ok(is_whole && !seen.leases.iter().any(|lease| is_meant(lease.token)))
    }

    async fn appeal(&self, appeal: &ReleaseAppeal) -> Result<ReleaseRequested> {
        let call = self.shared.store.request_release(appeal);
        let limit = self.config().operation_timeout.span();
        Ok(bounded(limit, Operation::RequestRelease, Some(&appeal.key), call).await?.value)
    }
}
