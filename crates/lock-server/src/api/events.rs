//! `GET /v1/events`: what happens, as server-sent events.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use futures_core::Stream;
use lock_core::{EventCursor, EventFilter, EventStream, Watched};
use serde::Deserialize;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::Service;
use crate::access::{Caller, Veil};
use crate::extract::Asked;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Watches {
    prefix: Option<String>,
    after: Option<String>,
}

pub(super) async fn events(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    Asked(Watches { prefix, after }): Asked<Watches>,
) -> Result<Response, Problem> {
    let filter = EventFilter::all().with_prefix(caller.narrowed(prefix.unwrap_or_default()));
    // A browser that lost its connection says where it stopped.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let after = last.or(after).map(EventCursor::new);
    let events = service.bounded(service.store.watch(&filter, after.as_ref())).await?;
    let revoked = Box::pin(caller.revoked().cancelled_owned());
    let veil = service.veil(caller);
    let closing = Box::pin(service.closing.cancelled_owned());
    Ok(Sse::new(Events { events, veil, closing, revoked })
        .keep_alive(KeepAlive::default())
        .into_response())
}

/// The events that a client sees, until the service ends or its token is revoked.
struct Events {
    events: EventStream,
    veil: Veil,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    revoked: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Stream for Events {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.closing.as_mut().poll(cx).is_ready() || self.revoked.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        loop {
            let Some(watched) = ready!(self.events.as_mut().poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(watched) = self.veil.watched(watched) {
                return Poll::Ready(Some(Ok(sent(&watched))));
            }
        }
    }
}

fn sent(watched: &Watched) -> Event {
    match watched {
        Watched::Event(event) => {
            let data = serde_json::to_string(event).unwrap_or_default();
            Event::default().id(event.cursor.as_str()).event("change").data(data)
        }
        Watched::Missed(count) => {
            Event::default().event("missed").data(format!("{{\"missed\":{count}}}"))
        }
        _ => Event::default().comment("an event of a newer kind"),
    }
}
