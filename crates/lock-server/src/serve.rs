//! The connections of the service: limited in number and in patience, and ended in bounded time.

use std::future::Future;
use std::pin::pin;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::connection::Connection;
use crate::telemetry::{self, OpenConnection};
use crate::{Accepted, Certificate, Incoming, Service};

impl Service {
    /// Serves connections until `shutdown` is ready, and then ends the waits for keys and, within
    /// [`shutdown_timeout`](crate::ServiceConfig::shutdown_timeout), the connections.
    ///
    /// # Cancel safety
    /// If dropped, all connections are closed. Their clients keep their places.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.accept(listener, None, shutdown).await;
    }

    /// The same over TLS. A client that speaks plain HTTP is cut off, and so is one whose handshake
    /// takes longer than [`header_timeout`](crate::ServiceConfig::header_timeout).
    ///
    /// # Cancel safety
    /// As [`serve`](Self::serve).
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        certificate: Certificate,
        shutdown: impl Future<Output = ()>,
    ) {
        self.accept(listener, Some(certificate), shutdown).await;
    }

    async fn accept(
        &self,
        listener: TcpListener,
        certificate: Option<Certificate>,
        shutdown: impl Future<Output = ()>,
    ) {
        let cut = CancellationToken::new();
        let _cut_at_the_end = cut.clone().drop_guard();
        let incoming = Incoming::new(listener, self.config.connections);
        let (router, graceful) = (self.router(), GracefulShutdown::new());
        let patience = self.config.header_timeout;
        let connections = telemetry::connections();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(patience);
        let mut shutdown = pin!(shutdown);
        loop {
            let Accepted { stream, peer, slot } = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = incoming.next() => accepted,
            };
            let connection = Connection { stream, peer, watcher: graceful.watcher() };
            let (cut, http, router) = (cut.clone(), http.clone(), router.clone());
            let certificate = certificate.clone();
            let open = OpenConnection::new(&connections);
            tokio::spawn(async move {
                let served = connection.serve(&http, router, certificate, patience);
                cut.run_until_cancelled(served).await;
                drop((slot, open));
            });
        }
        drop(incoming);
        self.shutdown().await;
        let limit = self.config.shutdown_timeout;
        if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
            tracing::info!("connections that were open after {limit:?} are closed");
        }
    }
}
