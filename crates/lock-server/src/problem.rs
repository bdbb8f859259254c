//! Errors as clients see them: `application/problem+json` (RFC 9457).

use std::error::Error as StdError;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lock_core::{End, Error, ErrorKind, InvalidInput, LossReason, QueuePosition, RequestId, Timed};
use serde::Serialize;

use crate::StateError;

/// The ways to show a token.
const SCHEMES: [&str; 2] = ["Bearer realm=\"locks\"", "Basic realm=\"locks\", charset=\"UTF-8\""];

/// An error as a client sees it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Kind of the error, for programs.
    pub kind: &'static str,
    /// Description for people.
    pub detail: String,
    /// Whether the command may have happened all the same.
    pub outcome: Outcome,
    /// The request to ask again with, where it has a place in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// Where the request stands, who holds the key and since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Box<Timed<QueuePosition>>>,
    /// How the lease or the request was ended by force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Box<End>>,
}

/// Whether a failed command may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// Nothing changed.
    DidNotHappen,
    /// The store did not answer. The same request, sent again, has one effect.
    Unknown,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status: status.as_u16(),
            kind,
            detail: detail.into(),
            outcome: Outcome::DidNotHappen,
            request: None,
            position: None,
            end: None,
        }
    }

    /// The request is malformed, or a value is outside its limits.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_input", detail)
    }

    /// The lease is not held: it is over, or never was.
    pub(crate) fn not_held(end: Option<End>) -> Self {
        let detail = match &end {
            Some(end) => format!("the lease is over: {end}"),
            None => "the lease is not held".to_owned(),
        };
        let status = if end.is_some() { StatusCode::GONE } else { StatusCode::CONFLICT };
        Self { end: end.map(Box::new), ..Self::new(status, "not_held", detail) }
    }

    /// The store did not answer in time.
    pub(crate) fn timed_out() -> Self {
        let problem = Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "unavailable",
            "the store did not answer in time",
        );
        problem.unknown()
    }

    /// The client is not known.
    pub(crate) fn unauthenticated(detail: &str) -> Self {
        let how = "send `Authorization: Bearer TOKEN`, or the token as the password of basic authentication";
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", format!("{detail}: {how}"))
    }

    /// The client is known, and may not do this.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The same, when the command may have happened.
    pub(crate) fn unknown(self) -> Self {
        Self { outcome: Outcome::Unknown, ..self }
    }

    pub(crate) fn with_request(self, request: RequestId) -> Self {
        Self { request: Some(request), ..self }
    }
}

impl From<InvalidInput> for Problem {
    fn from(input: InvalidInput) -> Self {
        Self::invalid(input.to_string())
    }
}

impl From<StateError> for Problem {
    fn from(error: StateError) -> Self {
        tracing::error!(%error, "a state could not be read or written");
        let problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "state_store", error.to_string());
        problem.unknown()
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, kind) = match error.kind() {
            ErrorKind::InvalidInput => (StatusCode::BAD_REQUEST, "invalid_input"),
            ErrorKind::WaitOver => (StatusCode::CONFLICT, "wait_over"),
            ErrorKind::QueueFull => (StatusCode::TOO_MANY_REQUESTS, "queue_full"),
            ErrorKind::Ended => (StatusCode::GONE, "ended"),
            ErrorKind::Lost => (StatusCode::CONFLICT, "lost"),
            ErrorKind::NotHeld => (StatusCode::CONFLICT, "not_held"),
            ErrorKind::Refused => (StatusCode::CONFLICT, "refused"),
            ErrorKind::Deadlock => (StatusCode::CONFLICT, "deadlock"),
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            ErrorKind::ShutDown => (StatusCode::SERVICE_UNAVAILABLE, "shut_down"),
            ErrorKind::Unsupported => (StatusCode::NOT_IMPLEMENTED, "unsupported"),
            ErrorKind::Corrupt => (StatusCode::INTERNAL_SERVER_ERROR, "corrupt"),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
        };
        let end = error.end().cloned().or_else(|| match error.loss() {
            Some(LossReason::Ended(end)) => Some(end.clone()),
            _ => None,
        });
        let outcome = match error.is_unknown() {
            true => Outcome::Unknown,
            false => Outcome::DidNotHappen,
        };
        let position = error.position().cloned().map(Box::new);
        let end = end.map(Box::new);
        Self { outcome, position, end, ..Self::new(status, kind, words(&error)) }
    }
}

/// The error with its causes, which hold no secrets.
fn words(error: &Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if status == StatusCode::UNAUTHORIZED {
            for scheme in SCHEMES {
                let scheme = HeaderValue::from_static(scheme);
                response.headers_mut().append(header::WWW_AUTHENTICATE, scheme);
            }
        }
        response
    }
}
