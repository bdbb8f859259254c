//! `GET /livez` and `GET /readyz`, for what restarts the service and what sends it requests.

use axum::extract::State;
use axum::http::StatusCode;

use crate::Service;
use crate::problem::Problem;

/// Whether the process serves at all.
pub(super) async fn live() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Whether locks can be granted now: the store answers in time that it grants them, and the service
/// does not end.
///
/// It needs no token, so it says nothing of the store.
pub(super) async fn ready(State(service): State<Service>) -> Result<StatusCode, Problem> {
    let unavailable = |kind, detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail);
    if service.closing.is_cancelled() {
        return Err(unavailable("shut_down", "the service ends"));
    }
    let health = service.store.health();
    match tokio::time::timeout(service.config.ready_timeout, health).await {
        Ok(Ok(health)) if health.grants => Ok(StatusCode::NO_CONTENT),
        Ok(Ok(health)) => {
            tracing::warn!(%health, "the store grants no locks");
            Err(unavailable("unavailable", "the store grants no locks now"))
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store is not ready");
            Err(unavailable("unavailable", "the store does not answer"))
        }
        Err(_) => Err(unavailable("unavailable", "the store does not answer in time")),
    }
}
