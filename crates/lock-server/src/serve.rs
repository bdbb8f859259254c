//! The connections of the service: limited in number and in patience, and ended in bounded time.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::Service;

/// Pause after a failure to accept: the process has no file descriptor left, for example.
const PAUSE: Duration = Duration::from_millis(100);

impl Service {
    /// Serves connections until `shutdown` is ready, and then ends the waits for keys and, within
    /// [`shutdown_timeout`](crate::ServiceConfig::shutdown_timeout), the connections.
    ///
    /// # Cancel safety
    /// If dropped, all connections are closed. Their clients keep their places.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        let cut = CancellationToken::new();
        let _cut_at_the_end = cut.clone().drop_guard();
        let slots = Arc::new(Semaphore::new(self.config.connections));
        let (router, graceful) = (self.router(), GracefulShutdown::new());
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.config.header_timeout);
        let mut shutdown = pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            let (stream, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // A notice to a waiter is small, and must not wait for more.
            let _ = stream.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
            let cut = cut.clone();
            tokio::spawn(async move {
                if let Some(Err(error)) = cut.run_until_cancelled(connection).await {
                    tracing::debug!(%error, "a connection broke");
                }
                drop(slot);
            });
        }
        drop(listener);
        self.shutdown().await;
        let limit = self.config.shutdown_timeout;
        if tokio::time::timeout(limit, graceful.shutdown()).await.is_err() {
            tracing::info!("connections that were open after {limit:?} are closed");
        }
    }
}

/// Accepts a connection when there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}
