//! Exclusion, hand-off and events when real threads contend.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::HashSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, Change, EventFilter, KeepAlive, LockBackend, LockInspector,
    LockKey, LockManager, Mode, OwnerId, Priority, Release, ReleaseRequest, RequestId, WaitRequest,
    Wake, Watched,
};
use lock_memory::MemoryBackend;
use tokio::runtime::{Builder, Runtime};

const THREADS: usize = 4;
const TASKS: usize = 40;
const TURNS: usize = 10;

fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap()
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn owner(number: usize) -> OwnerId {
    OwnerId::parse(format!("owner-{number}")).unwrap()
}

fn ask(number: usize) -> AcquireRequest {
    let key = LockKey::parse("key").unwrap();
    AcquireRequest::new(RequestId::random(), key, owner(number)).queueing(KeepAlive::default())
}

/// Runs tasks on several threads, each of which takes turns under a lock of this mode, and answers
/// how many were inside at once at the most.
fn most_inside(mode: Mode) -> usize {
    let runtime = threads(THREADS);
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let last_token = Arc::new(AtomicU64::new(0));
    let store = MemoryBackend::new();
    runtime.block_on(async {
        let task = |number| {
            let (inside, most, last_token) = (inside.clone(), most.clone(), last_token.clone());
            let manager = LockManager::new(store.clone(), owner(number));
            async move {
                for turn in 0..TURNS {
                    let priority = Priority::ALL[(number + turn) % 4];
                    let guard = manager.acquire("key").mode(mode).priority(priority).await.unwrap();
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    if mode == Mode::Exclusive {
                        let token = guard.token().get();
                        assert!(last_token.swap(token, Ordering::SeqCst) < token);
                    }
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    match turn % 2 {
                        0 => guard.release().await.unwrap(),
                        _ => drop(guard),
                    }
                }
                manager.shutdown().await;
            }
        };
        let tasks: Vec<_> = (0..TASKS).map(|number| tokio::spawn(task(number))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(store.keys_in_memory(), 0);
    most.load(Ordering::SeqCst)
}

#[test]
fn exclusive_leases_never_overlap() {
    assert_eq!(most_inside(Mode::Exclusive), 1);
}

#[test]
fn permits_are_never_exceeded() {
    let limit = NonZeroU32::new(3);
    let most = most_inside(Mode::Shared { limit });
    assert!((1..=3).contains(&most), "{most} inside at once");
}

/// A grant that falls between looking and falling asleep is not missed: nobody sleeps to its
/// keep-alive.
#[test]
fn no_wake_is_lost() {
    let runtime = threads(2);
    let store = MemoryBackend::new();
    let turns = |number: usize, store: MemoryBackend| async move {
        for _ in 0..500 {
            let asked = ask(number);
            if let Acquisition::Queued(_) = store.acquire(&asked).await.unwrap() {
                let timeout = Duration::from_secs(3600);
                let awaited = WaitRequest::new(asked.key.clone(), asked.request, timeout);
                let wake = store.wait(&awaited).await.unwrap();
                assert!(matches!(wake, Wake::Granted(_)), "{wake:?}");
            }
            let held = ReleaseRequest::new(asked.key.clone(), asked.request);
            assert_eq!(store.release(&held).await.unwrap(), Release::Released);
        }
    };
    runtime.block_on(async {
        let tasks: Vec<_> =
            (0..3).map(|number| tokio::spawn(turns(number, store.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

/// Events of a key come in its order, and a watcher that lags is told where and how many it missed.
#[test]
fn slow_watcher_is_told_what_it_missed() {
    let runtime = one_thread();
    runtime.block_on(async {
        let store = MemoryBackend::new();
        let mut events = store.watch(&EventFilter::all()).await.unwrap();
        let turns = 2000;
        for number in 0..turns {
            let asked = ask(number);
            let _ = store.acquire(&asked).await.unwrap();
            let held = ReleaseRequest::new(asked.key.clone(), asked.request);
            let _ = store.release(&held).await.unwrap();
        }
        let (mut seen, mut missed) = (0, 0);
        while seen + missed < 2 * turns as u64 {
            match poll_fn(|cx| events.as_mut().poll_next(cx)).await.unwrap() {
                Watched::Event(event) => {
                    assert_eq!(missed, 0, "an event out of its place: {event:?}");
                    assert_eq!(seen % 2 == 0, matches!(event.change, Change::Granted(_)));
                    seen += 1;
                }
                Watched::Missed(count) => missed += count,
                other => panic!("unknown: {other:?}"),
            }
        }
        assert!(missed > 0);
        let asked = ask(0);
        let _ = store.acquire(&asked).await.unwrap();
        let next = poll_fn(|cx| events.as_mut().poll_next(cx)).await.unwrap();
        assert!(matches!(next, Watched::Event(_)), "{next:?}");
    });
}

/// Two that wait for one request at once, as a program and its successor may, both get the news.
#[test]
fn all_who_wait_for_a_request_are_woken() {
    let runtime = one_thread();
    runtime.block_on(async {
        let store = MemoryBackend::new();
        let (held, queued) = (ask(0), ask(1));
        let _ = store.acquire(&held).await.unwrap();
        let _ = store.acquire(&queued).await.unwrap();
        let wait = || {
            let timeout = Duration::from_secs(3600);
            let awaited = WaitRequest::new(queued.key.clone(), queued.request, timeout);
            let store = store.clone();
            tokio::spawn(async move { store.wait(&awaited).await.unwrap() })
        };
        let (first, second) = (wait(), wait());
        tokio::task::yield_now().await;
        let release = ReleaseRequest::new(held.key.clone(), held.request);
        let _ = store.release(&release).await.unwrap();
        assert!(matches!(first.await.unwrap(), Wake::Granted(_)));
        assert!(matches!(second.await.unwrap(), Wake::Granted(_)));
    });
}

#[test]
fn requests_of_many_owners_are_told_apart() {
    let runtime = one_thread();
    runtime.block_on(async {
        let store = MemoryBackend::new();
        let _ = store.acquire(&ask(0)).await.unwrap();
        let mut owners = HashSet::new();
        for number in 1..100 {
            let _ = store.acquire(&ask(number)).await.unwrap();
            let waits = store.waits_of(&owner(number)).await.unwrap();
            assert_eq!(waits.len(), 1);
            owners.insert(waits[0].request);
        }
        assert_eq!(owners.len(), 99);
    });
}
