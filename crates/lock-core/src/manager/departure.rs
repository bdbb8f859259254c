//! The task that gives back what was dropped: leases of guards, requests of futures.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::bounded::bounded;
use super::{Shared, Stay};
use crate::{CancelRequest, Cancellation, Operation};

/// The shortest and the longest pause before a departure that failed is repeated.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(5));

/// A request that nobody wants any more, held or waiting.
///
/// Both are ended by a cancel, which releases what was granted: so it does not matter whether the
/// last answer was lost.
pub(super) struct Departure {
    pub(super) stay: Stay,
    pub(super) ended: CancelRequest,
    /// When the store has ended it by itself; `None` is never.
    pub(super) gone_by: Option<Instant>,
    /// Whether a command of the request may still arrive, after it was ended.
    pub(super) may_arrive_late: bool,
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
    let Departure { stay, ended, gone_by, mut may_arrive_late } = departure;
    let Shared { store, config, .. } = &*stay.shared;
    let (mut pause, longest) = PAUSES;
    loop {
        let cancel = store.cancel(&ended);
        let limit = config.operation_timeout;
        let answer = bounded(limit, Operation::Cancel, Some(&ended.key), cancel).await;
        match answer {
            // Nothing was there, and a command was never answered: it may be under way yet. It is
            // given the time that the store has for an answer, and the request is ended again.
            Ok(Cancellation::Absent) if may_arrive_late => {
                may_arrive_late = false;
                sleep(limit).await;
                continue;
            }
            Ok(_) => return,
            Err(error) if error.is_retryable() => {
                tracing::warn!(lock.key = %ended.key, %error, "a request could not be ended yet");
            }
            Err(error) => {
                tracing::warn!(lock.key = %ended.key, %error, "a request could not be ended");
                return;
            }
        }
        if gone_by.is_some_and(|gone_by| gone_by <= Instant::now() + pause) {
            return;
        }
        sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(longest);
    }
}
