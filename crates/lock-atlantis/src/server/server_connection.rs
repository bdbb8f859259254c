//! A connection to a server or a cluster, which ends the one before it.

use lock_redis_client::Peer;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisFuture, Value};

use super::config::Endpoint;

/// A connection, which all calls share.
#[derive(Clone)]
pub(super) enum ServerConnection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ServerConnection {
    /// Connects and ends the `last` connection: commands that the server has not read from it must
    /// not take effect after those sent from now on. Returns the name of the new one, if the server
    /// reports it.
    ///
    /// A cluster, and a user without the permission, go without: Atlantis' own user often lacks it,
    /// and must be served.
    pub(super) async fn make(
        endpoint: &Endpoint,
        last: Option<&Peer>,
    ) -> Result<(Self, Option<Peer>), RedisError> {
        let client = match endpoint {
            Endpoint::Single(client) => client,
            Endpoint::Cluster(client) => {
                return Ok((Self::Cluster(client.get_async_connection().await?), None));
            }
        };
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let said: Result<String, _> = Peer::ask().query_async(&mut connection).await;
        let peer = allowed(said)?.as_deref().and_then(Peer::read);
        // That it is already gone is not an error.
        if let Some(last) = last
            && allowed(last.end().query_async::<Value>(&mut connection).await)?.is_none()
        {
            tracing::warn!("the user may not end its last connection: a late call may happen");
        }
        Ok((Self::Single(connection), peer))
    }
}

/// An answer, or `None` if the user lacks the permission or the server does not know the command.
fn allowed<T>(answer: Result<T, RedisError>) -> Result<Option<T>, RedisError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if matches!(error.kind(), redis::ErrorKind::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl ConnectionLike for ServerConnection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(server_connection) => server_connection.req_packed_command(command),
            Self::Cluster(server_connection) => server_connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(server_connection) => {
                server_connection.req_packed_commands(commands, offset, count)
            }
            Self::Cluster(server_connection) => {
                server_connection.req_packed_commands(commands, offset, count)
            }
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(server_connection) => server_connection.get_db(),
            Self::Cluster(server_connection) => server_connection.get_db(),
        }
    }
}
