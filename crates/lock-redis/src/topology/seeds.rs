//! The nodes of a cluster that a client knows from the beginning.

use std::fmt;

use lock_core::{Error, ErrorKind, Operation, Result};
use redis::ConnectionInfo;
use tokio::time::timeout;

use crate::config::RedisConfig;
use crate::connection::dialer::{Dialer, connect_failed};
use crate::topology::cluster::no_master;
use crate::topology::cluster_view::View;
use crate::topology::{Endpoint, at, client, host_and_port, slots, url};

/// The nodes of a cluster, as they are configured.
#[derive(Clone)]
pub(crate) struct Seeds {
    /// The nodes that are asked first; the login and the settings of the first are those of all.
    pub(crate) nodes: Vec<ConnectionInfo>,
}

impl Seeds {
    pub(crate) fn like_client(&self, info: &ConnectionInfo) -> Self {
        let node = url::tuned(info.clone());
        let same = |seed: &ConnectionInfo| {
            let (host, port) = host_and_port(seed);
            at(&node, &host, port)
        };
        Self { nodes: self.nodes.iter().map(same).collect() }
    }

    /// Connects to the master that has the store of one shard of this prefix.
    pub(crate) async fn dialer_of_prefix(&self, config: &RedisConfig) -> Result<Dialer> {
        let slot = slots::slot(&format!("{}:0", config.prefix));
        let (mut causes, limit) = (Vec::new(), config.connect_timeout);
        for node in &self.nodes {
            let endpoint = Endpoint::Server(Box::new(client(node.clone())?));
            let dialer = Dialer::new(endpoint, config.clone());
            match timeout(limit, dialer.dial()).await {
                Ok(Ok(dialed)) => {
                    let view = View::ask(dialed.connection, &dialed.address).await;
                    let view = view.map_err(|error| connect_failed(&error))?;
                    let owner = view.owner(slot).ok_or_else(|| no_master(Operation::Connect))?;
                    let server = client(at(&self.nodes[0], &owner.0, owner.1))?;
                    return Ok(Dialer::new(Endpoint::Server(Box::new(server)), config.clone()));
                }
                Ok(Err(error)) => causes.push(format!("{error:?}")),
                Err(_) => causes.push(format!("no answer within {limit:?}")),
            }
        }
        let error = Error::new(ErrorKind::Unavailable, Operation::Connect);
        Err(error.with_source(causes.join("; ")))
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, node) in self.nodes.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}", node.addr())?;
        }
        Ok(())
    }
}
