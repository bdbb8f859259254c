//! The same transactions without locks: a row is read and written.

use std::path::Path;
use std::time::Duration;

use lock_sqlite::Synchronous;
use rusqlite::Connection;

pub(crate) struct Raw(Connection);

impl Raw {
    pub(crate) fn open(path: &Path, synchronous: Synchronous) -> Self {
        let connection = Connection::open(path).expect("the file opens");
        connection.busy_timeout(Duration::from_secs(60)).expect("a pragma");
        let level = if synchronous == Synchronous::Full { "FULL" } else { "NORMAL" };
        let pragmas = format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {level};
             CREATE TABLE IF NOT EXISTS cells (name TEXT NOT NULL UNIQUE, state BLOB NOT NULL)"
        );
        connection.execute_batch(&pragmas).expect("pragmas");
        Self(connection)
    }

    /// One transaction, as large as that of a lease.
    pub(crate) fn commit(&self, name: &str) {
        let run = || -> rusqlite::Result<()> {
            let prepare = |sql| self.0.prepare_cached(sql);
            prepare("BEGIN IMMEDIATE")?.execute([])?;
            let mut select = prepare("SELECT state FROM cells WHERE name = ?1")?;
            let before: Option<Vec<u8>> = select.query_row([name], |row| row.get(0)).ok();
            let mut state = before.unwrap_or_else(|| vec![0; 400]);
            state[0] = state[0].wrapping_add(1);
            let put =
                "INSERT INTO cells VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET state = ?2";
            prepare(put)?.execute((name, state))?;
            prepare("COMMIT")?.execute([])?;
            Ok(())
        };
        run().expect("a transaction");
    }
}
