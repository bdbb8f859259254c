//! Metrics of the service: requests, connections, and their export.

use std::fmt;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use lock_core::telemetry::Metric;
use metrics::Gauge;

use crate::Service;
use crate::problem::Problem;

/// Content type of Prometheus' text format.
const TEXT: &str = "text/plain; version=0.0.4";

const REQUESTS: Metric = Metric::counter(
    "lock_http_requests_total",
    &["method", "route", "status"],
    "Answered requests to the service",
);
const CONNECTIONS: Metric =
    Metric::gauge("lock_http_connections", &[], "Open connections of the service");

/// The metrics of this crate, beside those of [`lock_core`].
pub const METRICS: &[Metric] = &[REQUESTS, CONNECTIONS];

/// Renders the metrics of the process.
#[derive(Clone)]
pub(crate) struct Exporter(Arc<dyn Fn() -> String + Send + Sync>);

impl Exporter {
    pub(crate) fn new(render: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(render))
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exporter")
    }
}

/// `GET /metrics`, in Prometheus' text format.
pub(crate) async fn export(
    State(service): State<Service>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    match &service.exporter {
        Some(Exporter(render)) => Ok(([(header::CONTENT_TYPE, TEXT)], render())),
        None => {
            let detail = "this service exports no metrics";
            Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", detail))
        }
    }
}

/// Counts a request by its route, which names no key, and the status of its answer.
pub(crate) async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = known(request.method());
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str).to_owned();
    let status = response.status().as_u16().to_string();
    let labels = [("method", method.to_owned()), ("route", route), ("status", status)];
    metrics::counter!(REQUESTS.name, &labels).increment(1);
    response
}

/// The name of a method; a client cannot make up others.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "LOCK", "UNLOCK"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

/// Describes the metrics to the recorder, and returns the gauge of connections.
pub(crate) fn connections() -> Gauge {
    for metric in METRICS {
        metric.describe();
    }
    metrics::gauge!(CONNECTIONS.name)
}

/// Counts a connection while it lives.
pub(crate) struct OpenConnection(Gauge);

impl OpenConnection {
    pub(crate) fn new(connections: &Gauge) -> Self {
        connections.increment(1);
        Self(connections.clone())
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}
