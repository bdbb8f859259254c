//! `LOCK` and `UNLOCK`: the request of a lock is its `ID`, and waits in the queue.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lock_core::{
    CancelRequest, Cancellation, ErrorKind, EvictRequest, HearRequest, Heard, InspectQuery,
    Inspection, Lease, Mode, OwnerId, Reason, ReleaseRequest, RenewRequest, Renewal, RequestId,
    Timed, Ttl,
};

use super::lock_info::LockInfo;
use super::{StateName, Write};
use crate::Service;
use crate::access::Caller;
use crate::audit::{Act, Client};
use crate::problem::Problem;
use crate::service::Terraform;

/// How long a place, or a lock that nobody was told of, lives after its last connection.
const KEEP: Duration = Duration::from_secs(60);

/// Waits for the lock of a state, as long as its client and the patience of the service last.
pub(super) async fn lock(
    service: &Service,
    terraform: &Terraform,
    caller: Caller,
    state: &StateName,
    body: &Bytes,
) -> Result<Response, Problem> {
    let info = LockInfo::parse(body)?;
    let request = info.request()?;
    let _waiting = service.waits(&caller)?;
    let acquire = service.manager.acquire(state.key()).request(request);
    let acquire = acquire.owner(info.owner()?);
    let rule = service.config.terraform_policy.rule(state, &info);
    let acquire = acquire.metadata(info.metadata()?).mode(rule.mode()).priority(rule.priority());
    // Should nobody be there any more when it is granted, it is over with this.
    let acquire = acquire.ttl(KEEP).keep_alive(KEEP);
    let acquire = match terraform.patience {
        Some(patience) => acquire.wait(patience),
        None => acquire,
    };
    match acquire.lease().await {
        Ok(lease) => granted(service, terraform, state, &lease, rule.lease()).await,
        Err(error) if error.kind() == ErrorKind::WaitOver => {
            held(service, caller, state, request).await
        }
        Err(error) => Err(service.veil(caller).problem(Problem::from(error))),
    }
}

/// Fences the state, and lets the lock last as long as the policy says: Terraform renews nothing.
async fn granted(
    service: &Service,
    terraform: &Terraform,
    state: &StateName,
    lease: &Lease,
    ttl: Ttl,
) -> Result<Response, Problem> {
    let fenced = terraform.states.fence(state, lease.token).await?;
    // Of several that share the lock, an earlier one may come later.
    if let (Mode::Exclusive, Write::Outdated { highest }) = (lease.mode, fenced) {
        let detail = format!(
            "the state was written under token {highest}, above {} of this lock: \
             the store of locks is another, or has lost its last writes",
            lease.token
        );
        return Err(Problem::new(StatusCode::CONFLICT, "outdated", detail));
    }
    let renews = [RenewRequest::new(lease.name(), ttl)];
    match service.one(service.store.renew(&renews)).await?.value {
        Renewal::Renewed { .. } => Ok(Json(LockInfo::of(lease)).into_response()),
        Renewal::Ended(end) => Err(Problem::not_held(Some(end))),
        _ => Err(Problem::not_held(None)),
    }
}

/// The answer to a request that has waited long enough: it names the holder and the place.
async fn held(
    service: &Service,
    caller: Caller,
    state: &StateName,
    request: RequestId,
) -> Result<Response, Problem> {
    let seen = inspect(service, state).await?;
    let Some(lease) = seen.value.leases.first() else {
        // Free just now: the next call gets it.
        let detail = "the lock was released a moment ago: ask again";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "wait_over", detail));
    };
    let ahead = seen.value.waiters.items.iter().position(|waiter| waiter.request == request);
    let mut info = shown(service, caller, lease);
    let place = match ahead {
        Some(ahead) => format!("number {} of {} in the queue", ahead + 1, seen.value.waiting),
        None => format!("{} in the queue", seen.value.waiting),
    };
    let separator = if info.info.is_empty() { "" } else { "; " };
    info.info = format!("{}{separator}{place}", info.info);
    Ok((StatusCode::LOCKED, Json(info)).into_response())
}

/// Releases the lock of an `ID`, or takes it out of the queue.
pub(super) async fn unlock(
    service: &Service,
    caller: Caller,
    state: &StateName,
    body: &Bytes,
) -> Result<Response, Problem> {
    let request = LockInfo::parse(body)?.request()?;
    let seen = inspect(service, state).await?.value;
    if let Some(lease) = seen.leases.iter().find(|lease| lease.request == request) {
        let release = ReleaseRequest::new(lease.name());
        let _ = service.bounded(service.store.release(&release)).await?;
        return Ok(StatusCode::OK.into_response());
    }
    let hear = [HearRequest::new(state.key(), request)];
    match service.one(service.store.hear(&hear)).await?.value {
        Heard::Ended(end) => return Err(Problem::not_held(Some(end))),
        Heard::Absent => {}
        // It waits, or holds by now.
        _ => {
            let cancel = CancelRequest::new(state.key(), request);
            let cancelled = service.bounded(service.store.cancel(&cancel)).await?.value;
            if cancelled != Cancellation::Absent {
                return Ok(StatusCode::OK.into_response());
            }
        }
    }
    match seen.leases.first() {
        // An answer that was lost, and the call again.
        None => Ok(StatusCode::OK.into_response()),
        Some(lease) => {
            let info = shown(service, caller, lease);
            Ok((StatusCode::CONFLICT, Json(info)).into_response())
        }
    }
}

/// The lock of a lease as a client that does not hold it sees it.
fn shown(service: &Service, caller: Caller, lease: &Lease) -> LockInfo {
    let mut lease = lease.clone();
    service.veil(caller).lease(&mut lease);
    LockInfo::of(&lease)
}

/// Takes the lock from its holder by force.
pub(super) async fn force_unlock(
    service: &Service,
    client: Client,
    state: &StateName,
) -> Result<Response, Problem> {
    let by = OwnerId::parse(match client.token() {
        Some(token) => format!("terraform force-unlock by {token}"),
        None => "terraform force-unlock".to_owned(),
    })?;
    let reason = Reason::parse("force-unlock")?;
    let act = Act::new(client, "force_unlock", state.key());
    let mut act = act.by(by.clone()).reason(reason.as_str());
    let mut count = 0;
    let result = loop {
        let evict = EvictRequest::all(state.key(), by.clone(), reason.clone());
        let evicted = match service.bounded(service.store.evict(&evict)).await {
            Ok(evicted) => evicted.value,
            Err(problem) => break Err(problem),
        };
        for lease in &evicted.leases {
            count += 1;
            act.lease(lease);
            tracing::warn!(lock.key = %lease.key, lock.owner = %lease.owner, "a lock was unlocked by force");
        }
        if !evicted.more {
            break Ok(StatusCode::OK.into_response());
        }
    };
    let act = if count == 0 { act.outcome("nothing") } else { act };
    service.record(&act.ended(&result));
    result
}

/// The lock that an `ID` holds now.
pub(super) async fn lock_of(
    service: &Service,
    state: &StateName,
    request: RequestId,
) -> Result<Option<Lease>, Problem> {
    let seen = inspect(service, state).await?.value;
    Ok(seen.leases.into_iter().find(|lease| lease.request == request))
}

/// Returns the first holder of a state's lock, if it is held.
pub(super) async fn holder(service: &Service, state: &StateName) -> Result<Option<Lease>, Problem> {
    Ok(inspect(service, state).await?.value.leases.into_iter().next())
}

async fn inspect(service: &Service, state: &StateName) -> Result<Timed<Inspection>, Problem> {
    service.bounded(service.store.inspect(&InspectQuery::new(state.key()))).await
}
