//! `GET`, `POST` and `DELETE` of a state. A write needs the lock that its `ID` names.

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use lock_core::{Mode, RequestId};

use super::lock::{holder, lock_of};
use super::lock_info;
use super::{Refused, StateName, Write};
use crate::Service;
use crate::audit::{Act, Client};
use crate::problem::Problem;
use crate::service::Terraform;

pub(super) async fn load(terraform: &Terraform, state: &StateName) -> Result<Response, Problem> {
    match terraform.states.load(state).await? {
        Some(body) => Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response()),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

/// Replaces the state, or removes it where there is no body.
pub(super) async fn write(
    service: &Service,
    terraform: &Terraform,
    client: Client,
    state: &StateName,
    id: Option<&str>,
    body: Option<Bytes>,
) -> Result<Response, Problem> {
    let is_delete = body.is_none();
    let name = if is_delete { "delete_state" } else { "write_state" };
    let request = id.map(lock_info::request).transpose()?;
    let act = Act::new(client, name, state.key()).request(request);
    let refused = match replace(service, terraform, state, request, id, body.clone()).await {
        Ok(None) => {
            if is_delete {
                service.record(&act);
            }
            return Ok(StatusCode::OK.into_response());
        }
        Ok(Some(reason)) => reason,
        Err(problem) => {
            let result: Result<(), _> = Err(problem);
            if is_delete {
                service.record(&act.ended(&result));
            }
            return result.map(|()| StatusCode::OK.into_response());
        }
    };
    service.record(&act.reason(refused.clone()).outcome("refused"));
    tracing::warn!(state = %state, reason = refused, "a write was refused");
    if let Some(body) = body {
        let kept = Refused::new(body, id.unwrap_or_default().to_owned(), refused.clone());
        terraform.states.keep_refused(state, &kept).await?;
    }
    Err(Problem::new(StatusCode::CONFLICT, "not_held", refused))
}

/// Writes under the lock of the request, or returns why that is refused.
async fn replace(
    service: &Service,
    terraform: &Terraform,
    state: &StateName,
    request: Option<RequestId>,
    id: Option<&str>,
    body: Option<Bytes>,
) -> Result<Option<String>, Problem> {
    let held = match request {
        Some(request) => lock_of(service, state, request).await?,
        None => None,
    };
    let Some(lease) = held else {
        let reason = match (id, holder(service, state).await?) {
            (Some(id), None) => format!("lock {id} is not held any more"),
            (Some(id), Some(lease)) => {
                format!("lock {id} is not held any more; {} holds it", lease.owner)
            }
            (None, _) => "a write needs the lock of the state: configure `lock_address`".to_owned(),
        };
        return Ok(Some(reason));
    };
    if lease.mode != Mode::Exclusive {
        let reason = format!("lock {} is shared, by the policy for {}", lease.request, lease.owner);
        return Ok(Some(reason));
    }
    let token = lease.token;
    Ok(match terraform.states.replace(state, token, body).await? {
        Write::Done => None,
        Write::Outdated { highest } => Some(format!(
            "token {token} of the lock is below {highest}, which holds the state by now"
        )),
    })
}
