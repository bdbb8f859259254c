//! Watching the journals of all shards at once.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{EventCursor, EventFilter, EventStream, LockEvent, Operation, Result, Watched};
use redis::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::foreign_cursor;
use crate::journal::{BUFFER, Entry, Events, START, entries, event, is_id, stream};
use crate::shards::Shards;
use crate::store::Store;

/// Time between two looks at the journals. A question that stays open is of one slot, so that a
/// watcher would need a connection for each shard.
const PAUSE: Duration = Duration::from_millis(200);
/// What stands between the entries of a cursor.
const SEPARATOR: char = '/';

impl Shards {
    pub(crate) async fn watch_all(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        let after: Vec<String> = match after {
            Some(cursor) => {
                let ids: Vec<_> = cursor.as_str().split(SEPARATOR).map(str::to_owned).collect();
                if ids.len() != self.stores.len() || !ids.iter().all(|id| is_id(id)) {
                    return Err(foreign_cursor(Operation::Watch));
                }
                ids
            }
            None => self.last_entries().await?,
        };
        let (sender, events) = mpsc::channel(BUFFER);
        let stores = self.stores.iter().map(Arc::clone).collect();
        let reader = Reader { stores, filter: filter.clone(), after, sender };
        let reader = tokio::spawn(reader.read()).abort_handle();
        Ok(Box::pin(Events { events, reader }))
    }

    async fn last_entries(&self) -> Result<Vec<String>> {
        let mut asked = JoinSet::new();
        for (shard, store) in self.stores.iter().enumerate() {
            let store = Arc::clone(store);
            asked.spawn(async move { (shard, store.last_entry().await) });
        }
        let mut last = asked.join_all().await;
        last.sort_by_key(|(shard, _)| *shard);
        last.into_iter().map(|(_, entry)| entry).collect()
    }
}

impl Store {
    /// The entries that follow, and whether some between were dropped.
    async fn entries_after(&self, after: &str) -> Result<(Vec<Entry>, bool)> {
        let journal = self.keyspace.journal();
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(BUFFER).arg("STREAMS").arg(&journal).arg(after);
        let new = self.route.command(Operation::Watch, &read).await?;
        let new = stream(new).unwrap_or_default();
        if new.is_empty() || after == START {
            return Ok((new, false));
        }
        // As long as the entry that was read last is still there, none after it was dropped before.
        let mut last = redis::cmd("XRANGE");
        last.arg(&journal).arg(after).arg(after);
        let last: Value = self.route.command(Operation::Watch, &last).await?;
        let is_cut = entries(last).is_none_or(|last| last.is_empty());
        Ok((new, is_cut))
    }
}

/// When the change of an entry happened, in microseconds.
fn time(entry: &Entry) -> u64 {
    let time = entry.id.split_once('-').map_or(entry.id.as_str(), |(time, _)| time);
    time.parse().unwrap_or(0)
}

/// Reads the journals for one watcher. Events of different shards that are read at once are in the
/// order of their times.
struct Reader {
    /// Kept as long as the watcher, which may outlive the backend.
    stores: Vec<Arc<Store>>,
    filter: EventFilter,
    /// The last entry of each shard that was read.
    after: Vec<String>,
    sender: mpsc::Sender<Watched>,
}

impl Reader {
    async fn read(mut self) {
        loop {
            let mut asked = JoinSet::new();
            for (shard, store) in self.stores.iter().enumerate() {
                let store = Arc::clone(store);
                let after = self.after[shard].clone();
                asked.spawn(async move { (shard, store.entries_after(&after).await) });
            }
            let (mut all, mut is_cut) = (Vec::new(), false);
            while let Some(answered) = asked.join_next().await {
                // A shard that is not reached is asked again.
                let Ok((shard, Ok((new, is_shard_cut)))) = answered else { continue };
                is_cut |= is_shard_cut;
                all.extend(new.into_iter().map(|entry| (shard, entry)));
            }
            // Entries of one shard are in their order already, and stay so where times are equal.
            all.sort_by_key(|(_, entry)| time(entry));
            if self.pass(all, is_cut).await.is_none() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Passes entries on; `None` when the watcher is gone.
    async fn pass(&mut self, new: Vec<(usize, Entry)>, is_cut: bool) -> Option<()> {
        if is_cut {
            self.sender.send(Watched::Missed(1)).await.ok()?;
        }
        for (shard, entry) in new {
            self.after[shard].clone_from(&entry.id);
            let watched = match event(&entry) {
                Some(event) if !self.filter.matches(&event) => continue,
                Some(LockEvent { at, change, .. }) => {
                    let cursor = EventCursor::new(self.after.join("/"));
                    Watched::Event(LockEvent::new(cursor, at, change))
                }
                None => Watched::Missed(1),
            };
            self.sender.send(watched).await.ok()?;
        }
        Some(())
    }
}
