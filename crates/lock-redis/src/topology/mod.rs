//! The servers of a store: which there are, and which of them is used.

#[cfg(feature = "cluster")]
pub(crate) mod cluster;
#[cfg(feature = "cluster")]
pub(crate) mod cluster_view;
#[cfg(feature = "cluster")]
pub(crate) mod seeds;
#[cfg(feature = "sentinel")]
pub(crate) mod sentinel;
pub(crate) mod slots;
pub(crate) mod url;

use std::fmt;
#[cfg(any(feature = "sentinel", feature = "cluster"))]
use std::sync::Arc;

use lock_core::{Error, InvalidInput, Operation, Result, Violation};
#[cfg(any(feature = "sentinel", feature = "cluster"))]
use redis::ConnectionAddr;
use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionInfo};

#[cfg(feature = "cluster")]
use crate::topology::cluster::Cluster;
#[cfg(feature = "cluster")]
use crate::topology::seeds::Seeds;
#[cfg(feature = "sentinel")]
use crate::topology::sentinel::{Sentinel, Sentinels};

/// The servers of a store, as they are configured.
#[derive(Clone)]
pub(crate) enum Topology {
    /// One server.
    Server(ConnectionInfo),
    /// The master that sentinels name.
    #[cfg(feature = "sentinel")]
    Sentinel(Sentinels),
    /// The masters of a cluster.
    #[cfg(feature = "cluster")]
    Cluster(Seeds),
}

impl Topology {
    /// The same servers, with the login and the certificates of this client. One server is that of
    /// the client.
    pub(crate) fn like_client(self, info: &ConnectionInfo) -> Self {
        match self {
            Self::Server(_) => Self::Server(url::tuned(info.clone())),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => Self::Sentinel(sentinels.like_client(info)),
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => Self::Cluster(seeds.like_client(info)),
        }
    }
}

/// The addresses, without user and password.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.addr().fmt(f),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => sentinels.fmt(f),
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => seeds.fmt(f),
        }
    }
}

/// Where the next connection goes.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// Always to the same server.
    Server(Box<Client>),
    /// To the master that the sentinels name.
    #[cfg(feature = "sentinel")]
    Sentinel(Arc<Sentinel>),
    /// To any master of the cluster.
    #[cfg(feature = "cluster")]
    Cluster(Arc<Cluster>),
}

impl Endpoint {
    /// The server to connect to now.
    #[cfg_attr(
        not(feature = "sentinel"),
        expect(clippy::unused_async, reason = "only sentinels are asked")
    )]
    pub(crate) async fn find(&self) -> Result<Client> {
        match self {
            Self::Server(client) => Ok(Client::clone(client)),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinel) => sentinel.find().await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.any(),
        }
    }

    /// Fails unless the connection goes to the right server.
    #[cfg_attr(
        not(feature = "sentinel"),
        expect(clippy::unused_async, reason = "only sentinels are asked")
    )]
    pub(crate) async fn verify(&self, connection: &mut MultiplexedConnection) -> Result<()> {
        match self {
            Self::Server(_) => {
                let _ = connection;
                Ok(())
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinel(_) => sentinel::verify(connection).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => Ok(()),
        }
    }

    /// Returns why the server is not the right one any more, as soon as that is known.
    pub(crate) async fn left(&self, address: &str, connection: MultiplexedConnection) -> String {
        match self {
            Self::Server(_) => {
                let _ = (address, connection);
                std::future::pending().await
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinel) => sentinel.left(address, connection).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.left(address).await,
        }
    }

    /// Returns `true` if a replica will do for the moment, as it may be the master soon.
    pub(crate) const fn takes_replicas(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}

/// A client of a server, if this build can reach it.
pub(crate) fn client(server: ConnectionInfo) -> Result<Client> {
    Client::open(server).map_err(|_| {
        let violation = Violation::Malformed { expected: "a server that this build can reach" };
        Error::invalid(Operation::Connect, InvalidInput::new("url", violation))
    })
}

/// The same, at another address.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(crate) fn at(info: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let address = match info.addr().clone() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure, tls_params }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

/// The host and the port of an address.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
pub(crate) fn host_and_port(info: &ConnectionInfo) -> (String, u16) {
    match info.addr() {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            (host.clone(), *port)
        }
        other => (other.to_string(), 0),
    }
}
