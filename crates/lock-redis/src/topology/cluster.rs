//! The masters of a cluster: which has which shard, and the connections to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use lock_core::{Error, ErrorKind, Operation, Result};
use redis::Client;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::config::RedisConfig;
use crate::connection::dialer::Dialer;
use crate::connection::supervised::Supervised;
use crate::connection::{Connection, Places};
use crate::divide::Expected;
use crate::error;
use crate::keyspace::{Keyspace, Keyspaces};
use crate::notify::Mailboxes;
use crate::reply::text;
use crate::script::Scripts;
use crate::shard_count::ShardCount;
use crate::telemetry;
use crate::topology::cluster_view::{OwnSlots, View, ask_all};
use crate::topology::seeds::Seeds;
use crate::topology::{Endpoint, at, client, slots};

/// Time between two looks at the cluster at least, however many ask for one.
const FLOOR: Duration = Duration::from_millis(100);
/// The longest pause between two looks while a master is missing.
const PAUSE: Duration = Duration::from_millis(400);
/// Time after a change in which messages between nodes may still be lost.
const SETTLING: Duration = Duration::from_secs(1);
/// The most nodes that are asked at once.
const ASKED: usize = 3;

/// The address of a node.
pub(crate) type Address = (String, u16);

/// A master that has shards.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) node: Address,
    pub(crate) connection: Arc<Connection>,
    pub(crate) shards: Vec<usize>,
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.node.0, self.node.1)
    }
}

/// The masters of a cluster that have the shards of a store.
pub(crate) struct Cluster {
    seeds: Seeds,
    config: RedisConfig,
    keyspaces: Arc<Keyspaces>,
    mailboxes: Arc<Mailboxes>,
    scripts: Scripts,
    /// The slot of each shard.
    slots: Vec<u16>,
    owners: watch::Sender<Owners>,
    /// All nodes that were seen last.
    known: Mutex<Vec<Address>>,
    /// Told when the owners may be others.
    doubted: Arc<Notify>,
    keeper: OnceLock<Supervised>,
}

/// Connections to the owners of all slots.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owners {
    of_slots: Vec<Option<Arc<Connection>>>,
    pub(crate) nodes: BTreeMap<Address, Arc<Connection>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("seeds", &format_args!("{}", self.seeds))
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Finds the masters, and connects to those that have a shard.
    pub(crate) async fn open(
        seeds: Seeds,
        config: &RedisConfig,
        (keyspaces, mailboxes): (Arc<Keyspaces>, Arc<Mailboxes>),
        scripts: Scripts,
        expected: Expected<'_>,
    ) -> Result<Arc<Self>> {
        let tags = slots::tags(&keyspaces.prefix, keyspaces.shards.len());
        let slots: Vec<_> = tags.iter().map(|tag| slots::slot(tag)).collect();
        let (owners, _) = watch::channel(Owners::default());
        let cluster = Arc::new(Self {
            seeds,
            config: config.clone(),
            keyspaces,
            mailboxes,
            scripts,
            slots,
            owners,
            known: Mutex::default(),
            doubted: Arc::default(),
            keeper: OnceLock::new(),
        });
        let view = cluster.look().await?;
        let count = ShardCount::new(&cluster.keyspaces);
        let owner = view.owner(count.slot()).ok_or_else(|| no_master(Operation::Connect))?;
        expected.check(&count, &cluster.dialer(owner)?).await?;
        cluster.apply(&view);
        let (weak, doubted) = (Arc::downgrade(&cluster), Arc::clone(&cluster.doubted));
        let keep = move || keep(weak.clone(), Arc::clone(&doubted));
        let _ = cluster.keeper.set(Supervised::spawn("cluster", keep));
        Ok(cluster)
    }

    /// The connection to the owner of a shard, up or not.
    pub(crate) fn owner(&self, shard: usize) -> Option<Arc<Connection>> {
        self.owners.borrow().of_slots.get(shard).cloned().flatten()
    }

    /// The shards that a master says it has.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] while one of them is on its way from or to another: its keys are in
    /// two places.
    pub(crate) async fn whole_shards_of(&self, connection: &Connection) -> Result<Vec<usize>> {
        let mut ask = redis::cmd("CLUSTER");
        let nodes = connection.command(Operation::List, ask.arg("NODES")).await?;
        let own = text(&nodes).and_then(OwnSlots::read);
        let own = own.ok_or_else(|| error::corrupt(Operation::List))?;
        if self.slots.iter().any(|slot| own.moving.contains(slot)) {
            let cause = "a slot is on its way to another master".to_owned();
            return Err(error::unreachable(Operation::List, Some(cause)));
        }
        Ok((0..self.slots.len()).filter(|shard| own.has(self.slots[*shard])).collect())
    }

    /// The number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.keyspaces.shards.len()
    }

    /// The masters that have shards.
    pub(crate) fn masters(&self) -> Vec<Master> {
        let nodes: Vec<_> = self.owners.borrow().nodes.clone().into_iter().collect();
        let master = |(node, connection)| {
            let shards = self.shards_of(&node);
            Master { node, connection, shards }
        };
        let masters = nodes.into_iter().map(master);
        masters.filter(|master| !master.shards.is_empty()).collect()
    }

    /// The owners, and their changes.
    pub(crate) fn owners(&self) -> watch::Receiver<Owners> {
        self.owners.subscribe()
    }

    /// The shards that a node has, by their numbers.
    pub(crate) fn shards_of(&self, node: &Address) -> Vec<usize> {
        let owners = self.owners.borrow();
        let Some(node) = owners.nodes.get(node) else { return Vec::new() };
        let has = |shard: &usize| {
            owners.of_slots[*shard].as_ref().is_some_and(|owner| Arc::ptr_eq(owner, node))
        };
        (0..self.keyspaces.shards.len()).filter(has).collect()
    }

    /// The keyspaces of the shards that a node has.
    pub(crate) fn keyspaces_of(&self, node: &Address) -> Vec<Arc<Keyspace>> {
        let shards = self.shards_of(node).into_iter();
        shards.map(|shard| Arc::clone(&self.keyspaces.shards[shard])).collect()
    }

    /// A node for messages, which reach it from all others: one that is reached, if there is one.
    pub(crate) fn any(&self) -> Result<Client> {
        let owners = self.owners.borrow();
        let is_open = |(_, connection): &(_, &Arc<Connection>)| connection.open_handle().is_some();
        let mut nodes: Vec<_> = owners.nodes.iter().filter(is_open).map(|(node, _)| node).collect();
        if nodes.is_empty() {
            nodes = owners.nodes.keys().collect();
        }
        let unreachable = || error::unreachable(Operation::Connect, None);
        let chosen = rand::random_range(0..nodes.len().max(1));
        let (host, port) = nodes.get(chosen).ok_or_else(unreachable)?;
        client(at(&self.seeds.nodes[0], host, *port))
    }

    /// Returns why the node at this address is not one of the masters any more, as soon as that is
    /// known.
    pub(crate) async fn left(&self, address: &str) -> String {
        let is_gone = |owners: &Owners| {
            !owners.nodes.keys().any(|(host, port)| format!("{host}:{port}") == address)
        };
        // The sender lives as long as this.
        drop(self.owners.subscribe().wait_for(is_gone).await);
        format!("{address} has none of our slots any more")
    }

    /// The owners may be others: a look at the cluster soon tells.
    pub(crate) fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// A node says that another has the slot of this shard.
    pub(crate) fn moved(self: &Arc<Self>, shard: usize, node: &Address) -> Result<()> {
        let connection = self.connection(node)?;
        self.owners.send_modify(|owners| {
            let connection = owners.nodes.entry(node.clone()).or_insert(connection);
            owners.of_slots[shard] = Some(Arc::clone(connection));
        });
        self.doubt();
        Ok(())
    }

    /// The connection to a node, which begins to connect when it is new.
    pub(crate) fn connection(self: &Arc<Self>, node: &Address) -> Result<Arc<Connection>> {
        if let Some(connection) = self.owners.borrow().nodes.get(node) {
            return Ok(Arc::clone(connection));
        }
        let dialer = self.dialer(node)?;
        let places = Places::OfNode(Arc::downgrade(self), node.clone());
        Ok(Arc::new(Connection::begin(
            dialer,
            places,
            Arc::clone(&self.mailboxes),
            self.scripts.clone(),
            Arc::clone(&self.doubted),
        )))
    }

    fn dialer(&self, node: &Address) -> Result<Dialer> {
        let server = at(&self.seeds.nodes[0], &node.0, node.1);
        Ok(Dialer::new(Endpoint::Server(Box::new(client(server)?)), self.config.clone()))
    }

    /// Asks some nodes for the owners of all slots.
    async fn look(&self) -> Result<View> {
        telemetry::looks().increment(1);
        let nodes: Vec<_> = self.owners.borrow().nodes.values().cloned().collect();
        let mut open: Vec<_> = nodes.iter().filter_map(|node| node.open_handle()).collect();
        // Another for each process and look: none is asked by all.
        let from = rand::random_range(0..open.len().max(1));
        open.rotate_left(from);
        open.truncate(ASKED);
        let limit = self.config.connect_timeout / 2;
        if let Some(view) = ask_all(open, limit).await {
            return Ok(view);
        }
        self.look_anew(limit).await
    }

    /// Asks nodes to which there is no connection.
    async fn look_anew(&self, limit: Duration) -> Result<View> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = known.iter().map(|(host, port)| at(&self.seeds.nodes[0], host, *port));
        let mut causes = Vec::new();
        let mut kind = ErrorKind::Unavailable;
        for node in self.seeds.nodes.iter().cloned().chain(known) {
            let address = node.addr().to_string();
            let dialer =
                Dialer::new(Endpoint::Server(Box::new(client(node)?)), self.config.clone());
            let cause = match timeout(limit, dialer.dial()).await {
                Ok(Ok(dialed)) => match View::ask(dialed.connection, &dialed.address).await {
                    Ok(view) => return Ok(view),
                    Err(error) => {
                        if error.to_string().contains("cluster support disabled") {
                            kind = ErrorKind::Unsupported;
                        }
                        error.to_string()
                    }
                },
                Ok(Err(error)) => format!("{error:?}"),
                Err(_) => format!("no answer within {limit:?}"),
            };
            causes.push(format!("node {address}: {cause}"));
        }
        Err(Error::new(kind, Operation::Connect).with_source(causes.join("; ")))
    }

    /// Takes the owners of a view; `true` when they are others than before.
    fn apply(self: &Arc<Self>, view: &View) -> bool {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = view.nodes.clone();
        let owners: Vec<_> = self.slots.iter().map(|slot| view.owner(*slot)).collect();
        let mut nodes = BTreeMap::new();
        for node in owners.iter().copied().flatten() {
            if !nodes.contains_key(node)
                && let Ok(connection) = self.connection(node)
            {
                nodes.insert(node.clone(), connection);
            }
        }
        let of_node = |node: Option<&Address>| node.and_then(|node| nodes.get(node).cloned());
        let of_slots: Vec<_> = owners.into_iter().map(of_node).collect();
        self.owners.send_if_modified(|owners| {
            let same = |pair: (&Option<Arc<_>>, &Option<Arc<_>>)| match pair {
                (Some(one), Some(other)) => Arc::ptr_eq(one, other),
                (one, other) => one.is_none() && other.is_none(),
            };
            let is_same = owners.of_slots.len() == of_slots.len()
                && owners.of_slots.iter().zip(&of_slots).all(same);
            // A node that has nothing any more is forgotten, though nothing else changed.
            *owners = Owners { of_slots, nodes };
            !is_same
        })
    }

    /// Looks at the cluster, and takes its owners.
    pub(crate) async fn refresh(self: &Arc<Self>) -> Result<()> {
        let view = self.look().await?;
        if self.apply(&view) {
            tracing::debug!("the owners of slots changed");
            let mailboxes = Arc::clone(&self.mailboxes);
            mailboxes.tell_missed();
            // Messages of a new master go over links that nodes may still be making.
            tokio::spawn(async move {
                sleep(SETTLING).await;
                mailboxes.tell_missed();
            });
        }
        Ok(())
    }

    /// Returns `true` if every slot has an owner that is reached.
    fn is_whole(&self) -> bool {
        let owners = self.owners.borrow();
        owners
            .of_slots
            .iter()
            .all(|owner| owner.as_ref().is_some_and(|it| it.open_handle().is_some()))
    }
}

/// The error where a slot has no owner.
pub(crate) fn no_master(operation: Operation) -> Error {
    error::unreachable(operation, Some("no master of the cluster has the slot".to_owned()))
}

/// Looks at the cluster when something may have changed, and again and again while a master is
/// missing.
async fn keep(cluster: Weak<Cluster>, doubted: Arc<Notify>) {
    let mut pause = FLOOR;
    loop {
        let Some(current) = cluster.upgrade() else { return };
        let is_whole = current.is_whole();
        drop(current);
        if is_whole {
            pause = FLOOR;
            doubted.notified().await;
        } else {
            // Another time for each: many who lost one node do not ask at once.
            sleep(pause.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
            pause = (pause * 2).min(PAUSE);
        }
        let Some(current) = cluster.upgrade() else { return };
        if let Err(error) = current.refresh().await {
            tracing::debug!(?error, "the cluster cannot be looked at");
        }
        drop(current);
        sleep(FLOOR).await;
    }
}
