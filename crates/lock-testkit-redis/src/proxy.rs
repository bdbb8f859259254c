//! A proxy between client and server whose faults are switched while it runs.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a test fails by panicking")]

mod relay;
mod request;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use relay::Relay;

/// The longest that a test may have to wait for what it waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy between client and server whose faults are switched while it runs.
///
/// Faults act on all connections, open and new, unless they say otherwise, and from the next byte
/// on. [`heal`](Self::heal) ends them, but brings nothing back that was swallowed or closed: a
/// client may then take one answer for another, as on any line that loses bytes. The proxy knows
/// how Redis frames requests, remembers every one that it has sent on, and stops when it is
/// dropped.
pub struct Proxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

/// State shared by the proxy and its connections.
#[derive(Debug, Default)]
struct Shared {
    orders: watch::Sender<Orders>,
    seen: watch::Sender<Seen>,
}

/// Orders of the test.
#[derive(Debug, Default)]
struct Orders {
    flow: Flow,
    delay: Duration,
    is_refusing: bool,
    loss: Option<Loss>,
    /// Counters of orders, so that a connection recognises later ones.
    cuts: u64,
    half_opens: u64,
    heals: u64,
}

/// Treatment of the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Flow {
    #[default]
    Through,
    RepliesSwallowed,
    BlackHole,
    Stalled,
}

/// The request whose reply is to be lost.
#[derive(Debug)]
struct Loss {
    pattern: Vec<u8>,
    then_cut: bool,
}

/// Statistics.
#[derive(Debug, Default)]
struct Seen {
    open: usize,
    accepted: usize,
    requests: Vec<Vec<u8>>,
}

impl Proxy {
    /// Starts a proxy to a server, without faults.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("the system has a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let shared = Arc::<Shared>::default();
        let acceptor = tokio::spawn(accept(listener, target, Arc::clone(&shared)));
        Self { addr, shared, acceptor }
    }

    /// The address for clients of Redis.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}/", self.addr)
    }

    /// Where the proxy listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Makes all bytes come this much later, each way.
    pub fn delay(&self, delay: Duration) {
        self.order(|orders| orders.delay = delay);
    }

    /// Swallows what the server says; requests still reach it.
    pub fn swallow_replies(&self) {
        self.order(|orders| orders.flow = Flow::RepliesSwallowed);
    }

    /// Swallows everything both ways; connections stay open and new ones are accepted.
    pub fn black_hole(&self) {
        self.order(|orders| orders.flow = Flow::BlackHole);
    }

    /// Holds everything back both ways until [`heal`](Self::heal), as a link that is down for a
    /// while: what a client has sent arrives later, even if it has closed the connection since.
    pub fn stall(&self) {
        self.order(|orders| orders.flow = Flow::Stalled);
    }

    /// Resets all open connections, on both sides; new ones work.
    pub fn cut(&self) {
        self.order(|orders| orders.cuts += 1);
    }

    /// Closes all open connections on the server's side only: the client's stay open, and silent
    /// for ever. New ones work.
    pub fn half_open(&self) {
        self.order(|orders| orders.half_opens += 1);
    }

    /// Resets new connections at once; open ones work.
    pub fn refuse(&self) {
        self.order(|orders| orders.is_refusing = true);
    }

    /// Sends on the next request that contains `pattern`, on whatever connection, and swallows
    /// what the server says on that connection from then on: the reply is lost, the request is
    /// not. The empty pattern is in every request.
    pub fn lose_replies_to(&self, pattern: &[u8]) {
        self.lose(pattern, false);
    }

    /// Does as [`lose_replies_to`](Self::lose_replies_to), and resets the connection once the
    /// server has certainly done the request.
    pub fn lose_replies_and_cut(&self, pattern: &[u8]) {
        self.lose(pattern, true);
    }

    /// Ends all faults, on new connections and on open ones where there is a way back.
    pub fn heal(&self) {
        self.order(|orders| {
            let Orders { cuts, half_opens, heals, .. } = *orders;
            *orders = Orders { cuts, half_opens, heals: heals + 1, ..Orders::default() };
        });
    }

    /// Number of open client connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.seen.borrow().open
    }

    /// Number of accepted connections, without rejected ones.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.shared.seen.borrow().accepted
    }

    /// Number of forwarded requests that contain `pattern`.
    #[must_use]
    pub fn requests_containing(&self, pattern: &[u8]) -> usize {
        self.shared.seen.borrow().requests_containing(pattern)
    }

    /// Waits until clients have exactly this many connections open.
    pub async fn until_connections(&self, open: usize) {
        self.until("connections", |seen| seen.open == open).await;
    }

    /// Waits until at least this many connections were accepted.
    pub async fn until_accepted(&self, accepted: usize) {
        self.until("accepted", |seen| seen.accepted >= accepted).await;
    }

    /// Waits until at least this many requests that contain `pattern` were sent on.
    pub async fn until_requests(&self, pattern: &[u8], requests: usize) {
        self.until("requests", |seen| seen.requests_containing(pattern) >= requests).await;
    }

    fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.shared.orders.send_modify(change);
    }

    fn lose(&self, pattern: &[u8], then_cut: bool) {
        self.order(|orders| orders.loss = Some(Loss { pattern: pattern.to_owned(), then_cut }));
    }

    async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let mut seen = self.shared.seen.subscribe();
        let waited = timeout(PATIENCE, seen.wait_for(|seen| holds(seen))).await;
        if waited.is_err() {
            panic!("waited too long for {what}: {self:?}");
        }
    }
}

impl Seen {
    fn requests_containing(&self, pattern: &[u8]) -> usize {
        self.requests.iter().filter(|sent| request::contains(sent, pattern)).count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seen = self.shared.seen.borrow();
        f.debug_struct("Proxy")
            .field("addr", &self.addr)
            .field("open", &seen.open)
            .field("accepted", &seen.accepted)
            .field("requests", &seen.requests.len())
            .finish_non_exhaustive()
    }
}

/// Accepts connections until it is dropped, and drops them then.
async fn accept(listener: TcpListener, target: SocketAddr, shared: Arc<Shared>) {
    let mut relays = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                if shared.orders.borrow().is_refusing {
                    let _ = client.set_zero_linger();
                } else {
                    relays.spawn(Relay::new(Arc::clone(&shared)).run(client, target));
                }
            }
            Some(_) = relays.join_next() => {}
        }
    }
}
