//! The service: its connections, limited in number, and ended in bounded time.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lock_compat::LockAdapter;
use lock_server::{Accepted, Access, AuditLog, Certificate, Incoming};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::records::Records;
use crate::session::Session;
use crate::{AtlantisServiceConfig, connection};

/// Atlantis' locks and statuses in the protocol of its Redis, over any lock store. Clones share it.
///
/// An unmodified Atlantis with `--locking-db-type=redis` uses it like a Redis. Every other command is
/// refused by name. What is locked is a lease of the [`LockAdapter`], which every other client of the
/// store sees.
///
/// Atlantis reads and then writes, each on a connection of its pool. So the service makes a `SET` of a
/// lock succeed only where nobody holds it, and a `DEL` end only the lock that the client, which is an
/// address and a token, has read. Two clients behind one address and token are one client.
#[derive(Clone, Debug)]
pub struct AtlantisService {
    records: Arc<Records>,
    access: Access,
    config: Arc<AtlantisServiceConfig>,
    numbers: Arc<AtomicU64>,
}

impl AtlantisService {
    /// Serves the records of this adapter to those whom `access` lets in: a client sends its token as
    /// the password, with a user name that is free.
    #[must_use]
    pub fn new(adapter: LockAdapter, access: Access, config: AtlantisServiceConfig) -> Self {
        let records = Arc::new(Records::new(adapter, None));
        Self { records, access, config: Arc::new(config), numbers: Arc::default() }
    }

    /// Records each lock that a client ends, which may be of any pull request.
    #[must_use]
    pub fn with_audit(self, audit: AuditLog) -> Self {
        let records = Arc::new(self.records.with_audit(audit));
        Self { records, ..self }
    }

    /// Serves connections until `shutdown` is ready, and then ends them, within
    /// [`shutdown_timeout`](AtlantisServiceConfig::shutdown_timeout), after the commands that are
    /// under way. With a certificate, they are over TLS.
    ///
    /// # Cancel safety
    /// If dropped, all connections are closed. A command that is under way may have happened.
    pub async fn serve(
        &self,
        listener: TcpListener,
        certificate: Option<Certificate>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let _cut_at_the_end = cut.clone().drop_guard();
        let incoming = Incoming::new(listener, self.config.connections);
        let connections = TaskTracker::new();
        let mut shutdown = pin!(shutdown);
        loop {
            let Accepted { stream, peer, slot } = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = incoming.next() => accepted,
            };
            let (service, certificate) = (self.clone(), certificate.clone());
            let (closing, cut) = (closing.clone(), cut.clone());
            connections.spawn(async move {
                let served = service.connected(stream, peer, certificate, &closing);
                if let Some(Err(error)) = cut.run_until_cancelled(served).await {
                    tracing::debug!(%error, %peer, "a connection broke");
                }
                drop(slot);
            });
        }
        drop(incoming);
        closing.cancel();
        connections.close();
        let limit = self.config.shutdown_timeout;
        if tokio::time::timeout(limit, connections.wait()).await.is_err() {
            tracing::info!("connections that were open after {limit:?} are closed");
        }
    }

    async fn connected(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        certificate: Option<Certificate>,
        closing: &CancellationToken,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let closed = CancellationToken::new();
        let _closed_at_the_end = closed.clone().drop_guard();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let (records, access) = (Arc::clone(&self.records), self.access.clone());
        let session = Session::new(records, access, Arc::clone(&self.config), number, peer, closed);
        match certificate {
            None => connection::serve(stream, session, &self.config, closing).await,
            Some(certificate) => {
                let handshake = certificate.accept(stream);
                let stream = tokio::time::timeout(self.config.frame_timeout, handshake).await??;
                connection::serve(stream, session, &self.config, closing).await
            }
        }
    }
}
