//! What is known of a request that a manager waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::clock_bound::ClockBound;
use super::notification::{Notification, QueueStatus};
use crate::{End, FencingToken};

/// A request in the table.
#[derive(Debug)]
pub(super) struct WaiterEntry {
    /// The number of futures that share it: nearly always one.
    pub(super) sharers: usize,
    /// How often all had been told to ask when it was entered or last waited.
    pub(super) hurries: u64,
    /// Whether the store is to be asked as soon as the request waits.
    pub(super) ask: bool,
    /// The last news, and its number.
    pub(super) news: Option<Box<Notification>>,
    pub(super) version: u64,
    pub(super) told: Option<Arc<Notify>>,
    /// The last lease of the request that was ended by force, for a guard that is made after it was
    /// told.
    pub(super) ended: Option<Box<(FencingToken, End)>>,
    pub(super) wait: Option<Box<QueuedEntry>>,
}

/// A row whose request has a place in the queue.
#[derive(Debug)]
pub(super) struct QueuedEntry {
    pub(super) heartbeat: Duration,
    /// The last answer, with the number of times that all had been told to ask; a grant that is told
    /// counts from it unless that number moved on.
    pub(super) answered: Option<(ClockBound, u64)>,
    pub(super) status: QueueStatus,
    pub(super) backoff: Backoff,
    /// How long the next answer is waited for; longer after each that did not come in time.
    pub(super) limit: Duration,
    /// When the task last took it up.
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
