//! The releaser: releases leases of dropped guards and cancels requests of dropped futures.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::bounded::{bounded, unwinding};
use super::planted::{self, ManagerFault};
use super::{Shared, TrackerToken};
use crate::{CancelRequest, LockKey, Operation, ReleaseRequest, Result, SessionId};

/// Command that ends an abandoned lease or request.
#[derive(Debug)]
pub(super) enum ReleaseCommand {
    /// A lease without outstanding answers.
    Lease(ReleaseRequest),
    /// A request that may be queued, granted or still on its way.
    Request(CancelRequest),
}

/// Release of an abandoned lease or request.
///
/// If dropped before it reached the store, it is counted, and the lease or request expires.
#[derive(Debug)]
pub(super) struct ReleaseJob {
    tracker: TrackerToken,
    command: ReleaseCommand,
    /// Time of expiry in the store; `None` if it does not expire.
    gone_by: Option<Instant>,
    session: SessionId,
    is_told: bool,
}

/// A release in progress.
pub(super) type ReleaseFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl ReleaseJob {
    pub(super) const fn new(
        tracker: TrackerToken,
        command: ReleaseCommand,
        gone_by: Option<Instant>,
        session: SessionId,
    ) -> Self {
        Self { tracker, command, gone_by, session, is_told: false }
    }

    /// Sends the release: immediately if that does not wait, otherwise in the background. Never
    /// blocks.
    pub(super) fn leave(self) {
        let shared = Arc::clone(&self.tracker.shared);
        // Elsewhere the store might start what only works there.
        let is_at_home = shared.life.is_at_home();
        let session = self.session;
        let mut telling: ReleaseFuture = Box::pin(self.tell());
        if is_at_home {
            let mut cx = Context::from_waker(Waker::noop());
            if telling.as_mut().poll(&mut cx).is_ready() {
                return;
            }
        }
        let departure = shared.sessions.depart(session);
        shared.life.hand_over(Box::pin(async move {
            telling.await;
            drop(departure);
        }));
    }

    /// Sends the release until the store confirms it or the request has expired.
    async fn tell(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let (key, told) = self.command.tell(&self.tracker.shared).await;
            let Err(error) = told else { break };
            if !error.is_retryable() {
                tracing::warn!(lock.key = %key, %error, "a request could not be ended");
                return;
            }
            tracing::warn!(lock.key = %key, %error, "a request could not be ended yet");
            let pause = backoff.next();
            if planted::has(ManagerFault::ForgetsReleases) {
                break;
            }
            if self.gone_by.is_some_and(|gone_by| gone_by <= Instant::now() + pause) {
                self.tracker.shared.meters.unreleased.increment(1);
                break;
            }
            sleep(pause).await;
        }
        self.is_told = true;
    }
}

impl Drop for ReleaseJob {
    fn drop(&mut self) {
        if !self.is_told {
            self.tracker.shared.unreleased.fetch_add(1, Ordering::Relaxed);
            self.tracker.shared.meters.unreleased.increment(1);
            let key = self.command.key();
            tracing::warn!(lock.key = %key, "a request is left to its ttl: its release did not reach the store");
        }
    }
}

/// Runs all releases concurrently until every manager is gone.
pub(super) async fn run_releaser(mut jobs: mpsc::UnboundedReceiver<ReleaseFuture>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = under_way.join_next() => {}
            releaser = jobs.recv() => match releaser {
                Some(telling) => drop(under_way.spawn(telling)),
                None => break,
            },
        }
    }
    while under_way.join_next().await.is_some() {}
}

impl ReleaseCommand {
    const fn key(&self) -> &LockKey {
        match self {
            Self::Lease(request) => &request.lease.key,
            Self::Request(request) => &request.key,
        }
    }

    async fn tell(&self, shared: &Shared) -> (&LockKey, Result<()>) {
        let limit = shared.config.operation_timeout.span();
        let key = self.key();
        let told = match self {
            Self::Lease(request) => {
                let call = unwinding(Operation::Release, shared.store.release(request));
                bounded(limit, Operation::Release, Some(key), call).await.map(drop)
            }
            Self::Request(request) => {
                let call = unwinding(Operation::Cancel, shared.store.cancel(request));
                bounded(limit, Operation::Cancel, Some(key), call).await.map(drop)
            }
        };
        (key, told)
    }
}
