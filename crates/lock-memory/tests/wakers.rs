//! Wakers that call into the store from within `wake`, as those of an executor that polls or drops
//! a task at once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use lock_core::{
    AcquireRequest, Acquisition, EventFilter, EvictRequest, KeepAlive, Lease, ListQuery,
    LockBackend, LockInspector, LockKey, MailboxId, ManualClock, OwnerId, Reason, Release,
    ReleaseRequest, RequestId, Timestamp, Ttl,
};
use lock_memory::MemoryBackend;

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const MAILBOX: MailboxId = MailboxId::from_bits(1);
const TTL: Duration = Duration::from_secs(10);

/// The answer of a store in memory, which is there at once.
fn now<T>(answer: impl Future<Output = T>) -> T {
    match pin!(answer).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("a store in memory does not wait"),
    }
}

/// Fails unless `work` ends: a thread that waits for itself never does.
fn ends(work: impl FnOnce() + Send + 'static) {
    let (ended, end) = mpsc::channel();
    let thread = thread::spawn(move || {
        work();
        ended.send(()).unwrap();
    });
    match end.recv_timeout(Duration::from_secs(20)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the waker waits for a lock of the store"),
        // A failure in there fails here.
        _ => thread.join().unwrap(),
    }
}

fn ask(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("owner").unwrap());
    let ttl = Ttl::parse(TTL).unwrap();
    AcquireRequest::new(RequestId::random(), key, owner).with_ttl(ttl)
}

/// A store in which one request holds a key for ten seconds, and another waits for longer.
struct Scene {
    clock: Arc<ManualClock>,
    store: MemoryBackend,
    held: Lease,
}

impl Scene {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(START));
        let store = MemoryBackend::with_clock(Arc::clone(&clock));
        let Acquisition::Granted(held) = now(store.acquire(&ask("key"))).unwrap().value else {
            panic!("the key is free")
        };
        let waiter = ask("key").queueing(KeepAlive::parse(10 * TTL).unwrap());
        let answer = now(store.acquire(&waiter.with_mailbox(MAILBOX))).unwrap();
        assert!(matches!(answer.value, Acquisition::Queued(_)));
        Self { clock, store, held }
    }
}

/// Causes of a grant to the waiter.
const GRANTS: [fn(&Scene); 4] = [
    |scene| {
        let request = ReleaseRequest::new(scene.held.name());
        assert_eq!(now(scene.store.release(&request)).unwrap().value, Release::Released);
    },
    |scene| {
        let (key, by) = (scene.held.key.clone(), scene.held.owner.clone());
        let evict = EvictRequest::all(key, by, Reason::parse("test").unwrap());
        assert_eq!(now(scene.store.evict(&evict)).unwrap().value.leases.len(), 1);
    },
    |scene| {
        scene.clock.advance(TTL);
        let answer = now(scene.store.acquire(&ask("key"))).unwrap().value;
        assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
    },
    |scene| {
        scene.clock.advance(TTL);
        let mut query = ListQuery::all();
        while let Some(next) = now(scene.store.list(&query)).unwrap().value.next {
            query = query.after(next);
        }
    },
];

/// Opens the waiter's mailbox again, which ends the stream that is read.
fn listen_again(scene: &Scene) {
    drop(now(scene.store.listen(MAILBOX)).unwrap());
}

/// A task that reads a stream, and does its work once, within `wake`.
struct Task<S> {
    stream: Mutex<Option<S>>,
    work: Mutex<Option<Work<S>>>,
}

type Work<S> = Box<dyn FnOnce(&Task<S>) + Send>;

impl<S: Send + 'static> Wake for Task<S> {
    fn wake(self: Arc<Self>) {
        let work = self.work.lock().unwrap().take();
        if let Some(work) = work {
            work(&self);
        }
    }
}

impl<S> Task<S> {
    /// Drops the stream, as an executor that drops the task does.
    fn cancel(&self) {
        let stream = self.stream.lock().unwrap().take();
        drop(stream);
    }
}

type Boxed<T> = Pin<Box<dyn Stream<Item = T> + Send>>;

impl<T> Task<Boxed<T>> {
    fn poll(&self, waker: &Waker) -> Poll<Option<T>> {
        let mut stream = self.stream.lock().unwrap();
        stream.as_mut().unwrap().as_mut().poll_next(&mut Context::from_waker(waker))
    }
}

/// Takes and gives keys back, opens the mailbox, watches and looks: whatever needs a lock.
fn use_everything(store: &MemoryBackend) {
    let answer = now(store.acquire(&ask("key"))).unwrap().value;
    assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}");
    let Acquisition::Granted(lease) = now(store.acquire(&ask("other"))).unwrap().value else {
        panic!("the other key is free")
    };
    let released = now(store.release(&ReleaseRequest::new(lease.name()))).unwrap().value;
    assert_eq!(released, Release::Released);
    drop(now(store.watch(&EventFilter::all(), None)).unwrap());
    drop(now(store.listen(MAILBOX)).unwrap());
    let _ = now(store.list(&ListQuery::all())).unwrap();
}

/// Work of a task within `wake`.
fn works<T: 'static>(store: &MemoryBackend) -> [Work<Boxed<T>>; 3] {
    let store = store.clone();
    [
        Box::new(move |_| use_everything(&store)),
        Box::new(Task::cancel),
        Box::new(|task| assert!(task.poll(Waker::noop()).is_ready(), "woken for nothing")),
    ]
}

/// Whatever the reader of a stream does when it is woken by `cause`, the command ends.
fn check<T: 'static>(cause: fn(&Scene), open: fn(&MemoryBackend) -> Boxed<T>) {
    for number in 0..3 {
        ends(move || {
            let scene = Scene::new();
            let stream = Mutex::new(Some(open(&scene.store)));
            let work = works(&scene.store).into_iter().nth(number);
            let task = Arc::new(Task { stream, work: Mutex::new(work) });
            assert!(task.poll(&Waker::from(Arc::clone(&task))).is_pending());
            cause(&scene);
            assert!(task.work.lock().unwrap().is_none(), "nobody was woken");
            use_everything(&scene.store);
        });
    }
}

#[test]
fn reader_of_notices_may_call_into_the_store_when_it_is_woken() {
    for cause in GRANTS.into_iter().chain([listen_again as fn(&Scene)]) {
        check(cause, |store| now(store.listen(MAILBOX)).unwrap());
    }
}

#[test]
fn watcher_may_call_into_the_store_when_it_is_woken() {
    for cause in GRANTS {
        check(cause, |store| now(store.watch(&EventFilter::all(), None)).unwrap());
    }
}
