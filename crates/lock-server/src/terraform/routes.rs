//! The routes of the `http` backend, with methods of its own or with `POST` alone.

use axum::RequestExt as _;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use serde::Deserialize;

use super::{StateName, lock, state};
use crate::Service;
use crate::access::{Caller, Role};
use crate::audit::Client;
use crate::extract::{Asked, Named};
use crate::problem::Problem;
use crate::service::Terraform;

/// What the query says: the `ID` of the lock, and which call a `POST` is.
#[derive(Debug, Default, Deserialize)]
struct Asks {
    #[serde(rename = "ID")]
    id: Option<String>,
    lock: Option<String>,
    unlock: Option<String>,
}

pub(crate) fn router(terraform: Terraform) -> Router<Service> {
    let limit = DefaultBodyLimit::max(terraform.state_bytes);
    let route = any(move |service, who: (Caller, Client), path, query, request| {
        let terraform = terraform.clone();
        async move { serve(service, terraform, who, path, query, request).await }
    });
    Router::new().route("/terraform/{*state}", route).layer(limit)
}

/// A call of Terraform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Lock,
    /// Without a body it is by force, which needs [`Role::Operate`].
    Unlock,
    Load,
    Write,
    Delete,
}

impl Call {
    fn of(method: &Method, asks: &Asks) -> Result<Self, Problem> {
        match method.as_str() {
            "LOCK" => Ok(Self::Lock),
            "POST" if asks.lock.is_some() => Ok(Self::Lock),
            "UNLOCK" => Ok(Self::Unlock),
            "POST" if asks.unlock.is_some() => Ok(Self::Unlock),
            "GET" => Ok(Self::Load),
            "POST" | "PUT" => Ok(Self::Write),
            "DELETE" => Ok(Self::Delete),
            _ => {
                let detail = "a state takes GET, POST, DELETE, LOCK and UNLOCK";
                Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail))
            }
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Load => Role::Read,
            Self::Lock | Self::Unlock | Self::Write => Role::Use,
            Self::Delete => Role::Operate,
        }
    }
}

async fn serve(
    State(service): State<Service>,
    terraform: Terraform,
    (caller, client): (Caller, Client),
    Named(name): Named,
    Asked(asks): Asked<Asks>,
    request: Request,
) -> Result<Response, Problem> {
    let call = Call::of(request.method(), &asks)?;
    caller.needs(call.role())?;
    let name = StateName::parse(&name)?;
    caller.needs_key(&name.key())?;
    let body = async || match request.extract::<Bytes, _>().await {
        Ok(body) => Ok(body),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the state is longer than the service takes";
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail))
        }
        Err(rejection) => Err(Problem::invalid(rejection.body_text())),
    };
    match call {
        Call::Lock => lock::lock(&service, &terraform, caller, &name, &body().await?).await,
        Call::Unlock => {
            let body = body().await?;
            if !body.is_empty() {
                return lock::unlock(&service, caller, &name, &body).await;
            }
            caller.needs(Role::Operate)?;
            Service::to_its_end(async move { lock::force_unlock(&service, client, &name).await })
                .await
        }
        Call::Load => state::load(&terraform, &name).await,
        Call::Write | Call::Delete => {
            let body = if call == Call::Write { Some(body().await?) } else { None };
            Service::to_its_end(async move {
                state::write(&service, &terraform, client, &name, asks.id.as_deref(), body).await
            })
            .await
        }
    }
}
