//! What a node knows of its cluster.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::connection::handle::ConnectionHandle;
use crate::reply::{bytes, field, text};
use crate::topology::cluster::Address;

/// The owners of the slots, as one node sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The first and the last of some slots, and their master.
    ranges: Vec<(u16, u16, Address)>,
    /// All masters and replicas.
    pub(crate) nodes: Vec<Address>,
    /// `true` if the node sees most masters.
    is_ok: bool,
    /// The number of changes that the node knows of.
    epoch: u64,
}

impl View {
    /// Asks a node at this address.
    pub(crate) async fn ask(
        mut connection: MultiplexedConnection,
        address: &str,
    ) -> RedisResult<Self> {
        let mut ask = redis::pipe();
        ask.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
        let answers = connection.send_packed_commands(&ask, 0, 2).await?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let mut answers = answers.into_iter().map(Value::extract_error);
        let (Some(info), Some(slots)) = (answers.next(), answers.next()) else {
            return Err(unreadable());
        };
        Self::read(&info?, slots?, host).ok_or_else(unreadable)
    }

    /// Reads the answers of a node at this host.
    fn read(info: &Value, slots: Value, host: &str) -> Option<Self> {
        let info = text(info)?;
        let epoch = field(info, "cluster_current_epoch")?.trim().parse().ok()?;
        let is_ok = field(info, "cluster_state")?.trim() == "ok";
        let mut view = Self { epoch, is_ok, ..Self::default() };
        let Value::Array(slots) = slots else { return None };
        for range in slots {
            let Value::Array(parts) = range else { return None };
            let mut parts = parts.into_iter();
            let mut slot = || match parts.next()? {
                Value::Int(slot) => u16::try_from(slot).ok(),
                _ => None,
            };
            let (from, to) = (slot()?, slot()?);
            let nodes: Vec<_> = parts.map(|node| read_node(node, host)).collect::<Option<_>>()?;
            view.ranges.push((from, to, nodes.first()?.clone()));
            view.nodes.extend(nodes);
        }
        view.nodes.sort();
        view.nodes.dedup();
        Some(view)
    }

    /// The master of a slot.
    pub(crate) fn owner(&self, slot: u16) -> Option<&Address> {
        let has = |(from, to, _): &&(u16, u16, Address)| (*from..=*to).contains(&slot);
        self.ranges.iter().find(has).map(|(_, _, node)| node)
    }

    /// The order in which views are believed: a node that sees most masters, and that knows of most
    /// changes.
    const fn weight(&self) -> (bool, u64) {
        (self.is_ok, self.epoch)
    }
}

/// A node that does not say its host has the one that it was reached at.
fn read_node(node: Value, host: &str) -> Option<Address> {
    let Value::Array(parts) = node else { return None };
    let mut parts = parts.into_iter();
    let said = parts.next().and_then(bytes).and_then(|host| String::from_utf8(host).ok());
    let said = said.filter(|said| !said.is_empty() && said != "?");
    let Value::Int(port) = parts.next()? else { return None };
    Some((said.unwrap_or_else(|| host.to_owned()), u16::try_from(port).ok()?))
}

fn unreadable() -> RedisError {
    RedisError::from((ErrorKind::Parse, "the node's view of its cluster is unreadable"))
}

/// Asks nodes at once, and returns what the one says that knows most.
pub(crate) async fn ask_all(nodes: Vec<ConnectionHandle>, limit: Duration) -> Option<View> {
    let mut asked = JoinSet::new();
    for node in nodes {
        asked.spawn(timeout(limit, async move { View::ask(node.connection, &node.address).await }));
    }
    let views = asked.join_all().await.into_iter().filter_map(|view| view.ok()?.ok());
    views.max_by_key(View::weight)
}

/// The slots of a node, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnSlots {
    ranges: Vec<(u16, u16)>,
    /// Those that are on their way from or to another node.
    pub(crate) moving: Vec<u16>,
}

impl OwnSlots {
    /// Reads the answer to `CLUSTER NODES`.
    pub(crate) fn read(nodes: &str) -> Option<Self> {
        const SLOTS: usize = 8;
        let is_own = |line: &&str| line.split(' ').nth(2).is_some_and(|it| it.contains("myself"));
        let mut own = Self::default();
        for word in nodes.lines().find(is_own)?.split(' ').skip(SLOTS) {
            if let Some(moving) = word.strip_prefix('[') {
                own.moving.push(moving.split('-').next()?.parse().ok()?);
            } else {
                let (from, to) = word.split_once('-').unwrap_or((word, word));
                own.ranges.push((from.parse().ok()?, to.parse().ok()?));
            }
        }
        Some(own)
    }

    pub(crate) fn has(&self, slot: u16) -> bool {
        self.ranges.iter().any(|(from, to)| (*from..=*to).contains(&slot))
    }
}

/// Where a command belongs, as a node answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) node: Address,
    /// `true` if the slot is on its way there, and only this command goes after it.
    pub(crate) is_ask: bool,
}

impl Redirect {
    /// Reads the error of the node at this address.
    pub(crate) fn read(error: &RedisError, address: &str) -> Option<Self> {
        let (node, _) = error.redirect_node()?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let is_ask = error.kind() == ErrorKind::Server(ServerErrorKind::Ask);
        Some(Self { node: read_address(node, host)?, is_ask })
    }
}

/// An address; without a host, at this one.
fn read_address(said: &str, host: &str) -> Option<Address> {
    let (said, port) = said.rsplit_once(':')?;
    let said = if said.is_empty() || said == "?" { host } else { said };
    Some((said.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn node(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("id")])
    }

    fn slots(from: i64, to: i64, nodes: Vec<Value>) -> Value {
        Value::Array([vec![Value::Int(from), Value::Int(to)], nodes].concat())
    }

    fn info(state: &str, epoch: u64) -> Value {
        text(&format!("cluster_state:{state}\r\ncluster_current_epoch:{epoch}\r\n"))
    }

    #[test]
    fn owners_are_read() {
        let one = slots(0, 99, vec![node(text("a"), 1), node(text("b"), 2)]);
        let two = slots(200, 200, vec![node(Value::Nil, 3)]);
        let view = View::read(&info("ok", 7), Value::Array(vec![one, two]), "host").unwrap();
        let address = |host: &str, port| (host.to_owned(), port);
        assert_eq!(view.owner(99), Some(&address("a", 1)));
        assert_eq!(view.owner(100), None);
        assert_eq!(view.owner(200), Some(&address("host", 3)));
        assert_eq!(view.nodes, [address("a", 1), address("b", 2), address("host", 3)]);
        assert_eq!(view.weight(), (true, 7));
    }

    #[test]
    fn node_that_is_cut_off_is_not_believed() {
        let view = |state, epoch| {
            View::read(&info(state, epoch), Value::Array(Vec::new()), "host").unwrap()
        };
        assert!(view("ok", 7).weight() > view("fail", 9).weight());
        assert!(view("ok", 7).weight() > view("ok", 6).weight());
    }

    #[test]
    fn own_slots_are_read() {
        let nodes = "a 127.0.0.1:1@2 master - 0 1 7 connected 500\n\
                     b 127.0.0.1:3@4 myself,master - 0 1 1 connected 0-178 180 [93->-a] [77-<-a]\n";
        let own = OwnSlots::read(nodes).unwrap();
        assert!(own.has(0) && own.has(178) && !own.has(179) && own.has(180) && !own.has(500));
        assert_eq!(own.moving, [93, 77]);
        assert_eq!(OwnSlots::read("a 127.0.0.1:1@2 master - 0 1 7 connected 500"), None);
    }

    #[test]
    fn unreadable_views_are_none() {
        assert_eq!(View::read(&text("?"), Value::Array(Vec::new()), "host"), None);
        assert_eq!(View::read(&info("ok", 7), Value::Nil, "host"), None);
        let short = Value::Array(vec![slots(0, 9, Vec::new())]);
        assert_eq!(View::read(&info("ok", 7), short, "host"), None);
    }

    #[test]
    fn address_of_an_answer_is_read() {
        let of = |text| read_address(text, "host");
        assert_eq!(of("10.0.0.1:7"), Some(("10.0.0.1".to_owned(), 7)));
        assert_eq!(of("::1:7"), Some(("::1".to_owned(), 7)));
        assert_eq!(of(":7"), Some(("host".to_owned(), 7)));
        assert_eq!(of("nothing"), None);
    }
}
