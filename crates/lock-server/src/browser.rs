//! Requests that a page of somebody else made a browser send.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::Service;
use crate::problem::Problem;

/// Names of this machine for itself.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Refuses what a browser sends for a page of another origin, and what it sends to a name that was
/// made to lead here (DNS rebinding): a service without tokens trusts each client that reaches it.
pub(crate) async fn guard(
    State(service): State<Service>,
    request: Request,
    next: Next,
) -> Response {
    // A page that leads a name here has no token of the client's.
    let local_names_only = service.config.local_names_only && service.access.is_open();
    match objection(request.headers(), local_names_only) {
        None => next.run(request).await,
        Some(detail) => Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail).into_response(),
    }
}

fn objection(headers: &HeaderMap, local_names_only: bool) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(header::HOST).unwrap_or_default();
    if let Some(origin) = text(header::ORIGIN)
        && origin.split_once("://").is_none_or(|(_, origin)| origin != host)
    {
        return Some("a page of another origin may not use this service");
    }
    if local_names_only && !is_local(host) {
        return Some("this service answers to the names of this machine only, as localhost");
    }
    None
}

fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    LOCAL.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(headers: &[(&'static str, &'static str)], local_names_only: bool) -> bool {
        let header = |(name, value): &(&'static str, &'static str)| {
            (name.parse().unwrap(), value.parse().unwrap())
        };
        objection(&headers.iter().map(header).collect(), local_names_only).is_some()
    }

    #[test]
    fn program_is_served_and_a_foreign_page_is_not() {
        let local = ("host", "127.0.0.1:7420");
        assert!(!is_refused(&[local], true));
        assert!(!is_refused(&[local, ("origin", "http://127.0.0.1:7420")], true));
        assert!(is_refused(&[local, ("origin", "http://evil.example")], true));
        assert!(is_refused(&[local, ("origin", "null")], false));
    }

    #[test]
    fn name_that_leads_here_is_refused() {
        for host in ["localhost", "localhost:7420", "[::1]:7420", "[::1]", "127.0.0.1"] {
            assert!(!is_refused(&[("host", host)], true), "{host}");
        }
        for host in ["evil.example:7420", "localhost.evil.example", "", "127.0.0.1:x"] {
            assert!(is_refused(&[("host", host)], true), "{host}");
            assert!(!is_refused(&[("host", host)], false), "{host}");
        }
        assert!(is_refused(&[], true));
    }
}
