//! Opening of a store: one server, or the masters of a cluster.

use std::sync::{Arc, OnceLock};

use lock_core::Result;

use crate::config::RedisConfig;
use crate::connection::Connection;
#[cfg(feature = "cluster")]
use crate::divide::Expected;
use crate::health;
use crate::keyspace::Keyspaces;
use crate::notify::Mailboxes;
use crate::route::Route;
use crate::script::Scripts;
use crate::shards::Shards;
use crate::store::Store;
use crate::topology::{Endpoint, Topology, client};

impl Shards {
    /// Connects to the servers that `config` names.
    pub(crate) async fn open(config: RedisConfig, scripts: Scripts) -> Result<Self> {
        let endpoint = match &config.topology {
            Topology::Server(server) => Endpoint::Server(Box::new(client(server.clone())?)),
            #[cfg(feature = "sentinel")]
            Topology::Sentinel(sentinels) => {
                let limit = config.connect_timeout;
                let sentinel = crate::topology::sentinel::Sentinel::new(sentinels.clone(), limit)?;
                Endpoint::Sentinel(Arc::new(sentinel))
            }
            #[cfg(feature = "cluster")]
            Topology::Cluster(seeds) => {
                let seeds = seeds.clone();
                return Self::open_cluster(config, seeds, scripts, Expected::Own).await;
            }
        };
        let keyspaces = Arc::new(Keyspaces::new(&config.prefix, 1));
        let mailboxes = Arc::<Mailboxes>::default();
        let keyspace = &keyspaces.shards[0];
        let connection = Connection::open(
            endpoint.clone(),
            &config,
            Arc::clone(keyspace),
            Arc::clone(&mailboxes),
            scripts,
        );
        let route = Route::Server(Arc::new(connection.await?));
        let capabilities = health::capabilities(std::slice::from_ref(&route), &config).await?;
        let stores = vec![Arc::new(Store::new(route, config.clone(), Arc::clone(keyspace)))];
        Ok(Self {
            stores,
            keyspaces,
            config,
            endpoint,
            capabilities,
            mailboxes,
            subscription: OnceLock::new(),
            #[cfg(feature = "cluster")]
            cluster: None,
        })
    }
}

#[cfg(feature = "cluster")]
mod cluster {
    use lock_core::Operation;
    use tokio::time::{Instant, timeout_at};

    use super::*;
    use crate::divide::Expected;
    use crate::keyspace::Keyspace;
    use crate::route::Slot;
    use crate::topology::cluster::{Cluster, Master};
    use crate::topology::seeds::Seeds;

    impl Shards {
        /// Opens the shards of a store that is being divided.
        pub(crate) async fn divided(
            config: RedisConfig,
            scripts: Scripts,
            marker: &str,
        ) -> Result<Self> {
            let Topology::Cluster(seeds) = config.topology.clone() else {
                return Self::open(config, scripts).await;
            };
            Self::open_cluster(config, seeds, scripts, Expected::Moving(marker)).await
        }

        pub(super) async fn open_cluster(
            config: RedisConfig,
            seeds: Seeds,
            scripts: Scripts,
            expected: Expected<'_>,
        ) -> Result<Self> {
            let count = usize::from(config.shards.get());
            let keyspaces = Arc::new(Keyspaces::new(&config.prefix, count));
            let mailboxes = Arc::<Mailboxes>::default();
            let places = (Arc::clone(&keyspaces), Arc::clone(&mailboxes));
            let cluster = Cluster::open(seeds, &config, places, scripts, expected).await?;
            let server = config.address();
            let route = |shard| {
                let (cluster, server) = (Arc::clone(&cluster), Arc::clone(&server));
                Route::Slot(Slot { cluster, shard, timeout: config.timeout, server })
            };
            let routes: Vec<_> = (0..count).map(route).collect();
            // Every master is reached, and its shards are as they should be.
            let deadline = Instant::now() + config.connect_timeout;
            for route in &routes {
                let ready = timeout_at(deadline, route.ready()).await.ok().flatten();
                ready.ok_or_else(|| route.unreachable(Operation::Connect))?;
            }
            if let Some((connection, handle)) = routes[0].ready().await {
                connection.probe(&handle, &keyspaces.shards[0], &config).await?;
            }
            let masters = cluster_routes(&cluster, &routes);
            let capabilities = health::capabilities(&masters, &config).await?;
            let shards = routes.into_iter().zip(&keyspaces.shards);
            let store = |(route, keyspace): (Route, &Arc<Keyspace>)| {
                Arc::new(Store::new(route, config.clone(), Arc::clone(keyspace)))
            };
            Ok(Self {
                stores: shards.map(store).collect(),
                keyspaces,
                endpoint: Endpoint::Cluster(Arc::clone(&cluster)),
                config,
                capabilities,
                mailboxes,
                subscription: OnceLock::new(),
                cluster: Some(cluster),
            })
        }
    }

    /// A way to each master.
    fn cluster_routes(cluster: &Cluster, routes: &[Route]) -> Vec<Route> {
        let first = |master: Master| Some(routes[*master.shards.first()?].clone());
        cluster.masters().into_iter().filter_map(first).collect()
    }
}
