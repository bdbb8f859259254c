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
    let route = any(move |service, path, query, request| {
        let terraform = terraform.clone();
        async move { serve(service, terraform, path, query, request).await }
    });
    Router::new().route("/terraform/{*state}", route).layer(limit)
}

async fn serve(
    State(service): State<Service>,
    terraform: Terraform,
    Named(name): Named,
    Asked(asks): Asked<Asks>,
    request: Request,
) -> Result<Response, Problem> {
    let name = StateName::parse(&name)?;
    let method = request.method().clone();
    let body = async || match request.extract::<Bytes, _>().await {
        Ok(body) => Ok(body),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = "the state is longer than the service takes";
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail))
        }
        Err(rejection) => Err(Problem::invalid(rejection.body_text())),
    };
    let is_post = method == Method::POST;
    match method.as_str() {
        "LOCK" => lock::lock(&service, &terraform, &name, &body().await?).await,
        "POST" if asks.lock.is_some() => {
            lock::lock(&service, &terraform, &name, &body().await?).await
        }
        "UNLOCK" => lock::unlock(&service, &name, &body().await?).await,
        "POST" if asks.unlock.is_some() => lock::unlock(&service, &name, &body().await?).await,
        "GET" => state::load(&terraform, &name).await,
        "POST" | "PUT" | "DELETE" => {
            let body = if is_post || method == Method::PUT { Some(body().await?) } else { None };
            state::write(&service, &terraform, &name, asks.id.as_deref(), body).await
        }
        _ => {
            let detail = "a state takes GET, POST, DELETE, LOCK and UNLOCK";
            Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail))
        }
    }
}
