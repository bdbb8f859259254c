//! The division of a store of one shard into the shards of a cluster, while nobody uses it.

use lock_core::{Error, ErrorKind, InvalidInput, LockKey, Operation, Result, Violation};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Value};

use crate::backend::RedisBackend;
use crate::command;
use crate::config::RedisConfig;
use crate::connection::dialer::{Dialer, connect_failed, within};
use crate::connection::handle::send;
use crate::error::{corrupt, failed};
use crate::keyspace::Keyspace;
use crate::reply;
use crate::script::Time;
use crate::shard_count::{self, ShardCount};
use crate::shards::Shards;
use crate::topology::{Endpoint, Topology, client};

/// The parts of a lock, each a key in the server.
const PARTS: [&str; 7] = ["state", "details", "queue", "silence", "ends", "marks", "fading"];
/// Number of keys that the server looks at in one step, and of index entries that are read at once.
const STRIDE: usize = 1_000;

/// Outcome of a division.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Division {
    /// Number of locks that were copied.
    pub locks: u64,
    /// Number of shards among which they are divided.
    pub shards: u16,
}

impl RedisBackend {
    /// Divides the store of one shard at `from` among the shards of `to`, a cluster, which may be the
    /// one that has the store. Both have the same prefix.
    ///
    /// Nobody may use the store meanwhile: from the beginning on, connecting to it is refused. Leases,
    /// waiters, marks and tokens stay as they are; the journal is left behind. A division that was
    /// interrupted is begun again by another call. The user needs `DUMP`, `RESTORE`, `PTTL`, `SCAN`,
    /// `DEL` and `ZRANGE` besides what a client needs.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when `to` is no cluster, has one shard, or has another prefix;
    /// [`ErrorKind::Unsupported`] when the store at `from` has another layout than that of one shard,
    /// or the cluster has a store of this prefix already; [`ErrorKind::Unavailable`] when a server
    /// does not answer.
    ///
    /// # Cancel safety
    /// The division is interrupted: divide again.
    pub async fn divide(from: RedisConfig, to: RedisConfig) -> Result<Division> {
        let count = to.shards;
        let is_cluster = matches!(to.topology, Topology::Cluster(_));
        if !is_cluster || count.get() < 2 || from.prefix != to.prefix {
            let expected = "a cluster, several shards and the same prefix";
            let input = InvalidInput::new("to", Violation::Malformed { expected });
            return Err(Error::invalid(Operation::Connect, input));
        }
        lock_redis_client::install_tls();
        let source = Source::open(&from).await?;
        let marker = shard_count::moving(count.get().into());
        source.mark(&marker).await?;
        let target = Box::pin(Shards::divided(to, command::scripts(Time::default()), &marker));
        let target = target.await?;
        let locks = source.copy(&target).await?;
        // From here on the cluster is the store: what is left of the other is of no use.
        let is_same = target.finish(count.get().into(), &source, &marker).await?;
        source.clear(is_same).await?;
        Ok(Division { locks, shards: count.get() })
    }
}

/// The server that has the store of one shard.
struct Source {
    connection: MultiplexedConnection,
    keyspace: Keyspace,
    /// The run of the server.
    run: String,
}

impl Source {
    async fn open(config: &RedisConfig) -> Result<Self> {
        let keyspace = Keyspace::new(&format!("{}:0", config.prefix));
        let dialer = match &config.topology {
            Topology::Server(server) => {
                let endpoint = Endpoint::Server(Box::new(client(server.clone())?));
                Dialer::new(endpoint, config.clone())
            }
            #[cfg(feature = "sentinel")]
            Topology::Sentinel(sentinels) => {
                let limit = config.connect_timeout;
                let sentinel = crate::topology::sentinel::Sentinel::new(sentinels.clone(), limit)?;
                Dialer::new(Endpoint::Sentinel(std::sync::Arc::new(sentinel)), config.clone())
            }
            Topology::Cluster(seeds) => seeds.dialer_of_prefix(config).await?,
        };
        let dialed = within(config.connect_timeout, dialer.dial()).await?;
        Ok(Self { connection: dialed.connection, keyspace, run: dialed.run.to_string() })
    }

    async fn ask(&self, command: &Cmd) -> Result<Value> {
        let answer = send(&mut self.connection.clone(), command).await;
        answer.map_err(|error| failed(Operation::Transfer, &error))
    }

    /// Writes that the store is being divided, where there is a store of one shard.
    async fn mark(&self, marker: &str) -> Result<()> {
        let mut get = redis::cmd("GET");
        let found = self.ask(get.arg(self.keyspace.layout())).await?;
        let found = reply::bytes(found).and_then(|found| String::from_utf8(found).ok());
        match found.as_deref() {
            Some(layout) if layout == shard_count::layout(1) || layout == marker => {}
            other => {
                let found = other.unwrap_or("none");
                let cause = format!("the store to divide has layout {found}, and not one shard");
                let error = Error::new(ErrorKind::Unsupported, Operation::Connect);
                return Err(error.with_source(cause));
            }
        }
        let mut set = redis::cmd("SET");
        self.ask(set.arg(self.keyspace.layout()).arg(marker)).await.map(drop)
    }

    /// Copies everything into the shards, and returns the number of locks.
    async fn copy(&self, target: &Shards) -> Result<u64> {
        let mut locks = 0;
        let pattern = lock_redis_client::escape_glob(self.keyspace.base()) + "*";
        let mut at = 0;
        loop {
            let (next, names) = self.scan(at, &pattern).await?;
            for name in names {
                let part =
                    name.strip_prefix(self.keyspace.base()).and_then(|it| it.split_once(':'));
                let Some((part, key)) = part.filter(|(part, _)| PARTS.contains(part)) else {
                    continue;
                };
                let Ok(key) = LockKey::parse(key) else { continue };
                locks += u64::from(part == "state");
                self.copy_key(target, &name, part, &key).await?;
            }
            at = next;
            if at == 0 {
                break;
            }
        }
        self.copy_waits(target).await?;
        self.copy_token(target).await?;
        Ok(locks)
    }

    async fn scan(&self, at: u64, pattern: &str) -> Result<(u64, Vec<String>)> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(at).arg("MATCH").arg(pattern).arg("COUNT").arg(STRIDE);
        let unreadable = || corrupt(Operation::Transfer);
        let Value::Array(answer) = self.ask(&scan).await? else { return Err(unreadable()) };
        let [next, names] = <[Value; 2]>::try_from(answer).map_err(|_| unreadable())?;
        let next = reply::text(&next).and_then(|next| next.parse().ok()).ok_or_else(unreadable)?;
        let names = reply::list(names).ok_or_else(unreadable)?;
        Ok((next, names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect()))
    }

    async fn copy_key(&self, target: &Shards, name: &str, part: &str, key: &LockKey) -> Result<()> {
        let (mut dump, mut left) = (redis::cmd("DUMP"), redis::cmd("PTTL"));
        let dump = self.ask(dump.arg(name)).await?;
        let left = match self.ask(left.arg(name)).await? {
            Value::Int(left) => left.max(0),
            _ => 0,
        };
        // It has expired just now.
        let Some(dump) = reply::bytes(dump) else { return Ok(()) };
        let store = target.of(key);
        let mut restore = redis::cmd("RESTORE");
        restore.arg(format!("{}{part}:{key}", store.keyspace.base())).arg(left).arg(dump);
        store.route.command(Operation::Transfer, restore.arg("REPLACE")).await.map(drop)
    }

    /// Copies the index of waiters, whose entries name the keys.
    async fn copy_waits(&self, target: &Shards) -> Result<()> {
        let mut from = 0;
        loop {
            let mut range = redis::cmd("ZRANGE");
            range.arg(self.keyspace.waits()).arg(from).arg(from + STRIDE - 1);
            let entries = reply::list(self.ask(&range).await?);
            let entries = entries.ok_or_else(|| corrupt(Operation::Transfer))?;
            for entry in &entries {
                let Some(key) = key_of_wait(entry) else { continue };
                let store = target.of(&key);
                let mut add = redis::cmd("ZADD");
                add.arg(store.keyspace.waits()).arg(0).arg(entry);
                store.route.command(Operation::Transfer, &add).await?;
            }
            if entries.len() < STRIDE {
                return Ok(());
            }
            from += STRIDE;
        }
    }

    /// Makes the tokens of all shards go on from the last.
    async fn copy_token(&self, target: &Shards) -> Result<()> {
        let number = |value: &Value| reply::text(value).and_then(|text| text.parse::<f64>().ok());
        let mut get = redis::cmd("GET");
        let Some(last) = number(&self.ask(get.arg(self.keyspace.token())).await?) else {
            return Ok(());
        };
        for store in &target.stores {
            let token = store.keyspace.token();
            let (mut get, mut set) = (redis::cmd("GET"), redis::cmd("SET"));
            let own = store.route.command(Operation::Transfer, get.arg(&token)).await?;
            if number(&own).is_none_or(|own| own < last) {
                set.arg(&token).arg(format!("{last:.0}"));
                store.route.command(Operation::Transfer, &set).await?;
            }
        }
        Ok(())
    }

    /// Removes what was copied. The layout stays: clients of the old store are refused by it.
    async fn clear(&self, is_same: bool) -> Result<()> {
        let pattern = lock_redis_client::escape_glob(self.keyspace.base()) + "*";
        let layout = self.keyspace.layout();
        let mut at = 0;
        loop {
            let (next, names) = self.scan(at, &pattern).await?;
            for name in names.into_iter().filter(|name| *name != layout) {
                self.ask(redis::cmd("DEL").arg(name)).await?;
            }
            at = next;
            if at == 0 {
                break;
            }
        }
        if !is_same {
            let mut set = redis::cmd("SET");
            self.ask(set.arg(layout).arg(shard_count::MOVED)).await?;
        }
        Ok(())
    }
}

/// The key in an entry of the index of waiters.
fn key_of_wait(entry: &[u8]) -> Option<LockKey> {
    const REQUEST: usize = 16;
    let (kind, rest) = entry.split_first()?;
    let rest = rest.get(..rest.len().checked_sub(REQUEST + 1)?)?;
    let key = match kind {
        b'o' => &rest[rest.iter().position(|byte| *byte == 0)? + 1..],
        _ => rest.get(REQUEST..)?,
    };
    LockKey::parse(str::from_utf8(key).ok()?).ok()
}

impl Shards {
    /// Writes the number of shards; `true` if the source is the node that has it.
    async fn finish(&self, count: usize, source: &Source, marker: &str) -> Result<bool> {
        let Topology::Cluster(seeds) = &self.config.topology else { return Ok(false) };
        let dialer = seeds.dialer_of_prefix(&self.config).await?;
        let dialed = within(self.config.connect_timeout, dialer.dial()).await?;
        let mut connection = dialed.connection;
        let mut set = redis::cmd("SET");
        set.arg(source.keyspace.layout()).arg(shard_count::layout(count));
        send(&mut connection, &set).await.map_err(|error| connect_failed(&error))?;
        tracing::info!(count, marker, "the store is divided");
        Ok(*dialed.run == *source.run)
    }
}

/// Which number of shards a store that is opened must have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected<'a> {
    /// That of the configuration, or none yet.
    Own,
    /// The store is being divided.
    Moving(&'a str),
}

impl Expected<'_> {
    pub(crate) async fn check(self, count: &ShardCount, dialer: &Dialer) -> Result<()> {
        match self {
            Self::Own => count.check(dialer).await,
            Self::Moving(marker) => count.moving(marker).check(dialer).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_the_index_name_their_key() {
        let request = [7; 16];
        let of_owner = [b"oalice\0acme/infra\0", &request[..]].concat();
        let session = [0; 16];
        let of_session = [b"s", &session[..], b"acme/infra\0", &request].concat();
        for entry in [of_owner, of_session] {
            assert_eq!(key_of_wait(&entry).unwrap().as_str(), "acme/infra");
        }
        assert_eq!(key_of_wait(b"o"), None);
    }
}
