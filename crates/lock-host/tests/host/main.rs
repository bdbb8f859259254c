//! Tests of the host: removed cells and their tokens, large or damaged cells, conflicts, lost
//! notices, remote watchers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

#[path = "../common/mod.rs"]
mod common;
mod watchers;

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::{Manners, Map, START};
use lock_core::{
    AcquireRequest, Acquisition, ErrorKind, EvictRequest, HearRequest, Heard, KeepAlive, Lease,
    LockBackend, LockInspector, LockKey, LockManager, ManualClock, Metadata, OwnerId, Reason,
    ReleaseRequest, RenewRequest, RequestId, Timed, Timestamp, TokioClock, Ttl, Violation,
};
use lock_host::{HostBackend, HostConfig};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn ask(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

fn queueing(key: &str) -> AcquireRequest {
    ask(key).queueing(KeepAlive::parse(DAY).unwrap())
}

fn map(manners: Manners) -> (Arc<ManualClock>, Map) {
    let clock = Arc::new(ManualClock::new(START));
    let map = Map::new(manners, Arc::<ManualClock>::clone(&clock));
    (clock, map)
}

async fn granted(store: &HostBackend<Map>, request: &AcquireRequest) -> Lease {
    match store.acquire(request).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("expected a grant, got {other:?}"),
    }
}

async fn turn(store: &HostBackend<Map>, key: &str) -> Lease {
    let lease = granted(store, &ask(key)).await;
    let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
    lease
}

/// A turn of another key, and the sweep that follows it.
async fn sweep(store: &HostBackend<Map>) {
    turn(store, "other").await;
    store.with_store(|_| ()).await.unwrap();
}

/// A command that arrives alone changes threads only where the store would block.
#[tokio::test]
async fn lone_command_runs_on_the_thread_of_its_task() {
    let (_clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    let here = std::thread::current().id();
    let mut is_missing = [true, true];
    // One that follows an answer at once may still find the thread busy with what comes after it.
    while is_missing != [false, false] {
        turn(&store, "key").await;
        is_missing[usize::from(map.updated_by() == Some(here))] = false;
    }
}

/// Waiters keep no disk busy while nothing happens.
#[tokio::test]
async fn only_heartbeats_need_no_durability() {
    let (clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    let span = Duration::from_secs(10);
    let ttl = Ttl::parse(span).unwrap();
    let holder = granted(&store, &ask("key").with_ttl(ttl)).await;
    let waiter = queueing("key");
    let hear = [HearRequest::new(waiter.key.clone(), waiter.id)];
    let _ = store.acquire(&waiter).await.unwrap();
    assert!(map.needs_durability(), "a new place");
    let heard = store.hear(&hear).await;
    assert!(matches!(heard[..], [Ok(Timed { value: Heard::Queued(_), .. })]), "{heard:?}");
    assert!(!map.needs_durability(), "a heartbeat");
    let _ = store.renew(&[RenewRequest::new(holder.name(), ttl)]).await;
    assert!(map.needs_durability(), "a renewal");
    clock.advance(span);
    let heard = store.hear(&hear).await;
    assert!(matches!(heard[..], [Ok(Timed { value: Heard::Granted(_), .. })]), "{heard:?}");
    assert!(map.needs_durability(), "a grant");
}

/// Commands and work on the store take effect in the order of their first polls.
#[tokio::test]
async fn nothing_overtakes_earlier_work() {
    let (_clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    turn(&store, "first").await;
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let mut work = Box::pin(store.with_store(move |map: &Map| {
        gate.recv().unwrap();
        map.names()
    }));
    let request = ask("key");
    let mut acquire = Box::pin(granted(&store, &request));
    let mut after = Box::pin(store.with_store(|map: &Map| map.names()));
    poll_fn(|cx| {
        assert!(work.as_mut().poll(cx).is_pending());
        assert!(acquire.as_mut().poll(cx).is_pending(), "it waits for the work, and blocks nobody");
        assert!(after.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    // A dropped future takes back nothing.
    drop(acquire);
    open.send(()).unwrap();
    assert!(!work.await.unwrap().contains(&"key".to_owned()));
    assert!(after.await.unwrap().contains(&"key".to_owned()));
}

/// Keys that were used once leave nothing, and their tokens increase all the same.
#[tokio::test]
async fn idle_cells_are_removed_and_tokens_increase() {
    let (clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    let mut highest = 0;
    for number in 0..200 {
        highest = turn(&store, &format!("key/{number}")).await.token.get().max(highest);
    }
    assert_eq!(map.names().len(), 200);
    clock.advance(DAY);
    // Each update is followed by a sweep as long as there is much to sweep.
    for _ in 0..8 {
        sweep(&store).await;
    }
    let left: Vec<_> = map.names().into_iter().filter(|name| name.starts_with("key")).collect();
    assert_eq!(left, [] as [&str; 0]);
    clock.set(Timestamp::from_micros(START.as_micros() - 1_000_000));
    assert!(turn(&store, "key/7").await.token.get() > highest, "a token came again");
}

/// Cells with live entries stay, and are swept when the entries are dead.
#[tokio::test]
async fn cells_with_live_entries_are_kept() {
    let (clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    let held = granted(&store, &ask("never").with_ttl(Ttl::Never)).await;
    let long = Ttl::parse(2 * DAY).unwrap();
    granted(&store, &ask("long").with_ttl(long)).await;
    granted(&store, &ask("short")).await;
    clock.advance(DAY);
    sweep(&store).await;
    let keys = |map: &Map| -> Vec<String> {
        map.names().into_iter().filter(|name| !name.starts_with('\u{1}')).collect()
    };
    assert_eq!(keys(&map), ["long", "never", "other"]);
    clock.advance(3 * DAY);
    sweep(&store).await;
    assert_eq!(keys(&map), ["never", "other"]);
    clock.advance(3 * DAY);
    let _ = store.release(&ReleaseRequest::new(held.name())).await.unwrap();
    clock.advance(DAY);
    sweep(&store).await;
    assert_eq!(keys(&map), ["other"]);
}

#[tokio::test]
async fn a_damaged_cell_is_the_trouble_of_one_key() {
    let (clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    turn(&store, "damaged").await;
    turn(&store, "whole").await;
    for (bytes, kind) in [
        (&[][..], ErrorKind::Corrupt),
        (b"\x01nonsense", ErrorKind::Corrupt),
        (b"\x02", ErrorKind::Unsupported),
    ] {
        map.overwrite("damaged", bytes);
        let error = store.acquire(&ask("damaged")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_unknown()), (kind, false), "{error:?}");
        assert_eq!(error.key().unwrap().as_str(), "damaged");
    }
    // It is not in the way of what goes.
    clock.advance(DAY);
    sweep(&store).await;
    assert!(!map.names().contains(&"whole".to_owned()), "{:?}", map.names());
    assert!(map.names().contains(&"damaged".to_owned()), "{:?}", map.names());
}

/// The form of a cell that other versions wrote is read for ever.
#[tokio::test]
async fn the_form_of_a_cell_stays() {
    let (_clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new());
    turn(&store, "key").await;
    let form = include_bytes!("../common/cell.bin");
    map.overwrite("key", form);
    let key = LockKey::parse("key").unwrap();
    let seen = store.inspect(&lock_core::InspectQuery::new(key)).await.unwrap().value;
    assert_eq!((seen.holders, seen.waiting), (1, 1));
    assert_eq!(seen.leases[0].token.get(), START.as_micros() + 1);
    assert_eq!(seen.leases[0].metadata.bytes(), 16);
    assert_eq!(map.state("key"), form, "nothing of it was lost");
}

#[tokio::test]
async fn a_queue_has_a_limit() {
    let (_clock, map) = map(Manners::rough());
    let store = map.host(&HostConfig::new().with_queue_limit(2.try_into().unwrap()));
    granted(&store, &ask("key")).await;
    for _ in 0..2 {
        let queued = store.acquire(&queueing("key")).await.unwrap().value;
        assert!(matches!(queued, Acquisition::Queued(_)), "{queued:?}");
    }
    let full = store.acquire(&queueing("key")).await.unwrap().value;
    assert!(matches!(full, Acquisition::QueueFull(_)), "{full:?}");
}

/// The command that makes a cell too large is refused, and those that share its update are not.
#[tokio::test]
async fn a_cell_has_a_limit() {
    let manners = Manners { cell_bytes: Some(8_000), ..Manners::rough() };
    let (_clock, map) = map(manners);
    let store = map.host(&HostConfig::new());
    let text = ("a".to_owned(), "x".repeat(2_000));
    let metadata = Metadata::try_from(std::collections::BTreeMap::from([text])).unwrap();
    let held = granted(&store, &ask("key").with_metadata(metadata.clone())).await;
    let asked: Vec<_> = (0..8).map(|_| queueing("key").with_metadata(metadata.clone())).collect();
    let asking = asked.iter().map(|request| {
        let (store, request) = (store.clone(), request.clone());
        tokio::spawn(async move { store.acquire(&request).await })
    });
    let (mut queued, mut refused) = (0, 0);
    for asking in asking.collect::<Vec<_>>() {
        match asking.await.unwrap() {
            Ok(_) => queued += 1,
            Err(error) => {
                refused += 1;
                assert_eq!((error.kind(), error.is_unknown()), (ErrorKind::InvalidInput, false));
                let violation = error.invalid_input().unwrap().violation();
                assert!(matches!(violation, Violation::TooLong { limit: 7_000, .. }));
            }
        }
    }
    assert_eq!((queued, refused), (2, 6));
    let key = held.key.clone();
    let seen = store.inspect(&lock_core::InspectQuery::new(key)).await.unwrap().value;
    assert_eq!((seen.holders, seen.waiting), (1, 2));
    let _ = store.release(&ReleaseRequest::new(held.name())).await.unwrap();
}

/// 50 hosts that take turns on one cell all get on, however often they meet.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_writers_of_one_key_get_on() {
    let manners = Manners { conflict_every: u64::MAX, ..Manners::rough() };
    let (_clock, map) = map(manners);
    let tasks = (0..50).map(|_| {
        let store = map.host(&HostConfig::new());
        tokio::spawn(async move {
            for _ in 0..10 {
                let reader = ask("key").with_mode(lock_core::Mode::READER);
                let lease = granted(&store, &reader).await;
                let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let (attempts, conflicts) = map.attempts_and_conflicts();
    println!("50 writers of one key: {attempts} attempts, {conflicts} conflicts");
    assert!(attempts >= 1_000 + conflicts, "{attempts} attempts, {conflicts} conflicts");
}

/// Every second notice is lost without a word: waiters are found at their heartbeats.
#[tokio::test]
async fn lost_notices_cost_time_and_nothing_else() {
    let manners = Manners { lose_every: 2, ..Manners::rough() };
    let map = Map::new(manners, Arc::new(TokioClock::new()));
    let manager = |name: &str| {
        let owner = OwnerId::parse(name).unwrap();
        LockManager::new(map.host(&HostConfig::new()), owner)
    };
    // All of them wait, so that there is something to tell each.
    let first = manager("first");
    let held = first.acquire("key").await.unwrap();
    let tasks = (0..4).map(|number| {
        let manager = manager(&format!("owner-{number}"));
        tokio::spawn(async move {
            for _ in 0..3 {
                let acquire = manager.acquire("key").keep_alive(Duration::from_secs(1));
                let guard = acquire.wait(Duration::from_secs(60)).await.unwrap();
                // A machine that stood still may have lost it.
                let _ = guard.release().await;
            }
            manager.shutdown().await;
        })
    });
    let tasks = tasks.collect::<Vec<_>>();
    while first.inspect("key").await.unwrap().value.waiting < 4 {
        tokio::task::yield_now().await;
    }
    held.release().await.unwrap();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(map.lost() > 0, "no notice was lost");
}

/// In a cell that is full, a request that is there already is answered as ever, and leases end.
#[tokio::test]
async fn full_cell_allows_releases_and_no_acquires() {
    let manners = Manners { cell_bytes: Some(8_000), ..Manners::rough() };
    let (_clock, map) = map(manners);
    let store = map.host(&HostConfig::new());
    let reader = || ask("key").with_mode(lock_core::Mode::READER).with_ttl(Ttl::Never);
    let first = reader();
    let mut held = vec![granted(&store, &first).await];
    let full = loop {
        match store.acquire(&reader()).await {
            Ok(Timed { value: Acquisition::Granted(lease), .. }) => held.push(lease),
            Ok(other) => panic!("expected a grant, got {other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!((full.kind(), full.is_unknown()), (ErrorKind::InvalidInput, false), "{full:?}");
    let (by, why) = (OwnerId::parse("admin").unwrap(), Reason::parse("x".repeat(500)).unwrap());
    let evict = |lease: &Lease| EvictRequest::lease(lease.name(), by.clone(), why.clone());
    // Marks that are larger than leases fill the last eighth, and then there is no room for them.
    let refused = loop {
        match store.evict(&evict(held.last().unwrap())).await {
            Ok(_) => drop(held.pop()),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused:?}");
    assert!(map.state("key").len() > 7_000, "the last eighth is used");
    assert_eq!(granted(&store, &first).await, held[0]);
    for lease in &held {
        let released = store.release(&ReleaseRequest::new(lease.name())).await.unwrap().value;
        assert_eq!(released, lock_core::Release::Released);
    }
    granted(&store, &reader()).await;
}
