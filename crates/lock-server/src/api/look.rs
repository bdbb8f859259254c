//! Locks, queues, the waits of an owner, and the health of the store.

use std::num::NonZeroU32;

use axum::Json;
use axum::extract::State;
use lock_core::{
    Cursor, Health, InspectQuery, Inspection, Lease, ListQuery, LockKey, OwnerId, Page, SessionId,
    Timed, Waiter, WaitsOf, WaitsQuery,
};
use serde::Deserialize;

use crate::Service;
use crate::access::Caller;
use crate::extract::{Asked, Named};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lists {
    prefix: Option<String>,
    owner: Option<OwnerId>,
    limit: Option<NonZeroU32>,
    after: Option<Cursor>,
}

pub(super) async fn list(
    State(service): State<Service>,
    caller: Caller,
    Asked(Lists { prefix, owner, limit, after }): Asked<Lists>,
) -> Result<Json<Timed<Page<Lease>>>, Problem> {
    let prefix = caller.narrowed(prefix.unwrap_or_default());
    let mut query = ListQuery::all().with_prefix(prefix);
    let veil = service.veil_of(caller, "locks");
    if let Some(owner) = owner {
        query = query.with_owner(owner);
    }
    if let Some(limit) = limit {
        query = query.with_limit(limit);
    }
    if let Some(after) = after {
        query = query.after(veil.after(after)?);
    }
    let page = service.bounded(service.store.list(&query)).await?;
    Ok(Json(page.map(|page| veil.leases(page))))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pages {
    limit: Option<NonZeroU32>,
    after: Option<Cursor>,
}

pub(super) async fn inspect(
    State(service): State<Service>,
    caller: Caller,
    Named(key): Named,
    Asked(Pages { limit, after }): Asked<Pages>,
) -> Result<Json<Timed<Inspection>>, Problem> {
    let key = LockKey::parse(key)?;
    caller.needs_key(&key)?;
    let veil = service.veil_of(caller, "queue");
    let mut query = InspectQuery::new(key);
    if let Some(limit) = limit {
        query = query.with_limit(limit);
    }
    if let Some(after) = after {
        query = query.after(veil.after(after)?);
    }
    let seen = service.bounded(service.store.inspect(&query)).await?;
    Ok(Json(seen.map(|seen| veil.inspection(seen))))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Waits {
    owner: Option<OwnerId>,
    session: Option<SessionId>,
    limit: Option<NonZeroU32>,
    after: Option<Cursor>,
}

pub(super) async fn waits(
    State(service): State<Service>,
    caller: Caller,
    Asked(Waits { owner, session, limit, after }): Asked<Waits>,
) -> Result<Json<Timed<Page<Waiter>>>, Problem> {
    let of = match (owner, session) {
        (Some(owner), None) => WaitsOf::Owner(owner),
        (None, Some(session)) => WaitsOf::Session(session),
        _ => return Err(Problem::invalid("name either an owner or a session")),
    };
    let veil = service.veil_of(caller, "waits");
    let mut query = WaitsQuery::new(of);
    if let Some(limit) = limit {
        query = query.with_limit(limit);
    }
    if let Some(after) = after {
        query = query.after(veil.after(after)?);
    }
    let page = service.bounded(service.store.waits_of(&query)).await?;
    Ok(Json(page.map(|page| veil.waiters(page))))
}

pub(super) async fn health(State(service): State<Service>) -> Result<Json<Health>, Problem> {
    Ok(Json(service.bounded(service.manager.health()).await?))
}
