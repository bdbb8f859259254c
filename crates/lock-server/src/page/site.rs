//! What all handlers of the page share.

use std::sync::Arc;

use super::csrf::Csrf;
use super::feed::Feed;
use crate::Service;

/// What all handlers of the page share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) service: Service,
    pub(super) csrf: Csrf,
    pub(super) feed: Arc<Feed>,
}

impl Site {
    pub(super) fn new(service: Service) -> Self {
        Self { service, csrf: Csrf::new(), feed: Arc::new(Feed::new()) }
    }

    /// Lets the feed read events of the store, as the page is in use.
    pub(super) fn wake(&self) {
        self.feed.wake(&self.service);
    }
}
