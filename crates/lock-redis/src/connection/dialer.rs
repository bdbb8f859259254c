//! Connection attempts, and reconnection with back-off.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::{Error, ErrorKind, Operation, Result};
use lock_redis_client::Peer;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, PushInfo, RedisError, Value};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::RedisConfig;
use crate::connection::handle::send;
use crate::error;
use crate::reply::{field, text};
use crate::topology::Endpoint;

/// The first and the longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Time for which a connection must have lasted for the pauses to begin anew.
const WORKED: Duration = Duration::from_secs(1);
/// The oldest server that has all commands, and the oldest that has functions.
const OLDEST: (u64, u64) = (6, 2);
const FUNCTIONS: (u64, u64) = (7, 0);

pub(crate) type Pushes = mpsc::UnboundedReceiver<PushInfo>;

/// Connector of one kind of connection.
pub(crate) trait Connect {
    /// A connection that is ready for its use.
    type Connected;

    /// Connects once.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Connected>> + Send;

    /// Notes why there is no connection.
    fn note(&self, cause: Option<String>);
}

/// The pauses between attempts to connect: they grow until a connection has worked for a while.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    pause: Duration,
    connected_at: Option<Instant>,
}

impl Backoff {
    /// Tries until a connection is made.
    pub(crate) async fn reconnect<C: Connect>(&mut self, connector: &mut C) -> C::Connected {
        if self.connected_at.take().is_some_and(|at| at.elapsed() >= WORKED) {
            self.pause = Duration::ZERO;
        }
        loop {
            // Full jitter: many who lost one server do not come back at once.
            tokio::time::sleep(self.pause.mul_f64(rand::random())).await;
            self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
            match connector.connect().await {
                Ok(connected) => {
                    self.connected_at = Some(Instant::now());
                    return connected;
                }
                Err(error) => connector.note(error.source().map(ToString::to_string)),
            }
        }
    }

    /// The pauses after a connection that was made now.
    pub(crate) fn connected() -> Self {
        Self { pause: Duration::ZERO, connected_at: Some(Instant::now()) }
    }
}

/// Does what connecting takes, in time.
pub(crate) async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        let cause = format!("no answer within {limit:?}");
        Err(Error::new(ErrorKind::Unavailable, Operation::Connect).with_source(cause))
    })
}

/// Makes the connections of one kind, one after another.
#[derive(Clone)]
pub(crate) struct Dialer {
    endpoint: Endpoint,
    pub(crate) config: RedisConfig,
    /// The last connection.
    last: Arc<Mutex<Option<Peer>>>,
}

/// A connection that was made.
pub(crate) struct Dialed {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) pushes: Pushes,
    pub(crate) has_functions: bool,
    /// The server that was found.
    pub(crate) address: String,
    /// The run of the server, another after each start.
    pub(crate) run: Arc<str>,
}

impl Dialer {
    pub(crate) fn new(endpoint: Endpoint, config: RedisConfig) -> Self {
        Self { endpoint, config, last: Arc::default() }
    }

    /// The same for connections beside those of this, which it does not end.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.endpoint.clone(), self.config.clone())
    }

    /// Makes a connection, and ends the last.
    pub(crate) async fn dial(&self) -> Result<Dialed> {
        let (sender, pushes) = mpsc::unbounded_channel();
        // Every operation has its own limit, and the connection is asked when it was reached.
        let config = AsyncConnectionConfig::new()
            .set_push_sender(sender)
            .set_response_timeout(None)
            .set_connection_timeout(Some(self.config.connect_timeout));
        let client = self.endpoint.find().await?;
        let address = client.get_connection_info().addr().to_string();
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connected.map_err(|error| connect_failed(&error))?;
        self.endpoint.verify(&mut connection).await?;
        let mut ask = async |command: &mut Cmd| {
            let answer = send(&mut connection, command).await;
            answer.map_err(|error| connect_failed(&error))
        };
        let info = ask(redis::cmd("INFO").arg("server")).await?;
        let version = version(&info)?;
        let run = text(&info).and_then(|info| field(info, "run_id")).unwrap_or_default().into();
        ask(redis::cmd("CLIENT").arg("SETNAME").arg(&self.config.name)).await?;
        let peer = text(&ask(&mut Peer::ask()).await?).and_then(Peer::read);
        // The first time this ends no connection, but fails for a user without the permission, who
        // could not keep a late command from taking a lock.
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ask(&mut last.unwrap_or_else(Peer::nobody).end()).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = peer;
        Ok(Dialed { connection, pushes, has_functions: version >= FUNCTIONS, address, run })
    }

    /// Returns why a connection does not go to the right server any more, as soon as that is known.
    pub(crate) async fn left(&self, address: &str, connection: MultiplexedConnection) -> String {
        self.endpoint.left(address, connection).await
    }

    /// Returns `true` if a replica will do for the moment.
    pub(crate) const fn takes_replicas(&self) -> bool {
        self.endpoint.takes_replicas()
    }
}

/// Nothing that fails while connecting is an operation on a lock.
pub(crate) fn connect_failed(error: &RedisError) -> Error {
    let kind = match error.code() {
        Some("LAYOUT") => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, Operation::Connect).with_source(error::said(error))
}

/// The version of the server, unless it is too old.
fn version(info: &Value) -> Result<(u64, u64)> {
    let version = text(info).and_then(|info| field(info, "redis_version")).unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().unwrap_or(0));
    let numbers = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if numbers >= OLDEST {
        return Ok(numbers);
    }
    let (major, minor) = OLDEST;
    let cause =
        format!("the server has version `{version}`; the oldest supported is {major}.{minor}");
    Err(Error::new(ErrorKind::Unsupported, Operation::Connect).with_source(cause))
}
