//! `GET`, `POST` and `DELETE` of a state. A write needs the lock that its `ID` names.

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use lock_core::Mode;

use super::lock::{holder, lock_of};
use super::lock_info;
use super::{Refused, StateName, Write};
use crate::Service;
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
    state: &StateName,
    id: Option<&str>,
    body: Option<Bytes>,
) -> Result<Response, Problem> {
    let held = match id {
        Some(id) => lock_of(service, state, lock_info::request(id)?).await?,
        None => None,
    };
    let reason = match held {
        Some(lease) if lease.mode != Mode::Exclusive => {
            format!("lock {} is shared, by the policy for {}", lease.request, lease.owner)
        }
        Some(lease) => match terraform.states.replace(state, lease.token, body.clone()).await? {
            Write::Done => return Ok(StatusCode::OK.into_response()),
            Write::Outdated { highest } => format!(
                "token {} of the lock is below {highest}, which holds the state by now",
                lease.token
            ),
        },
        None => match (id, holder(service, state).await?) {
            (Some(id), None) => format!("lock {id} is not held any more"),
            (Some(id), Some(lease)) => {
                format!("lock {id} is not held any more; {} holds it", lease.owner)
            }
            (None, _) => "a write needs the lock of the state: configure `lock_address`".to_owned(),
        },
    };
    if let Some(body) = body {
        let refused = Refused::new(body, id.unwrap_or_default().to_owned(), reason.clone());
        terraform.states.keep_refused(state, &refused).await?;
    }
    tracing::warn!(state = %state, reason, "a write was refused");
    Err(Problem::new(StatusCode::CONFLICT, "not_held", reason))
}
