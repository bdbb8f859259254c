//! The master that sentinels name, as the guidelines for clients of Sentinel say.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lock_core::{Error, ErrorKind, Operation, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, Value};
use tokio::time::timeout;

use crate::connection::dialer::connect_failed;
use crate::connection::handle::send;
use crate::error;
use crate::reply;
use crate::topology::{at, client, host_and_port, url};
use crate::weak_points::Watched;

/// Mean time between two looks at whether the master is still the master.
const LOOK: Duration = Duration::from_millis(600);

/// The sentinels of a master, as they are configured.
#[derive(Clone)]
pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<ConnectionInfo>,
    /// The name of the master.
    pub(crate) name: String,
    /// The login and the settings of the servers that the sentinels watch, at any address.
    pub(crate) node: ConnectionInfo,
}

impl Sentinels {
    pub(crate) fn like_client(self, info: &ConnectionInfo) -> Self {
        let node = url::tuned(info.clone());
        let same = |sentinel: ConnectionInfo| {
            let (host, port) = host_and_port(&sentinel);
            at(&node, &host, port).set_redis_settings(sentinel.redis_settings().clone())
        };
        let sentinels = self.sentinels.into_iter().map(same).collect();
        Self { sentinels, node, name: self.name }
    }
}

impl fmt::Display for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, sentinel) in self.sentinels.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}", sentinel.addr())?;
        }
        write!(f, "/{}", self.name)
    }
}

/// The sentinels, and the one that answered last.
pub(crate) struct Sentinel {
    name: String,
    node: ConnectionInfo,
    /// The longest time that a sentinel may take: the others and the master must have theirs.
    limit: Duration,
    /// The sentinels, those that answered last first.
    clients: Mutex<Vec<Client>>,
    /// A connection to the first.
    open: Mutex<Option<MultiplexedConnection>>,
}

impl fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sentinel").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Sentinel {
    pub(crate) fn new(sentinels: Sentinels, limit: Duration) -> Result<Self> {
        let Sentinels { sentinels, name, node } = sentinels;
        let limit = limit / (u32::try_from(sentinels.len()).unwrap_or(u32::MAX).saturating_add(1));
        let clients: Vec<_> = sentinels.into_iter().map(client).collect::<Result<_>>()?;
        let (clients, open) = (Mutex::new(clients), Mutex::default());
        Ok(Self { name, node, limit, clients, open })
    }

    /// The server that is the master now.
    pub(crate) async fn find(&self) -> Result<Client> {
        let (host, port) = self.ask().await?;
        client(at(&self.node, &host, port))
    }

    /// Returns why the server at this address is not the master any more, as soon as that is known.
    pub(crate) async fn left(
        &self,
        address: &str,
        mut connection: MultiplexedConnection,
    ) -> String {
        loop {
            // Another time for each: many who connected at once do not ask at once.
            tokio::time::sleep(LOOK.mul_f64(0.5 + rand::random::<f64>())).await;
            if let Ok((host, port)) = self.ask().await {
                let named = at(&self.node, &host, port).addr().to_string();
                if named != address {
                    return format!("the sentinels name another master: {named}");
                }
            }
            let role = timeout(self.limit, role(&mut connection)).await;
            if let Ok(Ok(role)) = role
                && role != MASTER
            {
                return format!("the master became a {role}");
            }
        }
    }

    /// What a sentinel knows of the others.
    pub(crate) async fn watched(&self) -> Result<Watched> {
        self.ask().await?;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unreachable = || error::unreachable(Operation::Health, None);
        let mut connection = open.ok_or_else(unreachable)?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("MASTER").arg(&self.name);
        let answer = timeout(self.limit, send(&mut connection, &ask)).await;
        let answer = answer.map_err(|_| unreachable())?;
        let fields = answer.map_err(|error| error::failed(Operation::Health, &error))?;
        let Value::Map(fields) = fields else { return Err(error::corrupt(Operation::Health)) };
        let number = |name: &str| {
            let named = fields.iter().find(|(field, _)| reply::text(field) == Some(name));
            named.and_then(|(_, value)| reply::text(value)?.parse::<usize>().ok()).unwrap_or(0)
        };
        Ok(Watched { sentinels: number("num-other-sentinels") + 1, quorum: number("quorum") })
    }

    /// The address of the master, from the first sentinel that knows it.
    async fn ask(&self) -> Result<(String, u16)> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut connection) = open
            && let Ok(Ok(Some(address))) = timeout(self.limit, self.named(&mut connection)).await
        {
            self.keep(connection);
            return Ok(address);
        }
        let mut causes = Vec::new();
        let clients = self.clients().clone();
        for (number, sentinel) in clients.into_iter().enumerate() {
            let cause = match timeout(self.limit, self.ask_one(&sentinel)).await {
                Ok(Ok(Some((connection, address)))) => {
                    // Those that did not answer come last the next time.
                    self.clients().rotate_left(number);
                    self.keep(connection);
                    return Ok(address);
                }
                Ok(Ok(None)) => format!("it watches no master `{}`", self.name),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {:?}", self.limit),
            };
            causes.push(format!("sentinel {}: {cause}", sentinel.get_connection_info().addr()));
        }
        self.clients().rotate_left(1);
        let error = Error::new(ErrorKind::Unavailable, Operation::Connect);
        Err(error.with_source(causes.join("; ")))
    }

    async fn ask_one(
        &self,
        sentinel: &Client,
    ) -> redis::RedisResult<Option<(MultiplexedConnection, (String, u16))>> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(Some(self.limit));
        let connected = sentinel.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connected?;
        let address = self.named(&mut connection).await?;
        Ok(address.map(|address| (connection, address)))
    }

    async fn named(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> redis::RedisResult<Option<(String, u16)>> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("get-master-addr-by-name").arg(&self.name);
        Ok(address(send(connection, &ask).await?))
    }

    fn keep(&self, connection: MultiplexedConnection) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address in the answer of a sentinel.
fn address(answer: Value) -> Option<(String, u16)> {
    let [host, port] = <[Vec<u8>; 2]>::try_from(reply::list(answer)?).ok()?;
    let port = str::from_utf8(&port).ok()?.parse().ok()?;
    Some((String::from_utf8(host).ok()?, port))
}

const MASTER: &str = "master";

/// The role of the server, as it sees itself.
async fn role(connection: &mut MultiplexedConnection) -> redis::RedisResult<String> {
    let answer = send(connection, &redis::cmd("ROLE")).await?;
    let role = match answer {
        Value::Array(parts) => parts.into_iter().next().and_then(reply::bytes),
        _ => None,
    };
    Ok(role.and_then(|role| String::from_utf8(role).ok()).unwrap_or_default())
}

/// Fails unless the server is a master: the sentinels may name one that is not promoted yet, or that
/// came back after another was promoted.
pub(crate) async fn verify(connection: &mut MultiplexedConnection) -> Result<()> {
    let role = role(connection).await.map_err(|error| connect_failed(&error))?;
    if role == MASTER {
        return Ok(());
    }
    let cause = format!("the server that the sentinels name is a {role}, and no master");
    Err(Error::new(ErrorKind::Unavailable, Operation::Connect).with_source(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn address_is_read() {
        let answer = Value::Array(vec![text("10.0.0.1"), text("6379")]);
        assert_eq!(address(answer), Some(("10.0.0.1".to_owned(), 6379)));
        for answer in [Value::Nil, Value::Array(vec![]), Value::Array(vec![text("a"), text("b")])] {
            assert_eq!(address(answer), None);
        }
    }
}
