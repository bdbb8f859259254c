//! `POST /v1/hold`: the connection holds the key.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use lock_core::{Attempt, LockGuard, LossReason};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::acquire::Asks;
use crate::Service;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::Problem;

/// Acquires the key and renews the lease as long as the client keeps the connection open. One line
/// says what was granted, one now and then that it is held, and the last how it was lost.
pub(super) async fn hold(
    State(service): State<Service>,
    caller: Caller,
    Body(asks): Body<Asks>,
) -> Result<Response, Problem> {
    asks.is_allowed(&caller)?;
    let (request, wait) = (asks.request(), asks.wait(&service)?);
    let guard = if wait.is_zero() {
        match asks.once(&service, request).await {
            Ok(Attempt::Acquired(guard)) => Ok(guard),
            Ok(Attempt::Held(position)) => Err(asks.held(position)),
            Err(error) => Err(error),
        }
    } else {
        let _waiting = service.waits(&caller)?;
        asks.queued(&service, request).wait(wait).await
    };
    let revoked = caller.revoked();
    let veil = service.veil(caller);
    let guard = guard.map_err(|error| veil.problem(Problem::from(error)))?;
    let lines = Lines::new(guard, service.config.pulse, service.closing, revoked);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, HttpBody::from_stream(lines)).into_response())
}

/// Says why the lease was lost.
type Lost = Pin<Box<dyn Future<Output = String> + Send>>;

/// The lines of a connection that holds a key. Dropped, it releases the lease.
struct Lines {
    first: Option<String>,
    pulse: Interval,
    lost: Lost,
    is_over: bool,
}

impl Lines {
    fn new(
        guard: LockGuard,
        pulse: Duration,
        closing: CancellationToken,
        revoked: CancellationToken,
    ) -> Self {
        let first = json!({ "lease": guard.lease() }).to_string();
        let mut pulse = tokio::time::interval_at(tokio::time::Instant::now() + pulse, pulse);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let lost = Box::pin(async move {
            let lost = closing.run_until_cancelled(guard.lost());
            match revoked.run_until_cancelled(lost).await {
                Some(lost) => lost.unwrap_or(LossReason::ShutDown).to_string(),
                None => "the token was revoked".to_owned(),
            }
        });
        Self { first: Some(first), pulse, lost, is_over: false }
    }
}

impl Stream for Lines {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let line = |text: String| Poll::Ready(Some(Ok(Bytes::from(text + "\n"))));
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return line(first);
        }
        if let Poll::Ready(reason) = self.lost.as_mut().poll(cx) {
            self.is_over = true;
            return line(json!({ "lost": reason }).to_string());
        }
        match self.pulse.poll_tick(cx) {
            Poll::Ready(_) => line(json!({ "held": true }).to_string()),
            Poll::Pending => Poll::Pending,
        }
    }
}
