//! Files that are foreign, damaged, newer, gone or not to be written: refused with a sentence that
//! names them, and left alone.

use std::fs;
use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    ErrorKind, EventFilter, ListQuery, LockBackend, LockInspector, ManualClock, ReleaseRequest,
    Timestamp, Watched,
};
use lock_sqlite::{SqliteBackend, SqliteConfig, SqliteError};
use rusqlite::Connection;

use crate::scene::{acquire, ask, open, place, refusal, words};

/// Opening is refused, in words that name the file, and nothing is changed.
fn is_left_alone(path: &Path) -> SqliteError {
    let before = fs::read(path).unwrap();
    let error = refusal(path);
    assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
    assert_eq!(fs::read(path).unwrap(), before, "{error}");
    let beside = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(beside.count(), 1, "nothing is made beside it: {error}");
    error
}

#[test]
fn foreign_file_is_not_modified() {
    let (_folder, path) = place();
    fs::write(&path, "a shopping list, longer than what a database begins with").unwrap();
    assert!(matches!(is_left_alone(&path), SqliteError::Foreign { .. }));
    for length in [1, 99, 100, 511, 512, 4096] {
        fs::write(&path, "x".repeat(length)).unwrap();
        assert!(matches!(is_left_alone(&path), SqliteError::Foreign { .. }));
    }
}

#[test]
fn foreign_database_is_not_modified() {
    let (_folder, path) = place();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE mine (x); INSERT INTO mine VALUES (1)").unwrap();
    assert!(matches!(is_left_alone(&path), SqliteError::Foreign { .. }));
    other.pragma_update(None, "application_id", 99).unwrap();
    assert!(matches!(is_left_alone(&path), SqliteError::Foreign { .. }));
    assert_eq!(other.query_row("SELECT x FROM mine", [], |row| row.get(0)), Ok(1));
}

#[test]
fn damaged_file_is_not_modified() {
    let (_folder, path) = place();
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.resize(8192, 0xa5);
    fs::write(&path, bytes).unwrap();
    let error = is_left_alone(&path);
    assert!(matches!(error, SqliteError::Damaged { .. }), "{error}");
}

/// Only a store that was closed is one file.
fn closed_store(path: &Path) {
    drop(open(path));
    // The thread of the store ends by itself; it is done when the log is gone.
    while fs::exists(path.with_extension("db-wal")).unwrap() {
        std::thread::yield_now();
    }
    fs::remove_dir_all(path.with_extension("db.mail")).unwrap();
}

#[test]
fn newer_schema_is_not_modified() {
    let (_folder, path) = place();
    closed_store(&path);
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 7).unwrap();
    drop(newer);
    let error = is_left_alone(&path);
    assert!(matches!(error, SqliteError::Newer { found: 7, .. }), "{error}");
}

#[test]
fn a_file_of_ours_without_tables_is_completed() {
    let (_folder, path) = place();
    let begun = Connection::open(&path).unwrap();
    begun.pragma_update(None, "application_id", 0x4c6f_636b).unwrap();
    drop(begun);
    open(&path);
}

/// Writes a file half, as a process does that ends in its first transaction, with this identity.
fn half_written(path: &Path, application: u32) {
    let (_folder, place) = place();
    let begun = Connection::open(&place).unwrap();
    begun.pragma_update(None, "application_id", application).unwrap();
    begun.execute_batch("PRAGMA cache_size = 1; BEGIN; CREATE TABLE cells (x)").unwrap();
    for number in 0..100 {
        let table = format!("CREATE TABLE table_{number} (x)");
        begun.execute(&table, []).unwrap();
    }
    fs::copy(&place, path).unwrap();
    fs::copy(place.with_extension("db-journal"), path.with_extension("db-journal")).unwrap();
}

/// SQLite undoes a transaction that was cut off when it opens the file, and what is there until then
/// may look damaged.
#[test]
fn a_file_whose_making_was_cut_off_is_made() {
    for is_sparse in [false, true] {
        let (_folder, path) = place();
        half_written(&path, 0);
        if is_sparse {
            // The first page was not written, a later one was.
            let mut bytes = fs::read(&path).unwrap();
            bytes[..4096].fill(0);
            fs::write(&path, bytes).unwrap();
        }
        open(&path);
    }
}

#[test]
fn a_half_written_file_of_another_program_is_not_modified() {
    let (_folder, path) = place();
    half_written(&path, 99);
    let (half, journal) = (fs::read(&path).unwrap(), path.with_extension("db-journal"));
    assert!(matches!(refusal(&path), SqliteError::Damaged { .. } | SqliteError::Foreign { .. }));
    assert_eq!(fs::read(&path).unwrap(), half);
    assert!(journal.exists());
}

#[tokio::test]
async fn a_damaged_cell_is_the_trouble_of_one_key() {
    let (_folder, path) = place();
    let store = open(&path);
    acquire(&store, &ask("whole")).await.unwrap();
    acquire(&store, &ask("damaged")).await.unwrap();
    acquire(&store, &ask("newer")).await.unwrap();
    let editor = Connection::open(&path).unwrap();
    editor.execute("UPDATE cells SET state = x'01ff' WHERE name = 'damaged'", []).unwrap();
    editor.execute("UPDATE cells SET state = x'02' WHERE name = 'newer'", []).unwrap();
    let error = acquire(&store, &ask("damaged")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Corrupt, false), "{error:?}");
    let error = acquire(&store, &ask("newer")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unsupported, false), "{error:?}");
    acquire(&store, &ask("other")).await.unwrap();
}

#[test]
fn a_path_that_cannot_be_is_refused() {
    let (folder, _) = place();
    let missing = folder.path().join("no/such/folder/locks.db");
    let error = refusal(&missing);
    assert!(matches!(error, SqliteError::Unusable { .. }), "{error}");
    let error = refusal(folder.path());
    assert!(matches!(error, SqliteError::Foreign { .. }), "{error}");
    assert!(!missing.parent().unwrap().exists());
}

/// Opening a pipe waits until somebody has its other end.
#[test]
fn what_is_no_ordinary_file_is_refused_without_opening_it() {
    let (folder, path) = place();
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    pipe(&path);
    for path in [&path, Path::new("/dev/null"), folder.path()] {
        let error = refusal(path);
        assert!(matches!(error, SqliteError::Foreign { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is made beside it");
    let other = folder.path().join("other.db");
    pipe(&other.with_extension("db.mail"));
    let error = refusal(&other);
    assert!(matches!(error, SqliteError::Unusable { .. }), "{error}");
}

#[test]
fn file_and_folder_are_for_their_owner_alone() {
    let (folder, path) = place();
    let _store = open(&path);
    let mode = |name: &str| {
        let found = fs::metadata(folder.path().join(name)).unwrap();
        found.permissions().mode() & 0o777
    };
    assert_eq!(["locks.db", "locks.db-wal"].map(mode), [0o600; 2]);
    assert_eq!(mode("locks.db.mail"), 0o700);
}

#[tokio::test]
async fn a_file_that_others_can_read_is_a_warning_of_health() {
    let (_folder, path) = place();
    let store = open(&path);
    assert_eq!(store.health().await.unwrap().warnings, [] as [&str; 0]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = store.health().await.unwrap().warnings;
    assert!(warnings[0].contains("chmod 600"), "{warnings:?}");
}

/// A process that opens the file by a link shares turns and mailboxes with the others.
#[tokio::test]
async fn a_link_leads_to_the_same_store() {
    let (folder, path) = place();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let store = open(&path);
    let held = acquire(&store, &ask("key")).await.unwrap();
    let by_link = open(&link);
    let found = by_link.list(&ListQuery::all()).await.unwrap().value.items;
    assert_eq!(found, [held]);
    assert!(!folder.path().join("link.db.mail").exists());
}

/// The link says where the file is to be.
#[tokio::test]
async fn a_link_to_a_file_that_is_not_there_makes_it() {
    let (folder, path) = place();
    let (link, second) = (folder.path().join("link.db"), folder.path().join("second.db"));
    std::os::unix::fs::symlink("locks.db", &second).unwrap();
    std::os::unix::fs::symlink(&second, &link).unwrap();
    let by_link = open(&link);
    let held = acquire(&by_link, &ask("key")).await.unwrap();
    let found = open(&path).list(&ListQuery::all()).await.unwrap().value.items;
    assert_eq!(found, [held]);
    assert!(!folder.path().join("link.db.mail").exists());
}

/// Each name would have a log of its own, and the locks that are in the log of one name alone would be
/// granted by the other.
#[tokio::test]
async fn a_file_with_two_names_is_refused() {
    let (folder, path) = place();
    let store = open(&path);
    acquire(&store, &ask("key")).await.unwrap();
    let other = folder.path().join("other.db");
    fs::hard_link(&path, &other).unwrap();
    for name in [&other, &path] {
        let error = refusal(name);
        assert!(matches!(error, SqliteError::NamedTwice { .. }), "{error}");
        assert!(error.to_string().contains("remove the other name"), "{error}");
    }
    assert!(!folder.path().join("other.db.mail").exists());
    fs::remove_file(other).unwrap();
    open(&path);
}

/// A process that is killed while it writes the log into the file leaves a file that is whole only
/// together with the log.
#[tokio::test]
async fn a_file_that_is_whole_with_its_log_alone_is_opened() {
    let (folder, path) = place();
    let store = open(&path);
    for number in 0..50 {
        acquire(&store, &ask(&format!("{number}{}", "x".repeat(1000)))).await.unwrap();
    }
    let copy = folder.path().join("copy.db");
    let log = fs::read(path.with_extension("db-wal")).unwrap();
    // The first page, which says how long the file is, is written before those that make it longer.
    let mut frames = log[32..].chunks_exact(24 + 4096);
    let first = frames.rfind(|frame| frame[..4] == [0, 0, 0, 1]).unwrap();
    let mut file = fs::read(&path).unwrap();
    file[..4096].copy_from_slice(&first[24..]);
    fs::write(&copy, &file).unwrap();
    let error = refusal(&copy);
    assert!(matches!(error, SqliteError::Damaged { .. }), "without its log: {error}");
    assert_eq!(fs::read(&copy).unwrap(), file);
    fs::write(copy.with_extension("db-wal"), log).unwrap();
    let found = open(&copy).list(&ListQuery::all()).await.unwrap().value.items;
    assert!(!found.is_empty());
}

/// A copy that was cut off, beside a log without what is missing.
#[tokio::test]
async fn a_file_that_its_log_does_not_complete_is_left_alone() {
    let (folder, path) = place();
    let store = open(&path);
    for number in 0..200 {
        acquire(&store, &ask(&format!("{number}{}", "x".repeat(1000)))).await.unwrap();
    }
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    Connection::open(&path).unwrap().query_row(checkpoint, [], |_| Ok(())).unwrap();
    acquire(&store, &ask("key")).await.unwrap();
    let copy = folder.path().join("copy.db");
    let log = fs::read(path.with_extension("db-wal")).unwrap();
    let file = fs::read(&path).unwrap();
    let half = &file[..file.len() / 2 / 4096 * 4096];
    fs::write(&copy, half).unwrap();
    fs::write(copy.with_extension("db-wal"), &log).unwrap();
    let error = refusal(&copy);
    assert!(matches!(error, SqliteError::Damaged { .. }), "{error}");
    assert_eq!(fs::read(&copy).unwrap(), half);
    assert_eq!(fs::read(copy.with_extension("db-wal")).unwrap(), log);
}

/// Two programs that see different files would both be granted the same key.
#[tokio::test]
async fn a_file_that_was_deleted_or_replaced_takes_no_locks() {
    let (folder, path) = place();
    let log = path.with_extension("db-wal");
    let away = folder.path().join("away");
    let store = open(&path);
    let held = acquire(&store, &ask("key")).await.unwrap();
    for gone in [&path, &log] {
        fs::rename(gone, &away).unwrap();
        let error = acquire(&store, &ask("other")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, false));
        assert!(words(&error).contains("was deleted or replaced"), "{error:?}");
        assert!(words(&error).contains("locks.db"), "{error:?}");
        fs::copy(&away, gone).unwrap();
        acquire(&store, &ask("other")).await.unwrap_err();
        store.health().await.unwrap_err();
        fs::rename(&away, gone).unwrap();
        let found = store.list(&ListQuery::all()).await.unwrap().value.items;
        assert_eq!(found, std::slice::from_ref(&held));
    }
}

/// Idle entries are removed, and old events are reported as missed.
#[tokio::test]
async fn old_cells_and_events_are_removed() {
    let (_folder, path) = place();
    let start = Timestamp::from_micros(1_800_000_000_000_000);
    let clock = Arc::new(ManualClock::new(start));
    let config = SqliteConfig::new(&path).with_clock(Arc::clone(&clock));
    let store = config.with_events(10.try_into().unwrap()).open().unwrap();
    let mut events = store.watch(&EventFilter::all(), None).await.unwrap();
    turn(&store, "first").await;
    let first = poll_fn(|cx| events.as_mut().poll_next(cx)).await.unwrap();
    let Watched::Event(first) = first else { panic!("nothing is missing") };
    for number in 0..20 {
        turn(&store, &format!("key/{number}")).await;
    }
    let editor = Connection::open(&path).unwrap();
    let count = |table: &str| -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        editor.query_row(&count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("events"), 10);
    let mut late = store.watch(&EventFilter::all(), Some(&first.cursor)).await.unwrap();
    let late = poll_fn(|cx| late.as_mut().poll_next(cx)).await.unwrap();
    assert!(matches!(late, Watched::Missed(31)), "{late:?}");
    assert_eq!(count("cells WHERE name LIKE 'key/%'"), 20);
    clock.advance(Duration::from_secs(2 * 60 * 60));
    turn(&store, "other").await;
    turn(&store, "other").await;
    assert_eq!(count("cells WHERE name LIKE 'key/%'"), 0);
}

async fn turn(store: &SqliteBackend, key: &str) {
    let lease = acquire(store, &ask(key)).await.unwrap();
    let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
}
