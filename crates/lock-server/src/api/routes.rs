//! The routes of the API.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{acquire, admin, events, hold, leases, look, probe};
use crate::Service;
use crate::access::{Role, needs};
use crate::problem::Problem;
use crate::telemetry;

/// The description of the routes for clients.
const DESCRIPTION: &str = include_str!("../../openapi.json");

/// Serves a path for this method.
type Handler = fn(MethodFilter) -> MethodRouter<Service>;

/// The least role for a route; an open one needs no token.
const OPEN: Option<Role> = None;
const READ: Option<Role> = Some(Role::Read);
const USE: Option<Role> = Some(Role::Use);
const OPERATE: Option<Role> = Some(Role::Operate);

/// All routes and the roles that they need, which `openapi.json` describes.
const ROUTES: [(MethodFilter, &str, Option<Role>, Handler); 16] = [
    (MethodFilter::POST, "/v1/acquire", USE, |method| on(method, acquire::acquire)),
    (MethodFilter::POST, "/v1/hold", USE, |method| on(method, hold::hold)),
    (MethodFilter::POST, "/v1/renew", USE, |method| on(method, leases::renew)),
    (MethodFilter::POST, "/v1/release", USE, |method| on(method, leases::release)),
    (MethodFilter::POST, "/v1/cancel", USE, |method| on(method, leases::cancel)),
    (MethodFilter::POST, "/v1/transfer", USE, |method| on(method, leases::transfer)),
    (MethodFilter::POST, "/v1/evict", OPERATE, |method| on(method, admin::evict)),
    (MethodFilter::GET, "/v1/locks", READ, |method| on(method, look::list)),
    (MethodFilter::GET, "/v1/locks/{*key}", READ, |method| on(method, look::inspect)),
    (MethodFilter::GET, "/v1/waits", READ, |method| on(method, look::waits)),
    (MethodFilter::GET, "/v1/events", READ, |method| on(method, events::events)),
    (MethodFilter::GET, "/v1/health", READ, |method| on(method, look::health)),
    (MethodFilter::GET, "/metrics", READ, |method| on(method, telemetry::export)),
    (MethodFilter::GET, "/livez", OPEN, |method| on(method, probe::live)),
    (MethodFilter::GET, "/readyz", OPEN, |method| on(method, probe::ready)),
    (MethodFilter::GET, "/v1/openapi.json", OPEN, |method| on(method, description)),
];

pub(crate) fn router() -> Router<Service> {
    let router = ROUTES.into_iter().fold(Router::new(), |router, (method, path, role, handler)| {
        let route = handler(method);
        router.route(
            path,
            match role {
                Some(role) => needs(route, role),
                None => route,
            },
        )
    });
    router.fallback(unknown).method_not_allowed_fallback(wrong_method)
}

async fn description() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DESCRIPTION)
}

async fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such path")
}

async fn wrong_method() -> Problem {
    let detail = "the path does not take this method";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn description_has_the_paths_methods_and_roles_of_the_router() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut described = Vec::new();
        for (path, operations) in description["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let role = operation["x-role"].as_str().map(str::to_owned);
                let security = operation.get("security").cloned();
                assert_eq!(security, role.is_none().then(|| json!([])), "{path}");
                for status in ["401", "403"] {
                    assert!(operation["responses"].get(status).is_some(), "{path} {status}");
                }
                described.push((path.clone(), MethodFilter::try_from(method).unwrap(), role));
            }
        }
        // The description has no word for a parameter that may contain slashes.
        let mut served: Vec<_> = ROUTES
            .iter()
            .map(|(method, path, role, _)| {
                let role = role.map(|role| role.to_string());
                (path.replace("{*", "{"), *method, role)
            })
            .collect();
        for routes in [&mut described, &mut served] {
            routes.sort_by(|one, other| one.0.cmp(&other.0));
        }
        assert_eq!(described, served);
    }
}
