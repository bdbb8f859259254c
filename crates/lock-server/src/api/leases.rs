//! `renew`, `release`, `cancel` and `transfer`: what a client does with its own.

use axum::Json;
use axum::extract::State;
use lock_core::{
    CancelRequest, Cancellation, Lease, LeaseName, LockKey, Metadata, OwnerId, Release,
    ReleaseRequest, RenewRequest, Renewal, RequestId, Timestamp, Transfer, TransferRequest,
    TransferTo, Ttl,
};
use serde::{Deserialize, Serialize};

use crate::Service;
use crate::access::{Caller, Role};
use crate::audit::{Act, Client};
use crate::extract::Body;
use crate::problem::Problem;

/// A lease by its name; the other fields of a lease may be there, too.
#[derive(Debug, Deserialize)]
pub(super) struct Renews {
    #[serde(flatten)]
    lease: LeaseName,
    #[serde(default)]
    ttl: Ttl,
}

#[derive(Serialize)]
pub(super) struct Renewed {
    observed_at: Timestamp,
    expires_at: Option<Timestamp>,
}

pub(super) async fn renew(
    State(service): State<Service>,
    caller: Caller,
    Body(Renews { lease, ttl }): Body<Renews>,
) -> Result<Json<Renewed>, Problem> {
    caller.needs_key(&lease.key)?;
    let requests = [RenewRequest::new(lease, ttl)];
    let renewed = service.one(service.store.renew(&requests)).await?;
    match renewed.value {
        Renewal::Renewed { expires_at } => {
            Ok(Json(Renewed { observed_at: renewed.observed_at, expires_at }))
        }
        Renewal::Ended(end) => Err(Problem::not_held(Some(end))),
        _ => Err(Problem::not_held(None)),
    }
}

#[derive(Serialize)]
pub(super) struct Released {
    released: LockKey,
}

pub(super) async fn release(
    State(service): State<Service>,
    caller: Caller,
    Body(lease): Body<LeaseName>,
) -> Result<Json<Released>, Problem> {
    caller.needs_key(&lease.key)?;
    let key = lease.key.clone();
    let request = ReleaseRequest::new(lease);
    match service.bounded(service.store.release(&request)).await?.value {
        Release::Released => Ok(Json(Released { released: key })),
        Release::Ended(end) => Err(Problem::not_held(Some(end))),
        _ => Err(Problem::not_held(None)),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancels {
    key: LockKey,
    request: RequestId,
}

#[derive(Serialize)]
pub(super) struct Cancelled {
    cancelled: &'static str,
}

/// Cancels a request: it leaves the queue, or its lease is released. A call that is still on its way
/// takes no lock after that. A client that sees the requests of others may cancel them, and leaves a
/// line in the audit log.
pub(super) async fn cancel(
    State(service): State<Service>,
    caller: Caller,
    client: Client,
    Body(Cancels { key, request }): Body<Cancels>,
) -> Result<Json<Cancelled>, Problem> {
    caller.needs_key(&key)?;
    let act = Act::new(client, "cancel", key.clone()).request(Some(request));
    let request = CancelRequest::new(key, request).with_answer_outstanding(true);
    Service::to_its_end(async move {
        let result = service.bounded(service.store.cancel(&request)).await;
        let cancelled = result.as_ref().map_or("", |answer| match answer.value {
            Cancellation::Dequeued => "dequeued",
            Cancellation::Released => "released",
            _ => "absent",
        });
        if caller.needs(Role::Operate).is_ok() {
            let act = if cancelled == "absent" { act.outcome("nothing") } else { act };
            service.record(&act.ended(&result));
        }
        result.map(|_| Json(Cancelled { cancelled }))
    })
    .await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfers {
    lease: LeaseName,
    by: OwnerId,
    to: Receiver,
}

/// Who gets the lease.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Receiver {
    /// An owner who does not wait.
    Owner {
        owner: OwnerId,
        request: Option<RequestId>,
        #[serde(default)]
        metadata: Metadata,
    },
    /// A waiter of the same key and mode.
    Waiter(RequestId),
}

#[derive(Serialize)]
pub(super) struct Transferred {
    lease: Lease,
}

pub(super) async fn transfer(
    State(service): State<Service>,
    caller: Caller,
    Body(Transfers { lease, by, to }): Body<Transfers>,
) -> Result<Json<Transferred>, Problem> {
    caller.needs_key(&lease.key)?;
    let to = match to {
        Receiver::Owner { owner, request, metadata } => {
            let request = request.unwrap_or_else(RequestId::random);
            TransferTo::Owner { owner, request, metadata }
        }
        Receiver::Waiter(request) => TransferTo::Waiter(request),
    };
    let request = TransferRequest::new(lease, by, to);
    Ok(Json(Transferred { lease: transferred(&service, &request).await? }))
}

/// Transfers for the API and the page.
pub(crate) async fn transferred(
    service: &Service,
    request: &TransferRequest,
) -> Result<Lease, Problem> {
    let refused = |detail| Err(Problem::new(axum::http::StatusCode::CONFLICT, "refused", detail));
    match service.bounded(service.store.transfer(request)).await?.value {
        Transfer::Transferred(lease) => Ok(lease),
        Transfer::Ended(end) => Err(Problem::not_held(Some(end))),
        Transfer::NotWaiting => refused("the receiver does not wait for the key in this mode"),
        Transfer::AlreadyHolds => refused("the receiver holds the key already"),
        _ => Err(Problem::not_held(None)),
    }
}
