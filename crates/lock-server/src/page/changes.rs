//! `GET /page/changes`: hints that a page is out of date, as server-sent events.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse as _, Response, Sse};
use futures_core::Stream;
use lock_core::LockKey;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::failure::Failure;
use super::site::Site;
use crate::access::Caller;

/// Least time between two hints.
const SPAN: Duration = Duration::from_secs(1);

/// Interval at which a connection says that the page is in use.
const BEAT: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
pub(super) struct Watches {
    key: Option<LockKey>,
}

pub(super) async fn changes(
    State(site): State<Arc<Site>>,
    caller: Caller,
    watches: Result<Query<Watches>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(Watches { key }) = watches?;
    key.as_ref().map_or(Ok(()), |key| caller.needs_key(key))?;
    site.wake();
    let mut changes = site.feed.changes();
    let seen = *changes.borrow_and_update();
    let hints = Hints { site, key, changes, seen, last: None };
    let stream = HintStream(Box::pin(hints.next()));
    let headers = [("x-accel-buffering", "no")];
    Ok((headers, Sse::new(stream).keep_alive(KeepAlive::default())).into_response())
}

/// The state between two hints.
struct Hints {
    site: Arc<Site>,
    /// The key that is watched, or all.
    key: Option<LockKey>,
    changes: watch::Receiver<u64>,
    /// Number of the last event that the page knows.
    seen: u64,
    last: Option<Instant>,
}

impl Hints {
    /// The next hint, the first at once: a page may be older than its connection.
    async fn next(mut self) -> Option<(Event, Self)> {
        let closing = self.site.service.closing.clone();
        if self.last.is_some() {
            closing.run_until_cancelled(self.changed()).await?;
        }
        self.seen = *self.changes.borrow_and_update();
        self.last = Some(Instant::now());
        Some((Event::default().event("changed").data("1"), self))
    }

    async fn changed(&mut self) {
        loop {
            let seen = self.seen;
            if self.site.feed.has_changed(self.key.as_ref(), seen) {
                break;
            }
            // Of what was seen, nothing is of the key.
            self.seen = *self.changes.borrow_and_update();
            if self.site.feed.has_changed(self.key.as_ref(), seen) {
                break;
            }
            // The sender lives as long as the site.
            let _ = tokio::time::timeout(BEAT, self.changes.changed()).await;
            self.site.wake();
        }
        if let Some(last) = self.last {
            tokio::time::sleep_until(last + SPAN).await;
        }
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Event, Hints)>> + Send>>;

/// The hints as they are sent, until the service ends.
struct HintStream(Next);

impl Stream for HintStream {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll(cx).map(|next| {
            let (event, hints) = next?;
            self.0 = Box::pin(hints.next());
            Some(Ok(event))
        })
    }
}
