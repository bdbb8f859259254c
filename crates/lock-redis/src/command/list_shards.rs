//! Listing leases of a cluster: a walk over the keys of one master after another.

use std::collections::BTreeMap;
use std::sync::Arc;

use lock_core::{Cursor, Lease, ListQuery, LockKey, Operation, Page, Result, Timed};
use redis::Value;

use crate::command::list::{Listing, STEPS, Walk, stride};
use crate::connection::Connection;
use crate::error::foreign_cursor;
use crate::reply;
use crate::shards::Shards;
use crate::topology::cluster::{Address, Cluster, Master, no_master};

/// Progress of a walk over all masters.
///
/// The cursor of a master means nothing to another, so a shard counts as listed only when one master
/// had it from the beginning of its walk to the end. A shard that moves meanwhile is listed again.
#[derive(Debug, Default)]
struct ClusterWalk {
    /// The shards that were listed.
    listed: Vec<usize>,
    /// The master that is walked over now, and its shards that it had from the beginning.
    node: Option<(Address, Vec<usize>)>,
    walk: Walk,
}

impl ClusterWalk {
    /// The listed shards, and the others with their master and the walk over it, separated by `/`.
    fn write(&self) -> Cursor {
        let numbers = |shards: &[usize]| {
            let numbers: Vec<_> = shards.iter().map(ToString::to_string).collect();
            numbers.join(",")
        };
        let (node, shards) = match &self.node {
            Some(((host, port), shards)) => (format!("{host}:{port}"), numbers(shards)),
            None => (String::new(), String::new()),
        };
        let walk = self.walk.write();
        Cursor::new(format!("{}/{node}/{shards}/{}", numbers(&self.listed), walk.as_str()))
    }

    fn read(cursor: &Cursor, shards: usize) -> Result<Self> {
        Self::parse(cursor.as_str(), shards).ok_or_else(|| foreign_cursor(Operation::List))
    }

    fn parse(text: &str, shards: usize) -> Option<Self> {
        let numbers = |text: &str| -> Option<Vec<usize>> {
            let numbers = text.split(',').filter(|number| !number.is_empty());
            let number = |text: &str| text.parse().ok().filter(|number| *number < shards);
            numbers.map(number).collect()
        };
        let mut parts = text.splitn(4, '/');
        let listed = numbers(parts.next()?)?;
        let node = match parts.next()? {
            "" => None,
            node => {
                let (host, port) = node.rsplit_once(':')?;
                Some((host.to_owned(), port.parse().ok()?))
            }
        };
        let of_node = numbers(parts.next()?)?;
        let walk = Walk::parse(parts.next()?)?;
        Some(Self { listed, node: node.map(|node| (node, of_node)), walk })
    }

    /// Goes on to a master that has shards which were not listed; `None` when all were.
    async fn choose(&mut self, cluster: &Arc<Cluster>) -> Result<Option<Arc<Connection>>> {
        let masters = cluster.masters();
        if let Some((node, shards)) = &mut self.node {
            let now = masters.iter().find(|master| master.node == *node);
            shards.retain(|shard| now.is_some_and(|now| now.shards.contains(shard)));
            if let Some(master) = now
                && !shards.is_empty()
            {
                return Ok(Some(Arc::clone(&master.connection)));
            }
        }
        (self.node, self.walk) = (None, Walk::default());
        if self.listed.len() == cluster.shards() {
            return Ok(None);
        }
        if let Some(connection) = self.choose_of(masters, cluster).await? {
            return Ok(Some(connection));
        }
        // A slot has moved, and the owners are not known yet.
        cluster.refresh().await?;
        let chosen = self.choose_of(cluster.masters(), cluster).await?;
        chosen.map(Some).ok_or_else(|| no_master(Operation::List))
    }

    /// Chooses one of these masters that has shards which were not listed.
    async fn choose_of(
        &mut self,
        masters: Vec<Master>,
        cluster: &Cluster,
    ) -> Result<Option<Arc<Connection>>> {
        for Master { node, connection, shards } in masters {
            if shards.iter().all(|shard| self.listed.contains(shard)) {
                continue;
            }
            // The master itself knows best what it has.
            let mut shards = cluster.whole_shards_of(&connection).await?;
            shards.retain(|shard| !self.listed.contains(shard));
            if !shards.is_empty() {
                self.node = Some((node, shards));
                return Ok(Some(connection));
            }
        }
        Ok(None)
    }

    /// The walk over a master is over: what it still has was listed. A shard that left it meanwhile
    /// is listed where it is now.
    async fn finish(&mut self, cluster: &Cluster, connection: &Connection) -> Result<()> {
        let now = cluster.whole_shards_of(connection).await?;
        let mut shards = self.node.take().map(|(_, shards)| shards).unwrap_or_default();
        let count = shards.len();
        shards.retain(|shard| now.contains(shard));
        if shards.len() < count {
            cluster.doubt();
        }
        self.listed.extend(shards);
        self.listed.sort_unstable();
        self.walk = Walk::default();
        Ok(())
    }
}

impl Shards {
    pub(crate) async fn list_masters(
        &self,
        cluster: &Arc<Cluster>,
        query: &ListQuery,
    ) -> Result<Timed<Page<Lease>>> {
        let shards = self.stores.len();
        let read = |cursor| ClusterWalk::read(cursor, shards);
        let mut walk = query.cursor.as_ref().map(read).transpose()?.unwrap_or_default();
        let mut page: Option<Listing<'_>> = None;
        for _ in 0..STEPS {
            let Some(connection) = walk.choose(cluster).await? else { break };
            // Each master has its own clock.
            let now = connection.now(Operation::List).await?;
            let page = page.get_or_insert_with(|| Listing::new(query, now));
            page.now = now;
            let (next, keys) =
                self.scan(&connection, walk.walk.at, &query.prefix, stride(query)).await?;
            let of_node = walk.node.as_ref().map(|(_, shards)| shards.clone()).unwrap_or_default();
            for (shard, keys) in keys.into_iter().filter(|(shard, _)| of_node.contains(shard)) {
                if !self.stores[shard].list_keys(&mut walk.walk, page, keys).await? {
                    return Ok(page.take(Some(walk.write())));
                }
            }
            walk.walk = Walk::at(next);
            if next == 0 {
                walk.finish(cluster, &connection).await?;
            }
            if page.room() == 0 {
                break;
            }
        }
        let next = (walk.listed.len() < shards).then(|| walk.write());
        match page {
            Some(mut page) => Ok(page.take(next)),
            None => {
                let now = self.stores[0].route.now(Operation::List).await?;
                Ok(Timed::new(now, Page::new(Vec::new(), next)))
            }
        }
    }

    /// One step of a walk over the keys of a master that begin with `prefix`: where the next begins,
    /// and the keys of each shard.
    pub(crate) async fn scan(
        &self,
        connection: &Connection,
        at: u64,
        prefix: &str,
        stride: u32,
    ) -> Result<(u64, BTreeMap<usize, Vec<LockKey>>)> {
        let failed = || crate::error::corrupt(Operation::List).with_server(self.config.address());
        let mut scan = redis::cmd("SCAN");
        scan.arg(at).arg("MATCH").arg(self.keyspaces.states(prefix)).arg("COUNT").arg(stride);
        let Value::Array(answer) = connection.command(Operation::List, &scan).await? else {
            return Err(failed());
        };
        let [next, states] = <[Value; 2]>::try_from(answer).map_err(|_| failed())?;
        let next = reply::bytes(next).and_then(|text| str::from_utf8(&text).ok()?.parse().ok());
        let states = reply::list(states).ok_or_else(failed)?;
        let mut keys = BTreeMap::<usize, Vec<LockKey>>::new();
        for state in &states {
            let named = str::from_utf8(state).ok().and_then(|it| self.keyspaces.key_of_state(it));
            if let Some((shard, key)) = named
                && let Ok(key) = LockKey::parse(key)
            {
                keys.entry(shard).or_default().push(key);
            }
        }
        for keys in keys.values_mut() {
            // The server may name a key twice.
            keys.sort();
            keys.dedup();
        }
        Ok((next.ok_or_else(failed)?, keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_is_read_as_it_was_written() {
        let text = "1,2,40/10.0.0.1:7001/0,3/17";
        let walk = ClusterWalk::parse(text, 64).unwrap();
        assert_eq!(walk.write().as_str(), text);
        assert_eq!(walk.node.unwrap(), (("10.0.0.1".to_owned(), 7001), vec![0, 3]));
        assert_eq!(ClusterWalk::default().write().as_str(), "///0");
    }

    #[test]
    fn foreign_cursors_are_none() {
        for text in ["", "0", "1,2/one/3/0", "64/one:1/3/0", "1/one:1/64/0", "1/one:1/3/x", "a///0"]
        {
            assert!(ClusterWalk::parse(text, 64).is_none(), "{text}");
        }
    }
}
