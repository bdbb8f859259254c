//! Documents in the rows of a table, in the file of the locks.

use async_trait::async_trait;
use lock_documents::{Document, DocumentError, DocumentStore, Replacement, Result, Revision};
use lock_host::StoreError;
use rusqlite::{Connection, Error as RusqliteError, OptionalExtension, Row, params};

use crate::error::SqliteError;
use crate::store::{SqliteBackend, SqliteStore};

/// Documents in an SQLite file, in a table of their own beside the locks; clones share it.
///
/// The thread of the store reads and writes them, between the commands on locks. A change is one
/// transaction, and as durable as those of locks.
///
/// # Examples
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use lock_documents::{DocumentStore, Replacement};
/// use lock_sqlite::{SqliteConfig, SqliteDocuments};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("locks.db");
/// let documents = SqliteDocuments::new(SqliteConfig::new(path).open()?);
/// assert_eq!(documents.replace("plan", None, Some(b"one")).await?, Replacement::Done);
/// assert_eq!(documents.names("pl").await?, ["plan"]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteDocuments(SqliteBackend);

impl SqliteDocuments {
    /// Keeps documents in the file of this store.
    #[must_use]
    pub fn new(store: SqliteBackend) -> Self {
        Self(store)
    }

    /// Has the thread of the store do this.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SqliteStore) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.0.with_store(work).await.map_err(failed).and_then(|done| done)
    }
}

#[async_trait]
impl DocumentStore for SqliteDocuments {
    async fn read(&self, name: &str) -> Result<Option<Document>> {
        let name = name.to_owned();
        self.ask(move |store| read(store, &name)).await
    }

    async fn replace(
        &self,
        name: &str,
        expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<Replacement> {
        let (name, body) = (name.to_owned(), body.map(<[u8]>::to_vec));
        let work = move |store: &SqliteStore| {
            let sqlite = |error| SqliteError::sqlite(store.path(), &error).into();
            let replace = |connection: &Connection| {
                replace(connection, &name, expected, body.as_deref()).map_err(sqlite)
            };
            store.transaction(replace).map_err(failed)
        };
        self.ask(work).await
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        self.ask(move |store| {
            let listed = names(&*store.checked().map_err(failed)?, &prefix);
            listed.map_err(|error| failed(SqliteError::sqlite(store.path(), &error)))
        })
        .await
    }
}

fn failed(error: impl Into<StoreError>) -> DocumentError {
    let error = error.into();
    DocumentError::failed(error.is_unknown(), error)
}

fn read(store: &SqliteStore, name: &str) -> Result<Option<Document>> {
    let row = |row: &Row<'_>| {
        Ok(Document::new(Revision::new(row.get::<_, i64>(0)?.cast_unsigned()), row.get(1)?))
    };
    let select = |connection: &Connection| {
        let select = "SELECT revision, body FROM documents WHERE name = ?1";
        connection.prepare_cached(select)?.query_row([name], row).optional()
    };
    let connection = store.checked().map_err(failed)?;
    select(&connection).map_err(|error| match error {
        // A column takes values of any type.
        RusqliteError::InvalidColumnType(..) => {
            let place = format!("{name} in {}", store.path().display());
            DocumentError::damaged(place, "its body is not a blob")
        }
        error => failed(SqliteError::sqlite(store.path(), &error)),
    })
}

/// Replaces a document inside a transaction. A row is never written twice, and `AUTOINCREMENT` gives
/// none the number of one that was there before: the number is the revision.
fn replace(
    connection: &Connection,
    name: &str,
    expected: Option<Revision>,
    body: Option<&[u8]>,
) -> rusqlite::Result<Replacement> {
    let select = "SELECT revision FROM documents WHERE name = ?1";
    let mut select = connection.prepare_cached(select)?;
    let found: Option<i64> = select.query_row([name], |row| row.get(0)).optional()?;
    if found.map(i64::cast_unsigned) != expected.map(Revision::get) {
        return Ok(Replacement::Changed);
    }
    if let Some(revision) = found {
        let delete = "DELETE FROM documents WHERE revision = ?1";
        connection.prepare_cached(delete)?.execute([revision])?;
    }
    if let Some(body) = body {
        let insert = "INSERT INTO documents (name, body) VALUES (?1, ?2)";
        connection.prepare_cached(insert)?.execute(params![name, body])?;
    }
    Ok(Replacement::Done)
}

/// The names that begin with the prefix follow one another in the index, from the prefix on.
fn names(connection: &Connection, prefix: &str) -> rusqlite::Result<Vec<String>> {
    let select = "SELECT name FROM documents WHERE name >= ?1 ORDER BY name";
    let mut select = connection.prepare_cached(select)?;
    let mut rows = select.query([prefix])?;
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        match row.get_ref(0)?.as_str() {
            Ok(name) if name.starts_with(prefix) => names.push(name.to_owned()),
            Ok(_) => break,
            // A row of another program may not be a document's name.
            Err(_) => {}
        }
    }
    Ok(names)
}
