//! Exclusion, hand-off and events when real threads contend.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::collections::HashSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use lock_core::{
    AcquireRequest, Acquisition, AgeingStep, Change, EventFilter, HearRequest, Heard, KeepAlive,
    Lease, LockBackend, LockInspector, LockKey, MailboxId, Mode, Notice, NoticeStream, OwnerId,
    Priority, Release, ReleaseRequest, RequestId, WaitsQuery, Watched,
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

/// One that takes turns, with a mailbox of its own.
struct Contender {
    store: MemoryBackend,
    mailbox: MailboxId,
    notices: NoticeStream,
}

impl Contender {
    async fn new(store: MemoryBackend) -> Self {
        let mailbox = MailboxId::random();
        let notices = store.listen(mailbox).await.unwrap();
        Self { store, mailbox, notices }
    }

    /// Acquires, and waits for nothing but a notice of the grant.
    async fn lease(&mut self, request: AcquireRequest) -> Lease {
        let request = request.with_mailbox(self.mailbox);
        match self.store.acquire(&request).await.unwrap().value {
            Acquisition::Granted(lease) => return lease,
            Acquisition::Queued(_) => {}
            other => panic!("expected a grant or a place, got {other:?}"),
        }
        match poll_fn(|cx| self.notices.as_mut().poll_next(cx)).await.unwrap() {
            Notice::Granted(grant) => assert_eq!(grant.request, request.id),
            other => panic!("expected a notice of the grant, got {other:?}"),
        }
        let hear = HearRequest::new(request.key.clone(), request.id);
        match self.store.hear(&[hear]).await.remove(0).unwrap().value {
            Heard::Granted(lease) => lease,
            other => panic!("expected a grant, got {other:?}"),
        }
    }

    async fn release(&mut self, lease: &Lease) {
        let request = ReleaseRequest::new(lease.name());
        assert_eq!(self.store.release(&request).await.unwrap().value, Release::Released);
    }
}

/// Runs tasks on several threads, each of which takes turns under a lock of this mode, and answers
/// how many were inside at once at the most.
fn most_inside(mode: Mode) -> usize {
    let runtime = threads(THREADS);
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let last_token = Arc::new(AtomicU64::new(0));
    let store = MemoryBackend::new();
    runtime.block_on(async {
        let task = |number: usize| {
            let (inside, most, last_token) = (inside.clone(), most.clone(), last_token.clone());
            let store = store.clone();
            async move {
                let mut contender = Contender::new(store).await;
                for turn in 0..TURNS {
                    let priority = Priority::ALL[(number + turn) % 4];
                    let head_start = priority.head_start(AgeingStep::default());
                    let request = ask(number).with_mode(mode).with_head_start(head_start);
                    let lease = contender.lease(request).await;
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    if mode == Mode::Exclusive {
                        let token = lease.token.get();
                        assert!(last_token.swap(token, Ordering::SeqCst) < token);
                    }
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    contender.release(&lease).await;
                }
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

/// A grant that falls between asking and falling asleep is not missed: nobody sleeps to its
/// keep-alive.
#[test]
fn no_notice_is_lost() {
    let runtime = threads(2);
    let store = MemoryBackend::new();
    let turns = |number: usize, store: MemoryBackend| async move {
        let mut contender = Contender::new(store).await;
        for _ in 0..500 {
            let lease = contender.lease(ask(number)).await;
            contender.release(&lease).await;
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

/// Events of a key come in its order, and a watcher that lags sees where and how many it missed.
#[test]
fn slow_watcher_receives_missed() {
    let runtime = one_thread();
    runtime.block_on(async {
        let store = MemoryBackend::new();
        let mut events = store.watch(&EventFilter::all(), None).await.unwrap();
        let mut contender = Contender::new(store.clone()).await;
        let turns = 2000;
        for number in 0..turns {
            let lease = contender.lease(ask(number)).await;
            contender.release(&lease).await;
        }
        let (mut seen, mut missed) = (0, 0);
        while seen + missed < 2 * turns as u64 {
            match poll_fn(|cx| events.as_mut().poll_next(cx)).await.unwrap() {
                Watched::Event(event) => {
                    let is_grant = (seen + missed) % 2 == 0;
                    assert_eq!(is_grant, matches!(event.change, Change::Granted(_)), "{event:?}");
                    seen += 1;
                }
                // The last are kept, so those that are missing come before all others.
                Watched::Missed(count) => {
                    assert_eq!((seen, missed), (0, 0), "{count} more are missing");
                    missed = count;
                }
                other => panic!("unknown: {other:?}"),
            }
        }
        assert!(missed > 0 && seen > 0, "{missed} missed, {seen} seen");
        let _ = contender.lease(ask(0)).await;
        let next = poll_fn(|cx| events.as_mut().poll_next(cx)).await.unwrap();
        assert!(matches!(next, Watched::Event(_)), "{next:?}");
    });
}

#[test]
fn requests_of_many_owners_are_distinguished() {
    let runtime = one_thread();
    runtime.block_on(async {
        let store = MemoryBackend::new();
        let _ = store.acquire(&ask(0)).await.unwrap();
        let mut owners = HashSet::new();
        for number in 1..100 {
            let _ = store.acquire(&ask(number)).await.unwrap();
            let query = WaitsQuery::new(owner(number));
            let waits = store.waits_of(&query).await.unwrap().value.items;
            assert_eq!(waits.len(), 1);
            owners.insert(waits[0].request);
        }
        assert_eq!(owners.len(), 99);
    });
}
