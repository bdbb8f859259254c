//! `POST /v1/evict`: what an operator does to others.

use axum::Json;
use axum::extract::State;
use lock_core::{
    EvictRequest, Eviction, FencingToken, LeaseName, LockKey, OwnerId, Reason, RequestId, Timed,
};
use serde::Deserialize;

use crate::Service;
use crate::access::Caller;
use crate::audit::{Act, Client};
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
    caller: Caller,
    client: Client,
    Body(Evicts { key, by, reason, target }): Body<Evicts>,
) -> Result<Json<Timed<Eviction>>, Problem> {
    caller.needs_key(&key)?;
    let named = match &target {
        Target::AllLeases => None,
        Target::Lease { request, .. } | Target::Waiter(request) => Some(*request),
    };
    let act = Act::new(client, "evict", key.clone()).by(by.clone()).reason(reason.as_str());
    let act = act.request(named);
    let request = match target {
        Target::AllLeases => EvictRequest::all(key, by, reason),
        Target::Lease { request, token } => {
            EvictRequest::lease(LeaseName::new(key, request, token), by, reason)
        }
        Target::Waiter(request) => EvictRequest::waiter(key, request, by, reason),
    };
    evicted(service, act, request).await.map(Json)
}

/// Evicts for the API and the page, and records that.
pub(crate) async fn evicted(
    service: Service,
    mut act: Act,
    request: EvictRequest,
) -> Result<Timed<Eviction>, Problem> {
    Service::to_its_end(async move {
        let result = service.bounded(service.store.evict(&request)).await;
        if let Ok(evicted) = &result {
            evicted.value.leases.iter().for_each(|lease| act.lease(lease));
            evicted.value.waiter.iter().for_each(|waiter| act.waiter(waiter));
            act = if evicted.value.is_empty() { act.outcome("nothing") } else { act };
        }
        service.record(&act.ended(&result));
        result
    })
    .await
}
