//! The routes of the API.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};

use super::{acquire, admin, events, hold, leases, look};
use crate::Service;
use crate::problem::Problem;

pub(crate) fn router() -> Router<Service> {
    Router::new()
        .route("/v1/acquire", post(acquire::acquire))
        .route("/v1/hold", post(hold::hold))
        .route("/v1/renew", post(leases::renew))
        .route("/v1/release", post(leases::release))
        .route("/v1/cancel", post(leases::cancel))
        .route("/v1/transfer", post(leases::transfer))
        .route("/v1/evict", post(admin::evict))
        .route("/v1/locks", get(look::list))
        .route("/v1/locks/{*key}", get(look::inspect))
        .route("/v1/waits", get(look::waits))
        .route("/v1/events", get(events::events))
        .route("/v1/health", get(look::health))
        .route("/v1/live", get(look::live))
        .route("/v1/ready", get(look::ready))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
}

async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path")
}

async fn wrong_method() -> Problem {
    let detail = "the path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}
