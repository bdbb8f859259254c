//! A Redis server or cluster, and one connection to it.

mod config;
mod server_connection;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lock_redis_client::{Peer, is_refusal};
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, FromRedisValue, RedisError, ScriptInvocation, Value, from_redis_value};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::timeout;

use config::Endpoint;
pub use config::ServerConfig;
pub(crate) use lock_redis_client::escape_glob as plain;
use server_connection::ServerConnection;

use lock_compat::legacy::Damaged;
use lock_compat::{LegacyError, Result};

/// The number of keys that one command asks for.
const BATCH: usize = 500;
/// The number of batches of values that are requested at once.
const BATCHES: usize = 8;

/// A server and the connection to it, which is rebuilt after a failure.
pub(crate) struct Server {
    config: ServerConfig,
    line: Mutex<Line>,
    is_closed: AtomicBool,
}

/// The connection, and the name of the last one.
#[derive(Default)]
struct Line {
    server_connection: Option<ServerConnection>,
    last: Option<Peer>,
}

impl Server {
    /// Connects, so that a bad configuration fails here and not with the first lock.
    pub(crate) async fn connect(config: ServerConfig) -> Result<Self> {
        lock_redis_client::install_tls();
        let server = Self { config, line: Mutex::default(), is_closed: AtomicBool::new(false) };
        server.ask::<()>(&redis::cmd("PING")).await?;
        Ok(server)
    }

    /// Maximum number of keys of one script call: in a cluster each key may be on another server.
    pub(crate) fn batch(&self) -> usize {
        if matches!(self.config.endpoint, Endpoint::Single(_)) { BATCH } else { 1 }
    }

    /// Makes every later call fail.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Sends one command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.bounded(async |mut server_connection: ServerConnection| {
            command.query_async(&mut server_connection).await
        })
        .await
    }

    /// Calls a script, which is loaded if the server does not know it.
    pub(crate) async fn call<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        self.bounded(async |mut server_connection: ServerConnection| {
            script.invoke_async(&mut server_connection).await
        })
        .await
    }

    /// The value of a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.ask(redis::cmd("GET").arg(key)).await.map_err(|error| named(error, key))
    }

    /// All keys that match a pattern, on all servers of a cluster, each once.
    pub(crate) async fn keys(&self, pattern: &str) -> Result<BTreeSet<Vec<u8>>> {
        let mut keys = BTreeSet::new();
        for node in self.nodes().await? {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(2 * BATCH);
                let (next, some): (u64, Vec<Vec<u8>>) = self.ask_node(&node, &scan).await?;
                keys.extend(some);
                if next == 0 {
                    break;
                }
                cursor = next;
            }
        }
        Ok(keys)
    }

    /// The values of these keys, in the order of the keys and without those that have disappeared;
    /// and the values that cannot be read.
    ///
    /// Some batches are requested and read concurrently; not all, as the time-out of each begins
    /// with its request.
    pub(crate) async fn values<T: Send + 'static>(
        self: &Arc<Self>,
        keys: BTreeSet<Vec<u8>>,
        read: fn(&str, &[u8]) -> Result<T, Damaged>,
    ) -> Result<(Vec<(String, T)>, Vec<Damaged>)> {
        let keys: Vec<_> = keys.into_iter().collect();
        let (mut batches, mut found) = (JoinSet::new(), Vec::new());
        let mut left = keys.chunks(BATCH).enumerate();
        loop {
            for (number, some) in left.by_ref().take(BATCHES - batches.len()) {
                let (server, some) = (Arc::clone(self), some.to_vec());
                batches.spawn(async move { (number, server.batch_of_values(&some, read).await) });
            }
            let Some(batch) = batches.join_next().await else { break };
            let (number, batch) = batch.expect("a batch does not panic");
            // After a failure, the others would each take their time-out.
            found.push((number, batch?));
        }
        found.sort_by_key(|(number, _)| *number);
        let (mut values, mut damaged) = (Vec::with_capacity(keys.len()), Vec::new());
        for (_, (some, others)) in found {
            values.extend(some);
            damaged.extend(others);
        }
        Ok((values, damaged))
    }

    async fn batch_of_values<T>(
        &self,
        keys: &[Vec<u8>],
        read: fn(&str, &[u8]) -> Result<T, Damaged>,
    ) -> Result<(Vec<(String, T)>, Vec<Damaged>)> {
        let (mut values, mut damaged) = (Vec::with_capacity(keys.len()), Vec::new());
        let found: Vec<Option<Vec<u8>>> = self.ask(redis::cmd("MGET").arg(keys)).await?;
        for (key, value) in keys.iter().zip(found) {
            let name = String::from_utf8_lossy(key).into_owned();
            match value.map(|value| read(&name, &value)) {
                Some(Ok(value)) => values.push((name, value)),
                Some(Err(reason)) => damaged.push(reason),
                None => {
                    let kind: String = self.ask(redis::cmd("TYPE").arg(key)).await?;
                    // A string was written since, which counts as written later.
                    if kind != "none" && kind != "string" {
                        damaged.push(Damaged::new(name, format!("it is a {kind}")));
                    }
                }
            }
        }
        Ok((values, damaged))
    }

    /// The servers that hold keys; one without a name is the only one.
    async fn nodes(&self) -> Result<Vec<Option<(String, u16)>>> {
        if matches!(self.config.endpoint, Endpoint::Single(_)) {
            return Ok(vec![None]);
        }
        type Slots = (u16, u16, (String, u16));
        let ranges: Vec<Vec<Value>> = self.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let mut nodes = BTreeSet::new();
        for range in ranges {
            // The primary of the slots comes first, then its replicas.
            let mut range: Vec<Value> = range.into_iter().take(3).collect();
            if let Some(Value::Array(node)) = range.get_mut(2) {
                node.truncate(2);
            }
            let slots: Slots = from_redis_value(Value::Array(range)).map_err(unreadable)?;
            nodes.insert(slots.2);
        }
        Ok(nodes.into_iter().map(Some).collect())
    }

    async fn ask_node<T: FromRedisValue>(
        &self,
        node: &Option<(String, u16)>,
        command: &Cmd,
    ) -> Result<T> {
        let Some((host, port)) = node else { return self.ask(command).await };
        self.bounded(async |server_connection: ServerConnection| match server_connection {
            ServerConnection::Single(mut server_connection) => {
                command.query_async(&mut server_connection).await
            }
            ServerConnection::Cluster(mut server_connection) => {
                let address = SingleNodeRoutingInfo::ByAddress { host: host.clone(), port: *port };
                let routing = RoutingInfo::SingleNode(address);
                let value = server_connection.route_command(command.clone(), routing).await?;
                from_redis_value(value.extract_error()?).map_err(RedisError::from)
            }
        })
        .await
    }

    /// Runs a call within its time-out, connecting included.
    async fn bounded<T>(
        &self,
        call: impl AsyncFnOnce(ServerConnection) -> Result<T, RedisError>,
    ) -> Result<T> {
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(LegacyError::store(false, "the store is closed"));
        }
        let mut is_sent = false;
        let whole = async {
            let server_connection = self.server_connection().await?;
            is_sent = true;
            call(server_connection).await.map_err(|error| (is_unknown(&error), error))
        };
        let answer = timeout(self.config.timeout, whole).await;
        let failed = match answer {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err((unknown, error))) => {
                if !unknown {
                    return Err(LegacyError::store(false, error));
                }
                LegacyError::store(is_sent, error)
            }
            Err(late) => LegacyError::store(is_sent, late),
        };
        // The next call gets a new connection: this one may be broken silently. Whoever holds the
        // lock now is making one.
        if let Ok(mut line) = self.line.try_lock() {
            line.server_connection = None;
        }
        Err(failed)
    }

    async fn server_connection(&self) -> Result<ServerConnection, (bool, RedisError)> {
        let mut line = self.line.lock().await;
        if let Some(server_connection) = &line.server_connection {
            return Ok(server_connection.clone());
        }
        let made = ServerConnection::make(&self.config.endpoint, line.last.as_ref()).await;
        let (server_connection, peer) = made.map_err(|error| (false, error))?;
        line.last = peer;
        Ok(line.server_connection.insert(server_connection).clone())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.config, f)
    }
}

/// Returns `true` if the server may have executed the command, and the connection may be broken.
///
/// Every script here writes once and last, so one that failed on a key of another type has written
/// nothing.
fn is_unknown(error: &RedisError) -> bool {
    !is_refusal(error) && error.code() != Some("WRONGTYPE")
}

/// A value of the wrong type is reported as damaged, not as a failure of the server.
pub(crate) fn named(error: LegacyError, key: &str) -> LegacyError {
    match &error {
        LegacyError::Store { source, .. } if source.to_string().contains("WRONGTYPE") => {
            Damaged::new(key, "it is not a string").into()
        }
        _ => error,
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LegacyError {
    LegacyError::store(false, error)
}
