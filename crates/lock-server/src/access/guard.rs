//! Finds the client of each request, and refuses what its role does not allow.

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;

use super::{Caller, Role};
use crate::Service;
use crate::problem::Problem;

/// Finds the client, and ends its request when its token is revoked.
pub(crate) async fn identify(
    State(service): State<Service>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match service.access.caller(request.headers()) {
        Ok(caller) => caller,
        Err(problem) => return problem.into_response(),
    };
    let revoked = caller.revoked();
    request.extensions_mut().insert(caller.clone());
    let mut response = match revoked.run_until_cancelled(next.run(request)).await {
        Some(response) => response,
        None => Problem::unauthenticated("the token was revoked").unknown().into_response(),
    };
    // For the log.
    response.extensions_mut().insert(caller);
    response
}

/// Serves a route to those who have this role.
pub(crate) fn needs<S: Clone + Send + Sync + 'static>(
    route: MethodRouter<S>,
    role: Role,
) -> MethodRouter<S> {
    route.layer(middleware::from_fn_with_state(role, only))
}

async fn only(State(role): State<Role>, caller: Caller, request: Request, next: Next) -> Response {
    match caller.needs(role) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
