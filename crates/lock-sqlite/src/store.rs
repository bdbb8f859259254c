//! Cells in the rows of a table, updates in its transactions.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{Clock, MailboxId};
use lock_host::{
    Draft, Events, HostBackend, Inbox, Listening, Properties, Scan, ScanFilter, StateStore, Step,
    StoreError, Write,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::config::{SqliteConfig, Synchronous};
use crate::error::SqliteError;
use crate::file::{self, Opened, PATIENCE};
use crate::folder::{Folder, Turn};
use crate::log::Log;
use crate::notify::{Mailbox, Post};
use crate::schema;

/// The lock store in an SQLite file.
pub type SqliteBackend = HostBackend<SqliteStore>;

/// Maximum number of bytes of a cell. SQLite takes 1 GB, a key that every command reads and writes
/// whole should not.
const CELL_BYTES: NonZeroUsize = NonZeroUsize::new(64 * 1024 * 1024).expect("not zero");

/// Cells in the rows of a table of an SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Mutex<Connection>,
    file: Opened,
    log: Log,
    folder: Arc<Folder>,
    post: Post,
    clock: Arc<dyn Clock>,
    identity: u64,
    events: u32,
    synchronous: Synchronous,
}

/// The columns of a row beside its state, which seldom change.
type Indexed = (bool, Option<i64>);

impl SqliteStore {
    pub(crate) fn open(config: &SqliteConfig) -> Result<Self, SqliteError> {
        let path = file::resolve(&config.path);
        let path = path.map_err(|error| SqliteError::io(&config.path, &error))?;
        let at = Folder::path_of(&path);
        if !at.exists() {
            // A file that is not ours gets no folder.
            let _ = file::look(&path)?;
        }
        let unusable = |error| SqliteError::io(&at, &error);
        let folder = Arc::new(Folder::open(at.clone()).map_err(unusable)?);
        let turn = folder.turn_within(PATIENCE);
        let turn = turn.ok_or_else(|| SqliteError::Busy { path: path.clone() })?;
        // From here on no other process makes it or brings it to another version.
        let (mut connection, file, log) = file::open(&path)?;
        let sqlite = |error| SqliteError::sqlite(&path, &error);
        let clock: Arc<dyn Clock> = match &config.clock {
            Some(clock) => Arc::clone(clock),
            None => Arc::new(schema::clock(&mut connection).map_err(sqlite)?),
        };
        let identity = schema::identity(&connection).map_err(sqlite)?;
        drop(turn);
        folder.remove_dead().map_err(unusable)?;
        let post = Post::new(Arc::clone(&folder)).map_err(unusable)?;
        if let Some(warning) = file::network_warning(&path) {
            tracing::warn!("{warning}");
        }
        let (events, synchronous) = (config.events.get(), config.synchronous);
        let connection = Mutex::new(connection);
        Ok(Self { connection, file, log, folder, post, clock, identity, events, synchronous })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// The connection, after a look whether the file is still the one that was opened.
    pub(crate) fn checked(&self) -> Result<MutexGuard<'_, Connection>, SqliteError> {
        self.file.check()?;
        Ok(self.connection())
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does the work in one transaction, when it is this process' turn. Where it fails, nothing is
    /// written.
    pub(crate) fn transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.commit(|connection| Ok((work(connection)?, true)))
    }

    /// The same for work that returns whether its transaction needs to be durable.
    fn commit<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<(T, bool), StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.connection();
        let path = self.file.path();
        let turn = self.folder.turn().map_err(|error| SqliteError::io(path, &error))?;
        let (done, needs_durability) = self.transaction_in(&turn, &connection, work)?;
        // The next process commits meanwhile, and its sync covers this commit: what it saw of it is on
        // the disk before it answers.
        drop(turn);
        if self.synchronous == Synchronous::Full && needs_durability {
            self.log
                .sync()
                .map_err(|error| StoreError::from(SqliteError::io(path, &error)).unknown())?;
        }
        if self.log.is_long() {
            // Where another process reads the log, the next commit tries again.
            let _ = checkpoint(&connection);
        }
        Ok(done)
    }

    /// Does the work in one transaction, if this process can have its turn at once.
    fn try_transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.synchronous == Synchronous::Full || self.log.is_long() {
            return Err(StoreError::would_block());
        }
        let connection = self.connection.try_lock().map_err(|_| StoreError::would_block())?;
        let turn = self.folder.try_turn().ok_or_else(StoreError::would_block)?;
        let patience =
            |patience| connection.busy_timeout(patience).map_err(|error| self.failed(&error));
        patience(Duration::ZERO)?;
        let done = self.transaction_in(&turn, &connection, work);
        patience(PATIENCE)?;
        done
    }

    fn transaction_in<T>(
        &self,
        _turn: &Turn<'_>,
        connection: &Connection,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.file.check()?;
        self.log.check().map_err(|error| SqliteError::io(self.path(), &error))?;
        let execute = |sql| connection.prepare_cached(sql).and_then(|mut sql| sql.execute([]));
        if !connection.is_autocommit() {
            // The last transaction could not even be rolled back.
            execute("ROLLBACK").map_err(|error| self.failed(&error))?;
        }
        execute("BEGIN IMMEDIATE").map_err(|error| self.failed(&error))?;
        let _begun = Begun(connection);
        let done = work(connection)?;
        let committed = execute("COMMIT");
        if let Err(error) = committed {
            let error = SqliteError::sqlite(self.file.path(), &error);
            // Where there was no room, nothing of the end of the transaction is in the log.
            let is_known = matches!(error, SqliteError::Full { .. } | SqliteError::Busy { .. });
            let error = StoreError::from(error);
            return Err(if is_known { error } else { error.unknown() });
        }
        Ok(done)
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        SqliteError::sqlite(self.file.path(), error).into()
    }

    /// Runs the step in a transaction that has begun, and returns whether that needs to be durable.
    fn run(&self, connection: &Connection, step: &mut Step<'_>) -> Result<bool, StoreError> {
        let sqlite = |error| self.failed(&error);
        let select = "SELECT state, waits, due FROM cells WHERE name = ?1";
        let mut select = connection.prepare_cached(select).map_err(sqlite)?;
        let mut found: HashMap<String, Indexed> = HashMap::new();
        let mut read = |name: &str| {
            let row = |row: &Row<'_>| Ok((row.get(0)?, (row.get(1)?, row.get(2)?)));
            let row = select.query_row([name], row).optional().map_err(sqlite)?;
            Ok(row.map(|(state, indexed)| {
                found.insert(name.to_owned(), indexed);
                state
            }))
        };
        let mut draft = Draft::new(self.clock.now(), &mut read);
        step(&mut draft)?;
        let needs_durability = draft.needs_durability();
        let (writes, events) = draft.into_parts();
        for write in writes {
            let was = found.get(&write.name).copied();
            put(connection, write, was).map_err(sqlite)?;
        }
        if !events.is_empty() {
            self.publish(connection, &events).map_err(sqlite)?;
        }
        Ok(needs_durability)
    }

    fn publish(&self, connection: &Connection, events: &[Vec<u8>]) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached("INSERT INTO events (bytes) VALUES (?1)")?;
        for event in events {
            insert.execute([event])?;
        }
        let gone = connection.last_insert_rowid() - i64::from(self.events);
        let mut delete = connection.prepare_cached("DELETE FROM events WHERE number <= ?1")?;
        delete.execute([gone])?;
        Ok(())
    }
}

/// A transaction, which is rolled back unless it was committed: also when its work panics, as it would
/// keep all others from writing.
struct Begun<'a>(&'a Connection);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        // Some errors have ended the transaction already.
        if !self.0.is_autocommit() {
            let _ = self.0.execute_batch("ROLLBACK");
        }
    }
}

/// Writes a cell. An index is touched only when what it is made of changes.
fn put(connection: &Connection, write: Write, was: Option<Indexed>) -> rusqlite::Result<()> {
    let Write { name, cell, .. } = write;
    let Some(cell) = cell else {
        connection.prepare_cached("DELETE FROM cells WHERE name = ?1")?.execute([name])?;
        return Ok(());
    };
    let due = cell.due.map(|due| i64::try_from(due.as_micros()).unwrap_or(i64::MAX));
    if was == Some((cell.waits, due)) {
        let update = "UPDATE cells SET state = ?2 WHERE name = ?1";
        connection.prepare_cached(update)?.execute(params![name, cell.state])?;
    } else {
        let put = "INSERT INTO cells (name, state, waits, due) VALUES (?1, ?2, ?3, ?4) \
                   ON CONFLICT (name) DO UPDATE SET state = ?2, waits = ?3, due = ?4";
        connection.prepare_cached(put)?.execute(params![name, cell.state, cell.waits, due])?;
    }
    Ok(())
}

/// Writes the log into the file, as far as nobody reads it.
fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?.query(())?.next().map(drop)
}

/// A number that SQLite can hold.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl StateStore for SqliteStore {
    fn properties(&self) -> Properties {
        let name = format!("sqlite {}", rusqlite::version());
        let properties = Properties::new(name, self.identity).with_transactions().with_pushes();
        properties.with_events().with_durability().with_cell_bytes(CELL_BYTES)
    }

    fn update(&self, _names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError> {
        self.commit(|connection| Ok(((), self.run(connection, step)?)))
    }

    fn try_update(&self, _names: &[&str], step: &mut Step<'_>) -> Result<(), StoreError> {
        self.try_transaction(|connection| self.run(connection, step).map(drop))
    }

    fn scan(&self, scan: &Scan<'_>) -> Result<Vec<String>, StoreError> {
        let (sql, due) = match scan.filter {
            ScanFilter::Waits => (
                "SELECT name FROM cells WHERE waits AND name >= ?1 AND ?2 ORDER BY name LIMIT ?3",
                1,
            ),
            ScanFilter::DueBy(time) => (
                "SELECT name FROM cells WHERE due <= ?2 AND name >= ?1 ORDER BY due LIMIT ?3",
                number(time.as_micros()),
            ),
            _ => ("SELECT name FROM cells WHERE name >= ?1 AND ?2 ORDER BY name LIMIT ?3", 1),
        };
        let names = |connection: &Connection| {
            let mut select = connection.prepare_cached(sql)?;
            let rows =
                select.query_map(params![scan.from, due, scan.limit as i64], |row| row.get(0));
            rows?.collect::<rusqlite::Result<Vec<String>>>()
        };
        names(&self.connection()).map_err(|error| self.failed(&error))
    }

    fn listen(&self, mailbox: MailboxId, inbox: Inbox) -> Result<Listening, StoreError> {
        let opened = Mailbox::open(Arc::clone(&self.folder), mailbox, inbox);
        let at = || self.folder.file(&mailbox.to_string());
        let opened = opened.map_err(|error| SqliteError::io(&at(), &error))?;
        Ok(Box::new(opened))
    }

    fn notify(&self, mailbox: MailboxId, notice: &[u8]) {
        self.post.send(mailbox, notice);
    }

    fn events(&self, after: u64, limit: usize) -> Result<Events, StoreError> {
        let events = |connection: &Connection| {
            let last =
                "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)";
            let last: i64 = connection.prepare_cached(last)?.query_row([], |row| row.get(0))?;
            let first = "SELECT coalesce(min(number), ?1) FROM events";
            let first: i64 =
                connection.prepare_cached(first)?.query_row([last + 1], |row| row.get(0))?;
            let select =
                "SELECT number, bytes FROM events WHERE number > ?1 ORDER BY number LIMIT ?2";
            let mut select = connection.prepare_cached(select)?;
            let event = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?));
            let rows = select.query_map(params![number(after), limit as i64], event)?;
            let items = rows.collect::<rusqlite::Result<_>>()?;
            Ok(Events::new(items, first.cast_unsigned(), last.cast_unsigned()))
        };
        events(&self.connection()).map_err(|error| self.failed(&error))
    }

    fn warnings(&self) -> Result<Vec<String>, StoreError> {
        let path = self.file.path();
        self.file.check()?;
        let mut warnings = self.file.warnings().map_err(|error| SqliteError::io(path, &error))?;
        if self.synchronous == Synchronous::Normal {
            let path = path.display();
            warnings.push(format!("a loss of power may undo the last changes of {path}"));
        }
        Ok(warnings)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn write(store: &SqliteStore) -> Result<(), StoreError> {
        let work = |connection: &Connection| {
            let put = "INSERT OR REPLACE INTO meta VALUES ('test', 1)";
            connection.execute(put, []).map(drop).map_err(|error| store.failed(&error))
        };
        store.transaction(work)
    }

    /// With `Full` a commit that is not on the disk is not answered as done, and none follows it.
    #[test]
    fn commit_waits_for_the_disk() {
        for (synchronous, is_synced) in [(Synchronous::Full, true), (Synchronous::Normal, false)] {
            let folder = tempfile::tempdir().unwrap();
            let config = SqliteConfig::new(folder.path().join("locks.db"));
            let mut store = SqliteStore::open(&config.with_synchronous(synchronous)).unwrap();
            // A device without a disk refuses to sync.
            let device = File::open("/dev/null").unwrap();
            store.log = Log::new(device, store.connection.get_mut().unwrap()).unwrap();
            let written = write(&store);
            assert_eq!(written.is_err_and(|error| error.is_unknown()), is_synced);
            let again = write(&store);
            assert_eq!(again.is_err_and(|error| !error.is_unknown()), is_synced);
        }
    }

    /// A commit of heartbeats does not wait for the disk.
    #[test]
    fn commit_that_may_be_lost_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(folder.path().join("locks.db"));
        let mut store = SqliteStore::open(&config).unwrap();
        // A device without a disk refuses to sync.
        let device = File::open("/dev/null").unwrap();
        store.log = Log::new(device, store.connection.get_mut().unwrap()).unwrap();
        store.commit(|_| Ok(((), false))).unwrap();
        store.commit(|_| Ok(((), true))).unwrap_err();
    }

    /// A process that commits without a pause does not let the log grow without bound.
    #[test]
    fn long_log_is_written_into_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let config = SqliteConfig::new(folder.path().join("locks.db"));
        let store = SqliteStore::open(&config.with_synchronous(Synchronous::Normal)).unwrap();
        for _ in 0..3000 {
            write(&store).unwrap();
        }
        let log = std::fs::metadata(folder.path().join("locks.db-wal")).unwrap().len();
        assert!(log < 2 * 1000 * 4200, "{log} bytes");
    }
}
