//! The routes of the API.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, on};

use super::{acquire, admin, events, hold, leases, look};
use crate::Service;
use crate::problem::Problem;

/// The description of the routes for clients.
const DESCRIPTION: &str = include_str!("../../openapi.json");

/// Serves a path for this method.
type Handler = fn(MethodFilter) -> MethodRouter<Service>;

/// All routes, which `openapi.json` describes.
const ROUTES: [(MethodFilter, &str, Handler); 15] = [
    (MethodFilter::POST, "/v1/acquire", |method| on(method, acquire::acquire)),
    (MethodFilter::POST, "/v1/hold", |method| on(method, hold::hold)),
    (MethodFilter::POST, "/v1/renew", |method| on(method, leases::renew)),
    (MethodFilter::POST, "/v1/release", |method| on(method, leases::release)),
    (MethodFilter::POST, "/v1/cancel", |method| on(method, leases::cancel)),
    (MethodFilter::POST, "/v1/transfer", |method| on(method, leases::transfer)),
    (MethodFilter::POST, "/v1/evict", |method| on(method, admin::evict)),
    (MethodFilter::GET, "/v1/locks", |method| on(method, look::list)),
    (MethodFilter::GET, "/v1/locks/{*key}", |method| on(method, look::inspect)),
    (MethodFilter::GET, "/v1/waits", |method| on(method, look::waits)),
    (MethodFilter::GET, "/v1/events", |method| on(method, events::events)),
    (MethodFilter::GET, "/v1/health", |method| on(method, look::health)),
    (MethodFilter::GET, "/v1/live", |method| on(method, look::live)),
    (MethodFilter::GET, "/v1/ready", |method| on(method, look::ready)),
    (MethodFilter::GET, "/v1/openapi.json", |method| on(method, description)),
];

pub(crate) fn router() -> Router<Service> {
    let router = ROUTES
        .into_iter()
        .fold(Router::new(), |router, (method, path, handler)| router.route(path, handler(method)));
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
    use serde_json::Value;

    use super::*;

    #[test]
    fn description_has_the_paths_and_methods_of_the_router() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut described = Vec::new();
        for (path, operations) in description["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                described.push((path.clone(), MethodFilter::try_from(method).unwrap()));
            }
        }
        // The description has no word for a parameter that may contain slashes.
        let mut served: Vec<_> =
            ROUTES.iter().map(|(method, path, _)| (path.replace("{*", "{"), *method)).collect();
        for routes in [&mut described, &mut served] {
            routes.sort_by(|one, other| one.0.cmp(&other.0));
        }
        assert_eq!(described, served);
    }
}
