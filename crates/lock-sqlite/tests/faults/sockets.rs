//! Mailboxes: the sockets of the dead go, slow readers receive `MayHaveMissed`, and a folder that
//! was cleared is filled again.

use std::fs;
use std::future::poll_fn;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::time::Duration;

use lock_core::{Acquisition, LockBackend, MailboxId, Notice, NoticeStream, ReleaseRequest};
use tempfile::TempDir;

use crate::scene::{acquire, ask, open, place, queueing};

async fn next(notices: &mut NoticeStream) -> Notice {
    let next = poll_fn(|cx| notices.as_mut().poll_next(cx));
    tokio::time::timeout(Duration::from_secs(10), next).await.unwrap().unwrap()
}

#[tokio::test]
async fn sockets_of_dead_processes_are_removed() {
    let (_folder, path) = place();
    let store = open(&path);
    let mail = path.with_extension("db.mail");
    let mailbox = MailboxId::random();
    let alive = store.listen(mailbox).await.unwrap();
    let (dead, gone) = (MailboxId::random(), MailboxId::random());
    drop(UnixDatagram::bind(mail.join(dead.to_string())).unwrap());
    fs::write(mail.join(format!("{dead}.missed")), "").unwrap();
    fs::write(mail.join(format!("{gone}.missed")), "").unwrap();
    open(&path);
    // It said that the dead missed something while there was a socket.
    open(&path);
    let left: Vec<_> = fs::read_dir(&mail).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, [mailbox.to_string().as_str()]);
    drop(alive);
}

/// Somebody may have had a folder of this name before.
#[tokio::test]
async fn files_of_others_in_the_folder_stay() {
    let (_folder, path) = place();
    let mail = path.with_extension("db.mail");
    fs::create_dir(&mail).unwrap();
    fs::write(mail.join("letter"), "precious").unwrap();
    fs::write(mail.join("letter.missed"), "precious").unwrap();
    drop(UnixDatagram::bind(mail.join("socket")).unwrap());
    let store = open(&path);
    drop(store.listen(MailboxId::random()).await.unwrap());
    for name in ["letter", "letter.missed", "socket"] {
        assert!(mail.join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_mailbox_that_is_closed_leaves_nothing() {
    let (_folder, path) = place();
    let store = open(&path);
    let mail = path.with_extension("db.mail");
    drop(store.listen(MailboxId::random()).await.unwrap());
    let closed = async {
        while fs::read_dir(&mail).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), closed).await.unwrap();
}

/// A path that is longer than the address of a socket may be.
#[tokio::test]
async fn a_long_path_has_mailboxes_too() {
    let folder = TempDir::with_prefix("x".repeat(150)).unwrap();
    let path = folder.path().join("locks.db");
    is_told(&path).await;
}

/// A grant by one connection reaches a mailbox of another.
async fn is_told(path: &std::path::Path) {
    let (one, other) = (open(path), open(path));
    let mailbox = MailboxId::random();
    let mut notices = other.listen(mailbox).await.unwrap();
    let held = acquire(&one, &ask("key")).await.unwrap();
    let waiter = queueing("key").with_mailbox(mailbox);
    let queued = other.acquire(&waiter).await.unwrap().value;
    assert!(matches!(queued, Acquisition::Queued(_)), "{queued:?}");
    let _ = one.release(&ReleaseRequest::new(held.name())).await.unwrap();
    let told = next(&mut notices).await;
    assert!(matches!(&told, Notice::Granted(grant) if grant.request == waiter.id), "{told:?}");
}

#[tokio::test]
async fn a_grant_is_notified_across_connections() {
    let (_folder, path) = place();
    is_told(&path).await;
}

#[tokio::test]
async fn cleared_folder_is_detected() {
    let (_folder, path) = place();
    let (one, other) = (open(&path), open(&path));
    let mailbox = MailboxId::random();
    let mut notices = other.listen(mailbox).await.unwrap();
    let mail = path.with_extension("db.mail");
    let socket = mail.join(mailbox.to_string());
    fs::remove_file(&socket).unwrap();
    assert_eq!(next(&mut notices).await, Notice::MayHaveMissed);
    assert!(socket.exists());
    fs::remove_dir_all(&mail).unwrap();
    assert_eq!(next(&mut notices).await, Notice::MayHaveMissed);
    assert!(socket.exists());
    let held = acquire(&one, &ask("key").with_mailbox(mailbox)).await.unwrap();
    let by = lock_core::OwnerId::parse("admin").unwrap();
    let why = lock_core::Reason::parse("test").unwrap();
    let evict = lock_core::EvictRequest::lease(held.name(), by, why);
    let _ = one.evict(&evict).await.unwrap();
    let told = next(&mut notices).await;
    assert!(matches!(told, Notice::Ended { .. }), "{told:?}");
}

/// Who owns the folder may be another than who sends.
#[tokio::test]
async fn a_mark_is_not_written_through_a_link() {
    let (folder, path) = place();
    let store = open(&path);
    let (mailbox, mail) = (MailboxId::random(), path.with_extension("db.mail"));
    let victim = folder.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, mail.join(format!("{mailbox}.missed"))).unwrap();
    // Nothing can be sent to a socket of another kind.
    let _other = UnixListener::bind(mail.join(mailbox.to_string())).unwrap();
    let held = acquire(&store, &ask("key").with_mailbox(mailbox)).await.unwrap();
    let by = lock_core::OwnerId::parse("admin").unwrap();
    let why = lock_core::Reason::parse("test").unwrap();
    let _ = store.evict(&lock_core::EvictRequest::lease(held.name(), by, why)).await.unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

/// A sender that finds the socket full leaves a mark in another way.
#[tokio::test]
async fn a_mailbox_that_was_full_says_that_notices_are_missing() {
    let (_folder, path) = place();
    let store = open(&path);
    let mailbox = MailboxId::random();
    let mail = path.with_extension("db.mail");
    // Another process that is stopped: it has the socket, and does not read it.
    let stopped = UnixDatagram::bind(mail.join(mailbox.to_string())).unwrap();
    let mut told = 0;
    let missed = mail.join(format!("{mailbox}.missed"));
    while !missed.exists() {
        let by = lock_core::OwnerId::parse("admin").unwrap();
        let why = lock_core::Reason::parse("test").unwrap();
        let held = acquire(&store, &ask("key").with_mailbox(mailbox)).await.unwrap();
        let _ = store.evict(&lock_core::EvictRequest::lease(held.name(), by, why)).await.unwrap();
        told += 1;
        assert!(told < 10_000, "no socket holds so many");
    }
    drop(stopped);
    let mut notices = store.listen(mailbox).await.unwrap();
    assert_eq!(next(&mut notices).await, Notice::MayHaveMissed);
}
