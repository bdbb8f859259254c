//! State of a pending request in the registry of waiters.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::clock_bound::ClockBound;
use super::notification::{Notification, QueueStatus};
use crate::{End, FencingToken};

/// A registered request.
#[derive(Debug)]
pub(super) struct WaiterEntry {
    /// Number of futures that share it, nearly always one.
    pub(super) sharers: usize,
    /// Value of the hurry counter when the request was registered or last waited.
    pub(super) hurries: u64,
    /// `true` if the store must be asked as soon as the request waits.
    pub(super) ask: bool,
    /// The last notification, and its number.
    pub(super) news: Option<Box<Notification>>,
    pub(super) version: u64,
    pub(super) told: Option<Arc<Notify>>,
    /// Last forced end of a lease of the request, for a guard created after the notice.
    pub(super) ended: Option<Box<(FencingToken, End)>>,
    pub(super) wait: Option<Box<QueuedEntry>>,
}

/// State of a queued request.
#[derive(Debug)]
pub(super) struct QueuedEntry {
    pub(super) heartbeat: Duration,
    /// Last answer, with the hurry counter at that time; a notice of a grant counts from it unless
    /// the counter has changed.
    pub(super) answered: Option<(ClockBound, u64)>,
    pub(super) status: QueueStatus,
    pub(super) backoff: Backoff,
    /// Time-out of the next answer; it grows after each time-out.
    pub(super) limit: Duration,
    /// Time of the last attempt.
    pub(super) tried: Instant,
}

impl WaiterEntry {
    pub(super) const fn new(hurries: u64) -> Self {
        Self {
            sharers: 0,
            hurries,
            ask: false,
            news: None,
            version: 0,
            told: None,
            ended: None,
            wait: None,
        }
    }

    /// Keeps the news; whom to wake, once the table is free, is returned: a waker may do anything.
    #[must_use]
    pub(super) fn tell(&mut self, news: Notification) -> Option<Arc<Notify>> {
        self.news = Some(Box::new(news));
        self.version += 1;
        self.told.clone()
    }

    pub(super) const fn forget_answers(&mut self) {
        if let Some(wait) = &mut self.wait {
            wait.answered = None;
        }
    }
}
