//! The journal of events, and those who watch it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use lock_core::{
    Change, End, Error, ErrorKind, EventCursor, EventFilter, EventStream, LockEvent, LockKey,
    Operation, OwnerId, Reason, Result, Timestamp, Watched,
};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisResult, Value};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::error::{failed, foreign_cursor};
use crate::shards::Shards;
use crate::store::Store;
use crate::topology::Endpoint;
use crate::{end, reply};

/// Cursor before the first entry of a journal.
pub(crate) const START: &str = "0-0";
/// Maximum number of events that a watcher lags behind before the journal is read no further for it.
pub(crate) const BUFFER: usize = 1024;
/// Time for which the server keeps a watcher's question open.
const OPEN: Duration = Duration::from_secs(5);
/// Time after that within which an answer must come.
const GRACE: Duration = Duration::from_secs(2);
/// Pause of a watcher that could not reach the server.
const PAUSE: Duration = Duration::from_millis(200);

impl Shards {
    pub(crate) async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        if self.config.journal.is_none() {
            let cause = "no journal is kept: see RedisConfig::with_journal";
            let error = Error::new(ErrorKind::Unsupported, Operation::Watch).with_source(cause);
            return Err(error.with_server(self.config.address()));
        }
        #[cfg(feature = "cluster")]
        if self.single().is_none() {
            return self.watch_all(filter, after).await;
        }
        let after = match after {
            Some(cursor) if is_id(cursor.as_str()) => cursor.as_str().to_owned(),
            Some(_) => return Err(foreign_cursor(Operation::Watch)),
            None => self.stores[0].last_entry().await?,
        };
        let (sender, events) = mpsc::channel(BUFFER);
        let reader = Reader {
            endpoint: self.endpoint.clone(),
            journal: self.keyspaces.shards[0].journal(),
            filter: filter.clone(),
            after,
            sender,
        };
        let reader = tokio::spawn(reader.read()).abort_handle();
        Ok(Box::pin(Events { events, reader }))
    }
}

impl Store {
    /// The id of the last entry of the journal.
    pub(crate) async fn last_entry(&self) -> Result<String> {
        let mut last = redis::cmd("XREVRANGE");
        last.arg(self.keyspace.journal()).arg("+").arg("-").arg("COUNT").arg(1);
        let answer = self.route.command(Operation::Watch, &last).await?;
        let last = entries(answer).ok_or_else(|| self.corrupt(Operation::Watch))?.pop();
        Ok(last.map_or_else(|| START.to_owned(), |entry| entry.id))
    }
}

/// Returns `true` if a text is the id of a journal entry.
pub(crate) fn is_id(text: &str) -> bool {
    let is_number =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()) && part.parse::<u64>().is_ok();
    text.split_once('-').is_some_and(|(time, number)| is_number(time) && is_number(number))
}

/// Stream of one watcher.
#[derive(Debug)]
pub(crate) struct Events {
    pub(crate) events: mpsc::Receiver<Watched>,
    pub(crate) reader: AbortHandle,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Stream for Events {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        self.events.poll_recv(cx)
    }
}

/// Reads the journal for one watcher, on a connection of its own: a question that stays open would
/// hold up everybody else's.
struct Reader {
    endpoint: Endpoint,
    journal: String,
    filter: EventFilter,
    /// The last entry that was read.
    after: String,
    sender: mpsc::Sender<Watched>,
}

/// An entry of the journal.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    fields: Vec<Vec<u8>>,
}

impl Reader {
    async fn read(mut self) {
        loop {
            if let Ok(connection) = self.connect().await {
                let ended = self.follow(connection).await;
                if ended.is_ok() {
                    return;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(OPEN + GRACE))
            .set_connection_timeout(Some(GRACE));
        let client = self.endpoint.find().await?;
        let connected = client.get_multiplexed_async_connection_with_config(&config).await;
        connected.map_err(|error| failed(Operation::Watch, &error))
    }

    /// Follows the journal from where it stood; ends without an error when the last watcher is
    /// gone.
    async fn follow(&mut self, mut connection: MultiplexedConnection) -> RedisResult<()> {
        loop {
            // Both at once, so that nothing comes between them: while the entry that was read last
            // is still there, none after it is gone.
            let mut read = redis::pipe();
            read.cmd("XRANGE").arg(&self.journal).arg(&self.after).arg(&self.after);
            read.cmd("XREAD").arg("COUNT").arg(BUFFER).arg("BLOCK").arg(OPEN.as_millis() as u64);
            read.arg("STREAMS").arg(&self.journal).arg(&self.after);
            let answers = connection.send_packed_commands(&read, 0, 2).await?;
            let answers = Value::Array(answers).extract_error()?;
            let [last, new] = pair(answers).unwrap_or([Value::Nil, Value::Nil]);
            let is_cut = self.after != START && entries(last).is_none_or(|last| last.is_empty());
            let new = stream(new).unwrap_or_default();
            // A journal that is gone as a whole begins anew: so does the reading.
            if is_cut && new.is_empty() {
                START.clone_into(&mut self.after);
            }
            if is_cut && self.sender.send(Watched::Missed(1)).await.is_err() {
                return Ok(());
            }
            for entry in new {
                self.after.clone_from(&entry.id);
                let watched = match event(&entry) {
                    Some(event) if !self.filter.matches(&event) => continue,
                    Some(event) => Watched::Event(event),
                    None => Watched::Missed(1),
                };
                if self.sender.send(watched).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn pair(answer: Value) -> Option<[Value; 2]> {
    match answer {
        Value::Array(parts) => parts.try_into().ok(),
        _ => None,
    }
}

/// The entries of the one stream in an answer to `XREAD`.
pub(crate) fn stream(answer: Value) -> Option<Vec<Entry>> {
    match answer {
        Value::Map(streams) => entries(streams.into_iter().next()?.1),
        _ => None,
    }
}

pub(crate) fn entries(answer: Value) -> Option<Vec<Entry>> {
    let Value::Array(entries) = answer else { return None };
    let read = |entry: Value| {
        let [id, fields] = pair(entry)?;
        let id = String::from_utf8(reply::bytes(id)?).ok()?;
        Some(Entry { id, fields: reply::list(fields)? })
    };
    entries.into_iter().map(read).collect()
}

/// Reads an event as `prelude.lua` writes it.
pub(crate) fn event(entry: &Entry) -> Option<LockEvent> {
    let text = |name: &str| {
        let named = |pair: &[Vec<u8>]| pair[0] == name.as_bytes();
        entry.fields.chunks_exact(2).find(|pair| named(pair)).map(|pair| pair[1].as_slice())
    };
    let word = |name| str::from_utf8(text(name)?).ok();
    let key = LockKey::parse(word("key")?).ok()?;
    let lease = |name| reply::lease(text(name)?, &key);
    let waiter = || reply::waiter(text("first")?, &key);
    let change = match word("event")? {
        "queued" => Change::Queued(waiter()?),
        "granted" => Change::Granted(lease("first")?),
        "released" => Change::Released(lease("first")?),
        "expired" => Change::Expired(lease("first")?),
        "cancelled" => Change::Cancelled(waiter()?),
        "lapsed" => Change::Lapsed(waiter()?),
        "transferred" => Change::Transferred { from: lease("first")?, to: lease("second")? },
        "evicted" => {
            let (by, reason) = evicted(text("second")?)?;
            Change::Evicted { lease: lease("first")?, by, reason }
        }
        "waiter evicted" => {
            let (by, reason) = evicted(text("second")?)?;
            Change::WaiterEvicted { waiter: waiter()?, by, reason }
        }
        _ => return None,
    };
    let at = Timestamp::from_micros(word("at")?.parse().ok()?);
    Some(LockEvent::new(EventCursor::new(entry.id.clone()), at, change))
}

fn evicted(ending: &[u8]) -> Option<(OwnerId, Reason)> {
    match end::parse(ending)? {
        End::Evicted { by, reason } => Some((by, reason)),
        _ => None,
    }
}
