//! Connections as they come, limited in number.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Pause after a failure to accept: the process has no file descriptor left, for example.
const PAUSE: Duration = Duration::from_millis(100);

/// The connections that a listener accepts, of which a limited number is open at a time.
#[derive(Debug)]
pub struct Incoming {
    listener: TcpListener,
    slots: Arc<Semaphore>,
}

/// An accepted connection.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is taken apart")]
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// The address of the client.
    pub peer: SocketAddr,
    /// Counts the connection as open until it is dropped.
    pub slot: OwnedSemaphorePermit,
}

impl Incoming {
    /// The connections of this listener, of which at most `limit` are open at a time.
    #[must_use]
    pub fn new(listener: TcpListener, limit: usize) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(limit)) }
    }

    /// Waits for a connection, and for a slot for it. A failure to accept is logged, and accepting
    /// goes on after a pause.
    ///
    /// # Cancel safety
    /// No connection is lost.
    pub async fn next(&self) -> Accepted {
        loop {
            match self.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = self.listener.accept().await?;
        Ok(Accepted { stream, peer, slot })
    }
}
