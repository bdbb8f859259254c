//! A file and an SQL table that check fencing tokens, so that a holder that was paused does no harm:
//!
//! `cargo run -p lock-sqlite --example fenced_file`
#![expect(clippy::print_stdout, reason = "it shows what it does")]

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use lock_core::{FencingToken, LockManager, OwnerId};
use lock_sqlite::SqliteConfig;
use rusqlite::{Connection, params};
use tempfile::TempDir;

/// Replaces the text of a file unless a higher token has written it; returns whether it did.
///
/// The first line of the file is the token of its last writer. The check and the replacement are one
/// step under the lock of the system, which is held for these few lines only.
fn write_file(path: &Path, token: FencingToken, text: &str) -> io::Result<bool> {
    let turn = File::create(path.with_extension("turn"))?;
    turn.lock()?;
    let last = match fs::read_to_string(path) {
        Ok(old) => old.lines().next().and_then(|line| line.parse().ok()).unwrap_or(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if token.get() < last {
        return Ok(false);
    }
    let new = path.with_extension("new");
    fs::write(&new, format!("{token}\n{text}\n"))?;
    fs::rename(new, path)?;
    Ok(true)
}

/// Sets the version of a service unless a higher token has set it; returns whether it did.
fn write_row(table: &Connection, token: FencingToken, version: &str) -> rusqlite::Result<bool> {
    let changed = table.execute(
        "INSERT INTO deployed (service, version, token) VALUES ('shop', ?1, ?2)
         ON CONFLICT (service) DO UPDATE SET version = excluded.version, token = excluded.token
         WHERE token <= excluded.token",
        params![version, i64::try_from(token.get()).unwrap_or(i64::MAX)],
    )?;
    Ok(changed == 1)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = TempDir::new()?;
    let file = folder.path().join("deployed.txt");
    let table = Connection::open(folder.path().join("deployed.db"))?;
    let schema = "CREATE TABLE deployed (service TEXT PRIMARY KEY, version TEXT, token INTEGER)";
    table.execute(schema, [])?;
    let locks = folder.path().join("locks.db");
    let open = |owner: &str| -> Result<LockManager, Box<dyn Error>> {
        Ok(LockManager::new(SqliteConfig::new(&locks).open()?, OwnerId::parse(owner)?))
    };
    let (alice, bob) = (open("alice")?, open("bob")?);

    let first = alice.acquire("shop").await?;
    let late = first.token();
    println!("alice, token {late}: file {}", write_file(&file, late, "version 1")?);
    println!("alice, token {late}: row {}", write_row(&table, late, "version 1")?);

    // Alice stands still for longer than her lease; an eviction stands for that here.
    let evicted = bob.evict_all("shop", "alice does not answer").await?;
    println!("bob evicted {} lease", evicted.len());
    let second = bob.acquire("shop").await?;
    let token = second.token();
    println!("bob, token {token}: file {}", write_file(&file, token, "version 2")?);
    println!("bob, token {token}: row {}", write_row(&table, token, "version 2")?);

    // Alice goes on without having looked at her guard.
    let (in_file, in_row) =
        (write_file(&file, late, "version 1b")?, write_row(&table, late, "version 1b")?);
    println!("alice, token {late}: file {in_file}, row {in_row}");
    println!("the file says {:?}", fs::read_to_string(&file)?);
    if in_file || in_row {
        return Err("a late write went through".into());
    }

    second.release().await?;
    drop(first);
    alice.shutdown().await;
    bob.shutdown().await;
    Ok(())
}
