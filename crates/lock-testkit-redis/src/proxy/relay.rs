//! One connection through the proxy.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};

use super::{Flow, Loss, Orders, Shared, request};

/// Data in transit, with its due time.
type Parcel = (Instant, Vec<u8>);

/// One connection through the proxy.
#[derive(Debug)]
pub(super) struct Relay {
    shared: Arc<Shared>,
    /// Orders given before this connection.
    cuts: u64,
    half_opens: u64,
    /// The number of the healing that ends the loss of replies.
    lost_until: AtomicU64,
    /// `true` if it is reset when the server has answered everything.
    is_doomed: AtomicBool,
    /// `true` if the client has it open.
    is_open: AtomicBool,
}

/// Ways to interrupt a connection.
enum End {
    Closed,
    Reset,
    HalfOpen,
}

impl Relay {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        shared.seen.send_modify(|seen| {
            seen.open += 1;
            seen.accepted += 1;
        });
        let (cuts, half_opens) = {
            let orders = shared.orders.borrow();
            (orders.cuts, orders.half_opens)
        };
        let (lost_until, is_doomed) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { shared, cuts, half_opens, lost_until, is_doomed, is_open: AtomicBool::new(true) }
    }

    /// Passes on what both sides say until the connection ends.
    pub(super) async fn run(self, mut client: TcpStream, target: SocketAddr) {
        let _ = client.set_nodelay(true);
        let Ok(mut server) = TcpStream::connect(target).await else {
            // A connection in a black hole must not notice that its peer is gone.
            tokio::select! {
                () = self.until(|orders| !orders.flow.hides_ends()) => {}
                _ = self.interruption() => {}
            }
            let _ = client.set_zero_linger();
            return;
        };
        let _ = server.set_nodelay(true);
        let end = tokio::select! {
            end = self.pass(&mut client, &mut server) => end,
            end = self.interruption() => end,
        };
        match end {
            End::Closed => {}
            End::Reset => {
                let _ = server.set_zero_linger();
                let _ = client.set_zero_linger();
            }
            End::HalfOpen => {
                drop(server);
                tokio::select! {
                    () = self.until(|orders| orders.cuts > self.cuts) => {
                        let _ = client.set_zero_linger();
                    }
                    () = discard(&mut client) => {}
                }
            }
        }
    }

    /// Passes on what both sides say until the server closes.
    async fn pass(&self, client: &mut TcpStream, server: &mut TcpStream) -> End {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let (request_sender, requests) = unbounded_channel();
        let (reply_sender, replies) = unbounded_channel();
        let requests = async {
            let read = self.read_requests(from_client, request_sender);
            tokio::join!(read, self.send_requests(requests, to_server));
            // The server answers what it has got, and closes.
            pending::<()>().await;
        };
        let replies = async {
            let read = self.read_replies(from_server, reply_sender);
            tokio::join!(read, self.send_replies(replies, to_client));
        };
        tokio::select! {
            () = requests => {}
            () = replies => {}
        }
        if self.is_doomed.load(Ordering::Relaxed) { End::Reset } else { End::Closed }
    }

    async fn read_requests(&self, mut client: ReadHalf<'_>, parcels: UnboundedSender<Parcel>) {
        let mut bytes = Vec::new();
        while client.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            while let Some(length) = request::length(&bytes) {
                // A connection that is closed on the other side is still read, to see its end.
                let _ = parcels.send((self.due(), bytes.drain(..length).collect()));
            }
        }
        let _ = parcels.send((self.due(), bytes));
        self.close();
    }

    async fn send_requests(
        &self,
        mut parcels: UnboundedReceiver<Parcel>,
        mut server: WriteHalf<'_>,
    ) {
        while let Some((due, bytes)) = parcels.recv().await {
            if self.arrives(due).await == Flow::BlackHole || bytes.is_empty() {
                continue;
            }
            let loss = self.take_loss(&bytes);
            if loss.is_some() {
                let heals = self.shared.orders.borrow().heals;
                self.lost_until.store(heals + 1, Ordering::Relaxed);
            }
            if server.write_all(&bytes).await.is_err() {
                break;
            }
            self.shared.seen.send_modify(|seen| seen.requests.push(bytes));
            if loss.is_some_and(|loss| loss.then_cut) {
                self.is_doomed.store(true, Ordering::Relaxed);
                break;
            }
        }
        // A reset would let the server forget what it has not read yet.
        let _ = server.shutdown().await;
    }

    async fn read_replies(&self, mut server: ReadHalf<'_>, parcels: UnboundedSender<Parcel>) {
        let mut bytes = Vec::new();
        while server.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
            let _ = parcels.send((self.due(), std::mem::take(&mut bytes)));
        }
    }

    async fn send_replies(
        &self,
        mut parcels: UnboundedReceiver<Parcel>,
        mut client: WriteHalf<'_>,
    ) {
        while let Some((due, bytes)) = parcels.recv().await {
            let flow = self.arrives(due).await;
            let is_lost =
                self.lost_until.load(Ordering::Relaxed) > self.shared.orders.borrow().heals;
            if flow == Flow::Through && !is_lost {
                let _ = client.write_all(&bytes).await;
            }
        }
        self.until(|orders| !orders.flow.hides_ends()).await;
    }

    /// When something that is read now arrives.
    fn due(&self) -> Instant {
        Instant::now() + self.shared.orders.borrow().delay
    }

    /// Waits until something arrives, and returns what is to become of it.
    async fn arrives(&self, due: Instant) -> Flow {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        self.until(|orders| orders.flow != Flow::Stalled).await;
        self.shared.orders.borrow().flow
    }

    /// Takes the order to lose the reply to this request, if there is one.
    fn take_loss(&self, bytes: &[u8]) -> Option<Loss> {
        let mut taken = None;
        self.shared.orders.send_if_modified(|orders| {
            taken = orders.loss.take_if(|loss| request::contains(bytes, &loss.pattern));
            false
        });
        taken
    }

    /// Waits until the connection is to end otherwise than by its sides.
    async fn interruption(&self) -> End {
        let is_cut = |orders: &Orders| orders.cuts > self.cuts;
        self.until(|orders| is_cut(orders) || orders.half_opens > self.half_opens).await;
        if is_cut(&self.shared.orders.borrow()) { End::Reset } else { End::HalfOpen }
    }

    async fn until(&self, holds: impl Fn(&Orders) -> bool) {
        let mut orders = self.shared.orders.subscribe();
        // The sender is ours, so the wait cannot fail.
        let _ = orders.wait_for(holds).await;
    }

    /// Counts the connection as closed, if it was not.
    fn close(&self) {
        if self.is_open.swap(false, Ordering::Relaxed) {
            self.shared.seen.send_modify(|seen| seen.open -= 1);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.close();
    }
}

impl Flow {
    /// Returns `true` if a side does not learn that the other has closed.
    fn hides_ends(self) -> bool {
        matches!(self, Self::BlackHole | Self::Stalled)
    }
}

/// Reads until the other side closes.
async fn discard(stream: &mut TcpStream) {
    let mut bytes = Vec::new();
    while stream.read_buf(&mut bytes).await.is_ok_and(|count| count > 0) {
        bytes.clear();
    }
}
