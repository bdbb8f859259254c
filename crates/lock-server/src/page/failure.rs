//! Errors as pages: the reason, and whether the act did not happen or is unknown.

use axum::extract::rejection::{FormRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use lock_core::{InvalidInput, LockKey};
use maud::html;

use super::address;
use super::layout::Document;
use crate::Outcome;
use crate::problem::Problem;

/// A page instead of the one that was asked for.
#[derive(Debug)]
pub(super) struct Failure {
    problem: Problem,
    key: Option<LockKey>,
    /// Whether something was to be changed.
    is_act: bool,
}

impl Failure {
    /// The same for an act on this key.
    pub(super) fn of_act(problem: impl Into<Problem>, key: &LockKey) -> Self {
        Self { problem: problem.into(), key: Some(key.clone()), is_act: true }
    }

    /// An act whose form does not fit the browser and this process.
    pub(super) fn stale(key: Option<LockKey>) -> Self {
        let detail = "The form is out of date: it was made before the service was started again, \
                      for another browser, or the browser keeps no cookies for this address. Open \
                      the page of the key again, and fill in the form that you find there.";
        let problem = Problem::new(StatusCode::FORBIDDEN, "stale_form", detail);
        Self { problem, key, is_act: true }
    }

    pub(super) fn unknown_page() -> Self {
        Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such page").into()
    }

    pub(super) fn wrong_method() -> Self {
        let detail = "the address does not take this method";
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        Self { is_act: true, ..problem.into() }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self { problem, key: None, is_act: false }
    }
}

impl From<InvalidInput> for Failure {
    fn from(input: InvalidInput) -> Self {
        Problem::from(input).into()
    }
}

impl From<QueryRejection> for Failure {
    fn from(rejection: QueryRejection) -> Self {
        Problem::invalid(rejection.body_text()).into()
    }
}

impl From<PathRejection> for Failure {
    fn from(rejection: PathRejection) -> Self {
        Problem::invalid(rejection.body_text()).into()
    }
}

impl From<FormRejection> for Failure {
    fn from(rejection: FormRejection) -> Self {
        let mut problem = Problem::invalid(rejection.body_text());
        if rejection.status() != StatusCode::UNPROCESSABLE_ENTITY {
            problem.status = rejection.status().as_u16();
        }
        Self { is_act: true, ..problem.into() }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Self { problem, key, is_act } = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or_default();
        let (title, outcome) = match (is_act, problem.outcome) {
            (true, Outcome::DidNotHappen) => ("Not done", "Nothing was changed."),
            (true, Outcome::Unknown) => (
                "Unknown",
                "It is unknown whether this happened. Look at the key before you try again.",
            ),
            (false, _) => ("Not available", "Nothing was changed."),
        };
        let content = html! {
            h1 { (title) }
            div.failure role="alert" {
                p { bdi { (problem.detail) } }
                p { strong { (outcome) } }
            }
            p {
                @if let Some(key) = &key {
                    a href=(address::of_key(key)) { "Back to the key " bdi { (key) } }
                } @else {
                    a href="/" { "All locks" }
                }
            }
        };
        (status, Document::fixed(title, content)).into_response()
    }
}
