//! The number of shards of a store, which is written where clients of every number look.

use lock_core::{Error, ErrorKind, Operation, Result};
use redis::Value;

use crate::connection::dialer::{Dialed, Dialer, connect_failed, within};
use crate::connection::handle::send;
use crate::error;
use crate::keyspace::{Keyspace, Keyspaces};
use crate::record::LAYOUT_VERSION;
use crate::reply;
use crate::topology::slots;

/// What stands between the version of the layout and the number of shards.
const SHARDS: &str = " shards ";

/// The number of shards of a store.
///
/// It stands in the layout of a store of one shard. A client that expects one shard finds there a
/// layout that is not its own, and a client that expects several finds that of the one.
#[derive(Debug)]
pub(crate) struct ShardCount {
    tag: String,
    layout: String,
}

impl ShardCount {
    pub(crate) fn new(keyspaces: &Keyspaces) -> Self {
        let tag = format!("{}:0", keyspaces.prefix);
        Self { tag, layout: layout(keyspaces.shards.len()) }
    }

    /// The slot in which the number stands.
    pub(crate) fn slot(&self) -> u16 {
        slots::slot(&self.tag)
    }

    /// The same for a store that is being divided, of which this stands in the layout.
    pub(crate) fn moving(&self, marker: &str) -> Self {
        Self { tag: self.tag.clone(), layout: marker.to_owned() }
    }

    /// Writes the number if there is none; another number is an error.
    pub(crate) async fn check(&self, dialer: &Dialer) -> Result<()> {
        let attempt = async {
            let Dialed { mut connection, .. } = dialer.dial().await?;
            let name = Keyspace::new(&self.tag).layout();
            let (mut set, mut get) = (redis::cmd("SETNX"), redis::cmd("GET"));
            set.arg(&name).arg(&self.layout);
            get.arg(&name);
            let failed = |error: redis::RedisError| connect_failed(&error);
            if send(&mut connection, &set).await.map_err(failed)? == Value::Int(1) {
                return Ok(());
            }
            let found = send(&mut connection, &get).await.map_err(failed)?;
            let found = reply::bytes(found).and_then(|found| String::from_utf8(found).ok());
            self.compare(&found.ok_or_else(|| error::corrupt(Operation::Connect))?)
        };
        within(dialer.config.connect_timeout, attempt).await
    }

    fn compare(&self, found: &str) -> Result<()> {
        if found == self.layout {
            return Ok(());
        }
        let cause = format!("the store has {}, and ours is {}", words(found), words(&self.layout));
        Err(Error::new(ErrorKind::Unsupported, Operation::Connect).with_source(cause))
    }
}

/// The layout of a store of so many shards.
pub(crate) fn layout(shards: usize) -> String {
    match shards {
        1 => LAYOUT_VERSION.to_owned(),
        shards => format!("{LAYOUT_VERSION}{SHARDS}{shards}"),
    }
}

/// The layout of a store of one shard that is being divided.
pub(crate) fn moving(shards: usize) -> String {
    format!("{LAYOUT_VERSION} on its way to{SHARDS}{shards}")
}

/// The layout of a store that was divided, in another server.
pub(crate) const MOVED: &str = "moved to a cluster";

fn words(layout: &str) -> String {
    match layout.split_once(SHARDS) {
        Some((version, shards)) => format!("layout {version} in {shards} shards"),
        None => format!("layout {layout} in 1 shard"),
    }
}
