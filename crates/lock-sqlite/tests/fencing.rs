//! A table that checks fencing tokens: a holder that was paused beyond its lease does no harm.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::time::Duration;

use lock_core::{FencingToken, LockManager, OwnerId};
use lock_sqlite::SqliteConfig;
use rusqlite::{Connection, params};
use tokio::runtime::{Builder, Runtime};

/// The document whose statements are tested.
const GUARANTEES: &str = include_str!("../../../docs/guarantees.md");

/// The statement of the document that begins so.
fn statement(begin: &str) -> &'static str {
    let start = GUARANTEES.find(begin).expect("the document has the statement");
    let length = GUARANTEES[start..].find(';').expect("it ends");
    &GUARANTEES[start..start + length]
}

/// A process of its own: while its runtime is not driven, it is paused and renews nothing.
fn process(path: &std::path::Path, owner: &str) -> (Runtime, LockManager) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(async { SqliteConfig::new(path).open() }).unwrap();
    let manager = LockManager::new(store, OwnerId::parse(owner).unwrap());
    let manager = manager.with_runtime(runtime.handle().clone());
    (runtime, manager)
}

#[test]
fn table_refuses_a_paused_holder() {
    let folder = tempfile::tempdir().unwrap();
    let locks = folder.path().join("locks.db");
    let ((paused, alice), (running, bob)) = (process(&locks, "alice"), process(&locks, "bob"));
    let table = Connection::open(folder.path().join("deployed.db")).unwrap();
    for name in ["CREATE TABLE deployed", "CREATE TABLE unfenced"] {
        let statement = statement("CREATE TABLE deployed").replace("CREATE TABLE deployed", name);
        table.execute(&statement, []).unwrap();
    }
    let write = |token: FencingToken, version: &str| {
        let number = i64::try_from(token.get()).unwrap();
        let unfenced =
            "INSERT OR REPLACE INTO unfenced (service, version, token) VALUES (?1, ?2, ?3)";
        table.execute(unfenced, params!["shop", version, number]).unwrap();
        table.execute(statement("INSERT INTO deployed"), params!["shop", version, number]).unwrap()
    };

    let request = alice.acquire("shop").ttl(Duration::from_millis(200));
    let late = paused.block_on(request.into_future()).unwrap();
    assert_eq!(write(late.token(), "1"), 1);
    assert_eq!(write(late.token(), "1a"), 1, "the same token writes again");
    // Bob holds only when the lease of alice is over.
    let held = running.block_on(bob.acquire("shop").into_future()).unwrap();
    assert_eq!(write(held.token(), "2"), 1);
    // She goes on without a look at her guard.
    assert_eq!(write(late.token(), "1b"), 0, "no row: refused");

    let version = |table_name: &str| {
        let query = format!("SELECT version FROM {table_name} WHERE service = 'shop'");
        table.query_row(&query, [], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!(version("deployed"), "2");
    assert_eq!(version("unfenced"), "1b", "without the check it does harm");
    running.block_on(held.release()).unwrap();
}
