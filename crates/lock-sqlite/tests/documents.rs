//! Documents in the file of the locks: the suite, and what a file adds to it.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, ListQuery, LockBackend, LockInspector, LockKey, OwnerId, RequestId,
};
use lock_documents::conformance::DocumentFixture;
use lock_documents::{DocumentError, DocumentStore, Replacement, Revision};
use lock_sqlite::{SqliteBackend, SqliteConfig, SqliteDocuments};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::process::Command;

/// The file that another process is to use.
const ORDERS: &str = "LOCK_SQLITE_TEST_DOCUMENTS";
/// Number of increments by each of two processes.
const CHANGES: u32 = 200;

/// A file of its own, which each connection opens again.
struct InFile(TempDir);

#[async_trait]
impl DocumentFixture for InFile {
    async fn start() -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self(folder.expect("a folder"))
    }

    async fn connect(&self) -> Arc<dyn DocumentStore> {
        Arc::new(documents(&self.0.path().join("locks.db")))
    }
}

lock_documents::document_conformance!(InFile);

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    (folder, path)
}

fn open(path: &Path) -> SqliteBackend {
    SqliteConfig::new(path).open().unwrap()
}

fn documents(path: &Path) -> SqliteDocuments {
    SqliteDocuments::new(open(path))
}

async fn put(
    documents: &SqliteDocuments,
    name: &str,
    expected: Option<Revision>,
    body: Option<&[u8]>,
) {
    let done = documents.replace(name, expected, body).await.unwrap();
    assert_eq!(done, Replacement::Done, "{name:?} is of revision {expected:?}");
}

async fn revision(documents: &SqliteDocuments, name: &str) -> Revision {
    documents.read(name).await.unwrap().expect("it is there").revision
}

/// Waits until the file is closed: the thread of a store ends by itself.
fn closed(path: &Path) {
    while fs::exists(path.with_extension("db-wal")).unwrap() {
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn documents_and_their_revisions_survive_a_restart() {
    let (_folder, path) = place();
    let before = documents(&path);
    put(&before, "kept", None, Some(b"body")).await;
    put(&before, "removed", None, Some(b"body")).await;
    let (kept, last) = (before.read("kept").await.unwrap(), revision(&before, "removed").await);
    put(&before, "removed", Some(last), None).await;
    drop(before);
    closed(&path);
    let after = documents(&path);
    assert_eq!(after.read("kept").await.unwrap(), kept);
    assert_eq!(after.names("").await.unwrap(), ["kept"]);
    put(&after, "new", None, Some(b"body")).await;
    assert!(revision(&after, "new").await > last, "the last of all was removed");
}

#[tokio::test]
async fn a_lock_and_a_document_are_side_by_side() {
    let (_folder, path) = place();
    let store = open(&path);
    let documents = SqliteDocuments::new(store.clone());
    let name = "same/name";
    let (key, owner) = (LockKey::parse(name).unwrap(), OwnerId::parse("alice").unwrap());
    let request = AcquireRequest::new(RequestId::random(), key, owner);
    let granted = store.acquire(&request).await.unwrap().value;
    let Acquisition::Granted(lease) = granted else { panic!("{granted:?}") };
    put(&documents, name, None, Some(b"body")).await;
    drop(store.clone());
    let (again, again_documents) = (open(&path), self::documents(&path));
    assert_eq!(again.list(&ListQuery::all()).await.unwrap().value.items, [lease]);
    assert_eq!(again_documents.names("").await.unwrap(), [name]);
    let read = revision(&again_documents, name).await;
    put(&again_documents, name, Some(read), None).await;
    assert_eq!(store.list(&ListQuery::all()).await.unwrap().value.items.len(), 1);
    assert_eq!(documents.read(name).await.unwrap(), None);
}

/// Entry of another process, which reports completion.
#[tokio::test]
async fn process_raises_the_number() {
    // In an ordinary run there is nothing to do.
    let Ok(path) = std::env::var(ORDERS) else { return };
    let documents = documents(Path::new(&path));
    let (mut done, mut late) = (0, 0);
    while done < CHANGES {
        let read = documents.read("number").await.unwrap().expect("it is there");
        let number = u32::from_be_bytes(read.body.try_into().unwrap()) + 1;
        let replaced =
            documents.replace("number", Some(read.revision), Some(&number.to_be_bytes())).await;
        match replaced.unwrap() {
            Replacement::Done => done += 1,
            Replacement::Changed => late += 1,
        }
    }
    println!("\n@late {late}");
}

#[tokio::test]
async fn two_processes_lose_no_change_of_each_other() {
    let (_folder, path) = place();
    let documents = documents(&path);
    put(&documents, "number", None, Some(&0_u32.to_be_bytes())).await;
    let processes = [1, 2].map(|_| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "process_raises_the_number", "--nocapture"]);
        command.env(ORDERS, &path).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().unwrap()
    });
    let mut late = 0;
    for process in processes {
        let output = process.wait_with_output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let line = said.lines().find_map(|line| line.strip_prefix("@late "));
        late += line.unwrap().parse::<u32>().unwrap();
    }
    println!("{late} changes came too late and were made again");
    let read = documents.read("number").await.unwrap().unwrap();
    assert_eq!(read.body, (2 * CHANGES).to_be_bytes());
}

/// A file as the version before wrote it, with a lock that is held.
#[tokio::test]
async fn a_file_of_the_version_before_gets_documents() {
    let (_folder, path) = place();
    let before = Connection::open(&path).unwrap();
    before.execute_batch(include_str!("golden/version-1.sql")).unwrap();
    drop(before);
    let store = open(&path);
    let held = store.list(&ListQuery::all()).await.unwrap().value.items;
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!((held[0].key.as_str(), held[0].owner.as_str()), ("acme/infra/prod", "alice"));
    let documents = SqliteDocuments::new(store);
    assert_eq!(documents.names("").await.unwrap(), [] as [&str; 0]);
    put(&documents, "name", None, Some(b"body")).await;
    let looks = Connection::open(&path).unwrap();
    let version: u32 = looks.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

/// Reading documents of a file that is gone fails with an error that names it, and a change did
/// certainly not happen.
#[tokio::test]
async fn a_file_that_is_gone_is_named() {
    let (folder, path) = place();
    let documents = documents(&path);
    fs::rename(&path, folder.path().join("away")).unwrap();
    let errors = [
        documents.read("name").await.unwrap_err(),
        documents.replace("name", None, Some(b"body")).await.unwrap_err(),
        documents.names("").await.unwrap_err(),
    ];
    for error in errors {
        let words = format!("{error:?}");
        assert!(!error.is_unknown(), "{words}");
        assert!(words.contains("locks.db was deleted or replaced"), "{words}");
    }
}

/// A row of another program's making is the trouble of one document.
#[tokio::test]
async fn a_damaged_document_is_named_and_hides_no_other() {
    let (_folder, path) = place();
    let documents = documents(&path);
    put(&documents, "bad", None, Some(b"body")).await;
    put(&documents, "good", None, Some(b"body")).await;
    let editor = Connection::open(&path).unwrap();
    editor.execute("UPDATE documents SET body = 7 WHERE name = 'bad'", []).unwrap();
    editor.execute("INSERT INTO documents (name, body) VALUES (x'ff', x'00')", []).unwrap();
    let error = documents.read("bad").await.unwrap_err();
    let DocumentError::Damaged { place, .. } = &error else { panic!("{error:?}") };
    assert!(place.contains("bad in ") && place.contains("locks.db"), "{error}");
    assert_eq!(documents.names("").await.unwrap(), ["bad", "good"]);
    assert_eq!(documents.read("good").await.unwrap().unwrap().body, b"body");
}
