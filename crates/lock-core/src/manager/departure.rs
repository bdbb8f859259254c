//! The task that gives back what was dropped: leases of guards, requests of futures.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::bounded::bounded;
use super::{Shared, Stay};
use crate::{CancelRequest, LockKey, Operation, ReleaseRequest, Result};

/// What nobody wants any more.
#[derive(Debug)]
pub(super) enum Departing {
    /// A lease, of which every answer came.
    Lease(ReleaseRequest),
    /// A request that waits, or holds, or may yet arrive.
    Request(CancelRequest),
}

/// A lease or a request that nobody wants any more.
pub(super) struct Departure {
    pub(super) stay: Stay,
    pub(super) departing: Departing,
    /// When the store has ended it by itself; `None` is never.
    pub(super) gone_by: Option<Instant>,
}

impl Departure {
    /// Hands the request to the task. It never blocks; when the runtime is gone, the ttl or the
    /// keep-alive ends the request.
    pub(super) fn leave(self) {
        let shared = Arc::clone(&self.stay.shared);
        let departures = shared.departures();
        if departures.as_ref().is_none_or(|departures| departures.send(self).is_err()) {
            tracing::warn!("a request is left to its ttl: the runtime of its manager is gone");
        }
    }
}

/// Tells the store of every departure, side by side, until no manager is left to send any.
pub(super) async fn see_off(mut departures: mpsc::UnboundedReceiver<Departure>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            departure = departures.recv() => match departure {
                Some(departure) => drop(under_way.spawn(tell(departure))),
                None => break,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
}

/// Tells the store until it understood, or has ended the request by itself.
async fn tell(departure: Departure) {
    let Departure { stay, departing, gone_by } = departure;
    let mut backoff = Backoff::default();
    loop {
        let (key, told) = departing.tell(&stay.shared).await;
        let Err(error) = told else { return };
        if !error.is_retryable() {
            tracing::warn!(lock.key = %key, %error, "a request could not be ended");
            return;
        }
        tracing::warn!(lock.key = %key, %error, "a request could not be ended yet");
        let pause = backoff.next();
        if gone_by.is_some_and(|gone_by| gone_by <= Instant::now() + pause) {
            return;
        }
        sleep(pause).await;
    }
}

impl Departing {
    async fn tell(&self, shared: &Shared) -> (&LockKey, Result<()>) {
        let limit = shared.config.operation_timeout;
        match self {
            Self::Lease(request) => {
                let key = &request.lease.key;
                let call = shared.store.release(request);
                let told = bounded(limit, Operation::Release, Some(key), call).await;
                (key, told.map(drop))
            }
            Self::Request(request) => {
                let key = &request.key;
                let call = shared.store.cancel(request);
                let told = bounded(limit, Operation::Cancel, Some(key), call).await;
                (key, told.map(drop))
            }
        }
    }
}
