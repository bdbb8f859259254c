//! A process that stops or panics in the middle of its turn to write.

use std::fs::File;
use std::future::{Future, poll_fn};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use lock_core::{Clock, ErrorKind, Timestamp};
use lock_sqlite::{SqliteConfig, SqliteError, Synchronous};

use crate::scene::{acquire, ask, open, place};

/// Commands wait for the turn on the thread of the store, never on that of a task.
#[tokio::test]
async fn stopped_writer_does_not_block_the_runtime() {
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        let (_folder, path) = place();
        let store = SqliteConfig::new(&path).with_synchronous(synchronous).open().unwrap();
        // The first command is followed by a sweep, the second is not.
        for key in ["first", "second"] {
            acquire(&store, &ask(key)).await.unwrap();
        }
        let turn = File::open(path.with_extension("db.mail")).unwrap();
        turn.lock().unwrap();
        let request = ask("third");
        let mut third = Box::pin(acquire(&store, &request));
        poll_fn(|cx| {
            assert!(third.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        turn.unlock().unwrap();
        third.await.unwrap();
    }
}

/// A program that is started meanwhile says so, and does not hang.
#[test]
fn stopped_writer_does_not_keep_others_from_an_answer() {
    let (_folder, path) = place();
    drop(open(&path));
    let turn = File::open(path.with_extension("db.mail")).unwrap();
    turn.lock().unwrap();
    let (sender, opened) = mpsc::channel();
    let at = path.clone();
    thread::spawn(move || sender.send(SqliteConfig::new(at).open().map(drop)));
    let error = opened.recv_timeout(Duration::from_secs(60)).unwrap().unwrap_err();
    assert_eq!(error, SqliteError::Busy { path: path.canonicalize().unwrap() });
    turn.unlock().unwrap();
    open(&path);
}

#[derive(Debug)]
struct BrokenClock;

impl Clock for BrokenClock {
    fn now(&self) -> Timestamp {
        panic!("it is broken")
    }
}

/// What panics in a transaction takes no more locks, and keeps none from others.
#[tokio::test]
async fn writer_that_panics_does_not_keep_others_from_writing() {
    let (_folder, path) = place();
    let broken = SqliteConfig::new(&path).with_clock(BrokenClock).open().unwrap();
    let other = open(&path);
    let error = acquire(&broken, &ask("key")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::Unavailable, true), "{error:?}");
    acquire(&other, &ask("key")).await.unwrap();
}
