//! Phase of a command on another thread at the start of a watch.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use lock_core::{AcquireRequest, Acquisition, EventFilter, OwnerId, RequestId, TokioClock};

use super::*;

/// A command that began before the first watch has ended when that watch returns: its changes are
/// no events.
#[test]
fn first_watch_waits_for_commands_that_record_nothing() {
    let table = Table::new(Arc::new(TokioClock::new()));
    let key = LockKey::parse("key").unwrap();
    let request =
        AcquireRequest::new(RequestId::random(), key.clone(), OwnerId::parse("owner").unwrap());
    let (begin, begun) = mpsc::channel();
    let (watch, watched) = mpsc::channel();
    let table = &table;
    thread::scope(|scope| {
        scope.spawn(move || {
            begun.recv().unwrap();
            let watcher = table.watch(EventFilter::all(), None);
            // Nobody listens any more when the command has ended.
            let _ = watch.send(watcher.is_some());
        });
        let (early, granted) = table
            .run(&key, 0, |state, step| {
                begin.send(()).unwrap();
                // A watch that does not wait returns in far less.
                let early = watched.recv_timeout(Duration::from_millis(200));
                (early.is_ok(), state.acquire(step, &request))
            })
            .value;
        assert!(matches!(granted, Acquisition::Granted(_)));
        assert!(!early, "the watch returned before a change that is no event");
    });
}
