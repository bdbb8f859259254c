//! Schema of the file, and migrations of older versions.

use lock_core::Timestamp;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::clock::{MachineClock, boot_id};

/// By which a file of this crate is known: "Lock".
pub(crate) const APPLICATION_ID: u32 = 0x4c6f_636b;
/// Migrations, one per version.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
     CREATE TABLE cells (name TEXT NOT NULL UNIQUE, state BLOB NOT NULL, waits INTEGER NOT NULL, due INTEGER);
     CREATE INDEX cells_that_wait ON cells (name) WHERE waits;
     CREATE INDEX cells_by_due ON cells (due) WHERE due IS NOT NULL;
     CREATE TABLE events (number INTEGER PRIMARY KEY AUTOINCREMENT, bytes BLOB NOT NULL);
     INSERT INTO meta VALUES ('identity', random());",
    "CREATE TABLE documents (revision INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL);",
];
/// The version of today.
pub(crate) const VERSION: u32 = MIGRATIONS.len() as u32;

/// Header of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet.
    Empty,
    /// It is ours, of this version.
    Ours(u32),
    /// It is that of another program.
    Foreign,
}

pub(crate) fn look(connection: &Connection) -> rusqlite::Result<Found> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok(match pragma("application_id")? {
        APPLICATION_ID => Found::Ours(pragma("user_version")?),
        0 if is_empty(connection)? => Found::Empty,
        _ => Found::Foreign,
    })
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let objects = "SELECT count(*) FROM sqlite_schema";
    connection.query_row(objects, [], |row| row.get::<_, i64>(0)).map(|objects| objects == 0)
}

/// Brings a file that is empty or older to the version of today, in one transaction.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    migrate_by(connection, MIGRATIONS)
}

fn migrate_by(connection: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for migration in migrations.iter().skip(version as usize) {
        transaction.execute_batch(migration)?;
    }
    if (version as usize) < migrations.len() {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", migrations.len() as u32)?;
    }
    transaction.commit()
}

/// The number that distinguishes events of this file from those of another.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<u64> {
    let identity = "SELECT value FROM meta WHERE name = 'identity'";
    connection.query_row(identity, [], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// The clock that all processes read which use the file since the machine was started.
pub(crate) fn clock(connection: &mut Connection) -> rusqlite::Result<MachineClock> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (boot, read) = (boot_id(), "SELECT value FROM meta WHERE name = ?1");
    let known: Option<String> =
        transaction.query_row(read, ["boot"], |row| row.get(0)).optional()?;
    let micros: i64 = if known.is_some_and(|known| known == boot) {
        transaction.query_row(read, ["started"], |row| row.get(0))?
    } else {
        let started = MachineClock::started_by_wall().as_micros();
        let started = i64::try_from(started).unwrap_or(i64::MAX);
        transaction.execute("REPLACE INTO meta VALUES ('boot', ?1)", [boot])?;
        transaction.execute("REPLACE INTO meta VALUES ('started', ?1)", [started])?;
        started
    };
    transaction.commit()?;
    Ok(MachineClock::new(Timestamp::from_micros(micros.try_into().unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_file_is_migrated() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_by(&mut connection, &["CREATE TABLE one (x)"]).unwrap();
        connection.execute("INSERT INTO one VALUES (7)", []).unwrap();
        assert_eq!(look(&connection).unwrap(), Found::Ours(1));
        let both = ["CREATE TABLE one (x)", "ALTER TABLE one RENAME TO two"];
        migrate_by(&mut connection, &both).unwrap();
        let kept: i64 = connection.query_row("SELECT x FROM two", [], |row| row.get(0)).unwrap();
        assert_eq!((kept, look(&connection).unwrap()), (7, Found::Ours(2)));
        migrate_by(&mut connection, &both).unwrap();
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate_by(&mut connection, &["CREATE TABLE one (x)", "nonsense"]).unwrap_err();
        assert_eq!(look(&connection).unwrap(), Found::Empty);
    }

    #[test]
    fn the_clock_stays_as_it_was_first_read_until_the_next_start() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        clock(&mut connection).unwrap();
        connection.execute("UPDATE meta SET value = 5 WHERE name = 'started'", []).unwrap();
        let again = clock(&mut connection).unwrap();
        assert!(format!("{again:?}").contains(" 5us"), "{again:?}");
        connection.execute("UPDATE meta SET value = 'then' WHERE name = 'boot'", []).unwrap();
        let next = clock(&mut connection).unwrap();
        assert!(!format!("{next:?}").contains(" 5us"), "{next:?}");
    }
}
