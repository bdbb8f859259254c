//! One connection: its handshake, and the requests that come on it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as HyperService;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::Watcher;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::audit::Peer;
use crate::tls::Certificate;

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    /// What tells it that the service ends.
    pub(crate) watcher: Watcher,
}

impl Connection {
    /// Serves its requests until one side ends it. A handshake has the time of a head.
    pub(crate) async fn serve(
        self,
        http: &http1::Builder,
        router: Router,
        certificate: Option<Certificate>,
        patience: Duration,
    ) {
        let Self { stream, peer, watcher } = self;
        // A notice to a waiter is small, and must not wait for more.
        let _ = stream.set_nodelay(true);
        let service = Requests { router: TowerToHyperService::new(router), peer };
        let served = match certificate {
            None => answered(http, stream, service, watcher).await,
            Some(certificate) => {
                let handshake = TlsAcceptor::from(certificate.config()).accept(stream);
                match tokio::time::timeout(patience, handshake).await {
                    Ok(Ok(stream)) => answered(http, stream, service, watcher).await,
                    Ok(Err(error)) => Err(error),
                    Err(elapsed) => Err(elapsed.into()),
                }
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, %peer, "a connection broke");
        }
    }
}

async fn answered(
    http: &http1::Builder,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: Requests,
    watcher: Watcher,
) -> io::Result<()> {
    let connection = http.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await.map_err(io::Error::other)
}

/// The routes, for requests that carry the address of their client.
struct Requests {
    router: TowerToHyperService<Router>,
    peer: SocketAddr,
}

impl HyperService<Request<Incoming>> for Requests {
    type Response = <TowerToHyperService<Router> as HyperService<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as HyperService<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as HyperService<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(Peer(self.peer));
        self.router.call(request)
    }
}
