//! The address of a Redis server.

use std::fmt;
use std::time::Duration;

use lock_core::{InvalidInput, Violation};
use redis::cluster::ClusterClient;
use redis::{Client, IntoConnectionInfo};

use lock_compat::{LegacyError, Result};

/// The address of a Redis server, or of the servers of a cluster.
///
/// The URLs may hold passwords: they are in no [`Debug`] output and in no error.
#[derive(Clone)]
pub struct ServerConfig {
    pub(super) endpoint: Endpoint,
    pub(super) timeout: Duration,
}

#[derive(Clone)]
pub(super) enum Endpoint {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

impl ServerConfig {
    /// The default time-out of a call: 5 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The server at `url`: `redis://[user:password@]host[:port][/database]`, or `rediss://` for
    /// TLS (with the feature `tls-rustls`), with `#insecure` at its end to accept any certificate.
    ///
    /// # Errors
    /// [`InvalidInput`] when the text is not such a URL.
    pub fn parse(url: &str) -> Result<Self, InvalidInput> {
        let info = url.into_connection_info().map_err(|_| malformed("url"))?;
        Ok(Self::from_client(Client::open(info).map_err(|_| malformed("url"))?))
    }

    /// The cluster of the servers at these addresses, each `host:port` or a URL; surrounding spaces
    /// are ignored.
    ///
    /// # Errors
    /// [`LegacyError::NoClusterAddress`] when all are empty, and [`InvalidInput`] when one is
    /// neither an address nor a URL as for [`parse`](Self::parse).
    pub fn parse_cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let urls = urls.into_iter().map(str::trim).filter(|url| !url.is_empty());
        let url = |address: &str| match address.contains("://") {
            true => address.to_owned(),
            false => format!("redis://{address}/"),
        };
        let urls: Vec<_> = urls.map(url).collect();
        if urls.is_empty() {
            return Err(LegacyError::NoClusterAddress);
        }
        // The driver would repeat commands without an answer, which may have happened: never here.
        let client = ClusterClient::builder(urls).retries(0).build();
        let client = client.map_err(|_| malformed("cluster addresses"))?;
        Ok(Self { endpoint: Endpoint::Cluster(Box::new(client)), timeout: Self::DEFAULT_TIMEOUT })
    }

    /// The server of the driver's client.
    #[must_use]
    pub fn from_client(client: Client) -> Self {
        Self { endpoint: Endpoint::Single(Box::new(client)), timeout: Self::DEFAULT_TIMEOUT }
    }

    /// The same, with this time-out of calls, connecting included.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

fn malformed(field: &'static str) -> InvalidInput {
    let expected = "a redis:// or rediss:// URL";
    InvalidInput::new(field, Violation::Malformed { expected })
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ServerConfig");
        match &self.endpoint {
            Endpoint::Single(client) => {
                let address = client.get_connection_info().addr();
                debug.field("server", &format_args!("{address}"))
            }
            Endpoint::Cluster(_) => debug.field("server", &"a cluster"),
        };
        debug.field("timeout", &self.timeout).finish()
    }
}
