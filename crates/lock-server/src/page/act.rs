//! `POST /page/ACT`: the acts, by the same ways as those of the API.

use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::Redirect;
use lock_core::{
    EvictRequest, FencingToken, LeaseName, LockKey, Metadata, OwnerId, Reason, RequestId,
    TransferRequest, TransferTo,
};
use serde::Deserialize;

use super::address;
use super::csrf::Visitor;
use super::failure::Failure;
use super::site::Site;
use crate::access::Caller;
use crate::api;
use crate::audit::{Act, Client};
use crate::problem::Problem;

/// The fields of all forms, as they come.
#[derive(Debug, Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    csrf: String,
    key: LockKey,
    request: RequestId,
    token: Option<String>,
    #[serde(default)]
    by: String,
    #[serde(default)]
    reason: String,
    waiter: Option<RequestId>,
    #[serde(default)]
    owner: String,
    #[serde(default)]
    receiver: String,
}

type Sent = Result<Form<Fields>, FormRejection>;
type Answer = Result<Redirect, Failure>;

pub(super) async fn evict(
    State(site): State<Arc<Site>>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    sent: Sent,
) -> Answer {
    let fields = checked(&site, &caller, &headers, sent)?;
    end(&site, client, &fields, fields.eviction(), "evicted").await
}

pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    sent: Sent,
) -> Answer {
    let fields = checked(&site, &caller, &headers, sent)?;
    end(&site, client, &fields, fields.cancellation(), "cancelled").await
}

/// Ends what the request names, and leads back with the notice.
async fn end(
    site: &Site,
    client: Client,
    fields: &Fields,
    request: Result<EvictRequest, Problem>,
    notice: &str,
) -> Answer {
    let failed = |problem: Problem| Failure::of_act(problem, &fields.key);
    let (request, act) = (request.map_err(failed)?, fields.act(client, "evict"));
    let ended = api::evicted(site.service.clone(), act, request).await.map_err(failed)?.value;
    if ended.is_empty() {
        return Err(failed(Problem::not_held(None)));
    }
    Ok(fields.back(notice))
}

pub(super) async fn transfer(
    State(site): State<Arc<Site>>,
    caller: Caller,
    client: Client,
    headers: HeaderMap,
    sent: Sent,
) -> Answer {
    let fields = checked(&site, &caller, &headers, sent)?;
    let failed = |problem: Problem| Failure::of_act(problem, &fields.key);
    let request = fields.transfer().map_err(failed)?;
    let result = api::transferred(&site.service, &request).await;
    site.service.record(&fields.act(client, "transfer").ended(&result));
    result.map_err(failed)?;
    Ok(fields.back("transferred"))
}

/// The fields, if the form is one that this process gave to this browser.
fn checked(
    site: &Site,
    caller: &Caller,
    headers: &HeaderMap,
    sent: Sent,
) -> Result<Fields, Failure> {
    let Form(fields) = sent?;
    caller.needs_key(&fields.key).map_err(|problem| Failure::of_act(problem, &fields.key))?;
    let is_ours = Visitor::of(headers).is_some_and(|it| site.csrf.is_valid(&it, &fields.csrf));
    if is_ours { Ok(fields) } else { Err(Failure::stale(Some(fields.key))) }
}

impl Fields {
    /// The act for the audit log, in whose name and why as they were typed.
    fn act(&self, client: Client, name: &'static str) -> Act {
        let act = Act::new(client, name, self.key.clone()).request(Some(self.request));
        let act = act.reason(self.reason.trim());
        match self.by() {
            Ok(by) => act.by(by),
            Err(_) => act,
        }
    }

    fn eviction(&self) -> Result<EvictRequest, Problem> {
        let reason = Reason::parse(self.reason.trim())?;
        Ok(EvictRequest::lease(self.lease()?, self.by()?, reason))
    }

    /// A request that was granted in the meantime keeps its lease.
    fn cancellation(&self) -> Result<EvictRequest, Problem> {
        let reason = Reason::parse(self.reason.trim())?;
        Ok(EvictRequest::waiter(self.key.clone(), self.request, self.by()?, reason))
    }

    fn transfer(&self) -> Result<TransferRequest, Problem> {
        let to = match (self.waiter, self.receiver.trim()) {
            (Some(waiter), _) => TransferTo::Waiter(waiter),
            (None, receiver) => {
                let owner = OwnerId::parse(self.owner.trim())?;
                let request = match receiver {
                    "" => RequestId::random(),
                    receiver => RequestId::parse(receiver)?,
                };
                TransferTo::Owner { owner, request, metadata: Metadata::default() }
            }
        };
        Ok(TransferRequest::new(self.lease()?, self.by()?, to))
    }

    fn by(&self) -> Result<OwnerId, Problem> {
        Ok(OwnerId::parse(self.by.trim())?)
    }

    fn lease(&self) -> Result<LeaseName, Problem> {
        let token = self.token.as_deref().and_then(|token| token.parse().ok());
        match token.and_then(FencingToken::new) {
            Some(token) => Ok(LeaseName::new(self.key.clone(), self.request, token)),
            None => Err(Problem::invalid("the form names no token of a lease")),
        }
    }

    /// Leads back to the key, by `GET`.
    fn back(&self, notice: &str) -> Redirect {
        Redirect::to(&address::of_key_with(&self.key, "notice", notice))
    }
}
