//! `POST /v1/evict`: what an operator does to others.

use axum::Json;
use axum::extract::State;
use lock_core::{
    EvictRequest, Eviction, FencingToken, LeaseName, LockKey, OwnerId, Reason, RequestId, Timed,
};
use serde::Deserialize;

use crate::Service;
use crate::extract::Body;
use crate::problem::Problem;

/// Who ends what, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Evicts {
    key: LockKey,
    by: OwnerId,
    reason: Reason,
    #[serde(default)]
    target: Target,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    #[default]
    AllLeases,
    Lease {
        request: RequestId,
        token: FencingToken,
    },
    Waiter(RequestId),
}

pub(super) async fn evict(
    State(service): State<Service>,
    Body(Evicts { key, by, reason, target }): Body<Evicts>,
) -> Result<Json<Timed<Eviction>>, Problem> {
    let request = match target {
        Target::AllLeases => EvictRequest::all(key, by, reason),
        Target::Lease { request, token } => {
            EvictRequest::lease(LeaseName::new(key, request, token), by, reason)
        }
        Target::Waiter(request) => EvictRequest::waiter(key, request, by, reason),
    };
    Ok(Json(evicted(&service, &request).await?))
}

/// Evicts for the API and the page.
pub(crate) async fn evicted(
    service: &Service,
    request: &EvictRequest,
) -> Result<Timed<Eviction>, Problem> {
    service.bounded(service.store.evict(request)).await
}
