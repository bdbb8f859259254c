//! A line in the log for each request.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use crate::access::Caller;
use crate::audit::Peer;

/// Logs a request and the status of its answer. It leaves out queries, headers and bodies, which hold
/// secrets.
pub(crate) async fn log(request: Request, next: Next) -> Response {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return next.run(request).await;
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let peer = request.extensions().get().map(|Peer(address)| tracing::field::display(*address));
    let start = Instant::now();
    let response = next.run(request).await;
    let token = response.extensions().get().map(|caller: &Caller| caller.name().to_owned());
    let (status, micros) = (response.status().as_u16(), start.elapsed().as_micros() as u64);
    tracing::debug!(%method, path, status, micros, token, peer, "request");
    response
}
