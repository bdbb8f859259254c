//! The client of a forced act.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;

use crate::AccessClient;
use crate::access::Caller;

/// The address of the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// The client of a forced act.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Client {
    /// Name of its token.
    token: String,
    /// Unknown where the routes are nested into another server.
    peer: Option<SocketAddr>,
}

impl Client {
    /// A client of a server of another protocol.
    pub(super) fn of(client: &AccessClient, peer: SocketAddr) -> Self {
        Self { token: client.name().to_owned(), peer: Some(peer) }
    }

    /// Name of its token; `None` where there are no tokens.
    pub(crate) fn token(&self) -> Option<&str> {
        Some(self.token.as_str()).filter(|token| *token != Caller::ANONYMOUS)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let peer = parts.extensions.get().map(|Peer(address)| *address);
        Ok(Self { token: caller.name().to_owned(), peer })
    }
}
