//! A hostile reading of the manager, as programs: slow answers, panics, crossings, odd wakers.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, ErrorKind, EventCursor,
    EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard, InspectQuery,
    Inspection, Lease, ListQuery, LockBackend, LockGuard, LockInspector, MailboxId, Notice,
    NoticeStream, Operation, Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested,
    RenewRequest, Renewal, RequestId, Result, Timed, Transfer, TransferRequest, Ttl, Waiter,
    WaitsQuery,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty, NoticeFault};
use tokio::time::{Instant, sleep, timeout};

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn grant_is_found_although_every_answer_is_slow() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let bob = manager(&store, "bob");
    let held = alice.acquire("key").await.unwrap();
    store.inject(Operation::Hear, Fault::AnswerDelayed(secs(1)));
    store.inject_notices(NoticeFault::Lost);
    let b = tokio::spawn(bob.acquire("key").ttl(Ttl::Never).into_future());
    waiting(&alice, "key", 1).await;
    sleep(secs(5)).await;
    held.release().await.unwrap();
    let got = timeout(secs(600), b).await;
    assert!(got.is_ok());
}

#[tokio::test(start_paused = true)]
async fn lease_whose_detachment_was_dropped_is_released() {
    let store = faulty();
    let alice = manager(&store, "alice");
    store.inject(Operation::Acquire, Fault::AnswerLost);
    let f = tokio::spawn(alice.acquire("key").ttl(Ttl::Never).into_future());
    settle().await;
    store.heal();
    let g = f.await.unwrap().unwrap();
    store.inject(Operation::Transfer, Fault::AnswerHangs);
    let r = timeout(secs(1), g.into_lease()).await;
    assert!(r.is_err());
    store.heal();
    sleep(secs(3600)).await;
    let i = alice.inspect("key").await.unwrap().value;
    assert_eq!(i.holders, 0);
}

#[tokio::test(start_paused = true)]
async fn renewal_on_demand_does_not_revive_a_lost_guard() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let g = alice.acquire("key").ttl(secs(3)).await.unwrap();
    store.inject(Operation::Renew, Fault::Hangs);
    sleep(millis(2750)).await;
    store.heal();
    assert!(g.is_lost());
    let r = g.renew_now().await;
    sleep(secs(4)).await;
    assert!(r.is_err());
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_a_guard_that_was_on_its_way() {
    let store = faulty();
    let alice = manager(&store, "alice");
    alice.acquire("x").await.unwrap().release().await.unwrap();
    store.inject(Operation::Acquire, Fault::AnswerDelayed(secs(1)));
    let a = alice.clone();
    let h = tokio::spawn(async move {
        a.hold("key", async |_g| {
            sleep(secs(2)).await;
            7
        })
        .await
    });
    sleep(millis(500)).await;
    let s = Instant::now();
    let r = alice.shutdown().await;
    println!("{r:?} after {:?}; hold: {:?}", s.elapsed(), h.await.unwrap());
    assert_eq!(r.in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn eviction_of_a_lease_adopted_first_of_all_is_notified() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let op = manager(&store, "op");
    let lease = alice.acquire("key").ttl(secs(300)).await.unwrap().into_lease().await.unwrap();
    store.inject(Operation::Listen, Fault::Delayed(secs(2)));
    let heir = manager(&store, "alice");
    let g = heir.adopt(&lease).await.unwrap();
    sleep(secs(1)).await;
    store.heal();
    op.evict(&lease, "why").await.unwrap();
    let s = Instant::now();
    g.lost().await;
    assert!(s.elapsed() < secs(5));
}

#[tokio::test(start_paused = true)]
async fn manager_outlives_a_panic_of_the_store_that_listens() {
    let store = faulty();
    store.inject(Operation::Listen, Fault::Panics);
    let alice = manager(&store, "alice");
    drop(alice.acquire("key").await);
    store.heal();
    let r = alice.acquire("key2").await;
    assert!(r.is_ok());
}

#[tokio::test(start_paused = true)]
async fn lease_whose_release_panicked_is_given_back() {
    let store = faulty();
    let alice = manager(&store, "alice");
    let g = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    store.inject(Operation::Release, Fault::Panics);
    drop(g);
    settle().await;
    store.heal();
    sleep(secs(3600)).await;
    let h = alice.inspect("key").await.unwrap().value.holders;
    assert_eq!(h, 0);
}

#[tokio::test(start_paused = true)]
async fn notice_is_not_undone_by_an_older_answer() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let _held = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
    let id = RequestId::random();
    let b = tokio::spawn(bob.acquire("key").request(id).keep_alive(secs(30)).into_future());
    waiting(&alice, "key", 1).await;
    let mut worst = Duration::ZERO;
    let hears = store.commands(Operation::Hear);
    store.inject(Operation::Hear, Fault::AnswerDelayed(millis(100)));
    while store.commands(Operation::Hear) == hears {
        sleep(millis(1)).await;
    }
    sleep(millis(50)).await;
    store.inject_notices(NoticeFault::Delayed(millis(49)));
    assert!(alice.evict_waiter("key", id, "why").await.unwrap());
    let s = Instant::now();
    assert!(b.await.unwrap().is_err());
    worst = worst.max(s.elapsed());
    assert!(worst < secs(1));
}

#[tokio::test(start_paused = true)]
async fn attempt_leaves_the_place_to_the_waiter_of_its_request() {
    let store = faulty();
    let (alice, bob, carol) =
        (manager(&store, "alice"), manager(&store, "bob"), manager(&store, "carol"));
    let held = alice.acquire("key").await.unwrap();
    let id = RequestId::random();
    let b = tokio::spawn(bob.acquire("key").request(id).into_future());
    waiting(&alice, "key", 1).await;
    let _c = tokio::spawn(carol.acquire("key").into_future());
    waiting(&alice, "key", 2).await;
    sleep(secs(10) + millis(200)).await;
    held.release().await.unwrap();
    settle().await;
    assert!(b.is_finished());
}

#[tokio::test(start_paused = true)]
async fn attempt_leaves_the_grant_to_the_waiter_of_its_request() {
    let store = faulty();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let held = alice.acquire("key").await.unwrap();
    let id = RequestId::random();
    let b = tokio::spawn(bob.acquire("key").request(id).into_future());
    waiting(&alice, "key", 1).await;
    let _ = bob.try_acquire("key").request(id).await;
    held.release().await.unwrap();
    let s = Instant::now();
    assert!(b.await.unwrap().is_ok());
    assert!(s.elapsed() < secs(1));
}

#[tokio::test(start_paused = true)]
async fn wait_shorter_than_a_round_trip_gets_a_free_key() {
    let store = faulty();
    let alice = manager(&store, "alice");
    alice.acquire("x").await.unwrap().release().await.unwrap();
    store.inject(Operation::Acquire, Fault::AnswerDelayed(millis(5)));
    let z = alice.acquire("k0").wait(Duration::ZERO).await;
    let r = alice.acquire("key").wait(millis(3)).await;
    println!("zero: {:?}; 3ms: {r:?}", z.is_ok());
    assert!(r.is_ok() || r.unwrap_err().kind() == ErrorKind::WaitOver);
}

#[tokio::test(start_paused = true)]
async fn mailbox_that_does_not_open_leaves_time_to_ask() {
    let store = faulty();
    store.inject(Operation::Listen, Fault::Hangs);
    store.inject(Operation::Acquire, Fault::AnswerDelayed(millis(5)));
    let alice = manager(&store, "alice");
    let r = alice.acquire("key").wait(secs(2)).await;
    assert!(r.is_ok());
}

type Pending = Pin<Box<dyn Future<Output = Result<LockGuard>> + Send>>;

struct Dropper(Mutex<Option<Pending>>);

impl Wake for Dropper {
    fn wake(self: Arc<Self>) {
        let f = self.0.lock().unwrap().take();
        drop(f);
    }
}

#[test]
fn waker_may_drop_another_request() {
    let (tx, rx) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            let store = faulty();
            let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
            let held = alice.acquire("key").await.unwrap();
            let _held2 = alice.acquire("key2").await.unwrap();
            let mut a = bob.acquire("key").into_future();
            let mut b = bob.acquire("key2").into_future();
            for _ in 0..5 {
                let _ = poll_fn(|cx| Poll::Ready(b.as_mut().poll(cx))).await;
                let _ = poll_fn(|cx| Poll::Ready(a.as_mut().poll(cx))).await;
                settle().await;
            }
            let waker = Waker::from(Arc::new(Dropper(Mutex::new(Some(b)))));
            let _ = a.as_mut().poll(&mut Context::from_waker(&waker));
            held.release().await.unwrap();
            settle().await;
        });
        tx.send(()).unwrap();
    });
    assert!(rx.recv_timeout(secs(10)).is_ok(), "deadlock");
}

#[derive(Clone, Debug)]

struct Flap(Faulty<MemoryBackend>);

struct Ends;

impl futures_core::Stream for Ends {
    type Item = Notice;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Notice>> {
        Poll::Ready(None)
    }
}

#[async_trait::async_trait]

impl LockBackend for Flap {
    async fn listen(&self, m: MailboxId) -> Result<NoticeStream> {
        drop(self.0.listen(m).await);
        Ok(Box::pin(Ends))
    }
    async fn acquire(&self, r: &AcquireRequest) -> Result<Timed<Acquisition>> {
        self.0.acquire(r).await
    }
    async fn hear(&self, r: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.0.hear(r).await
    }
    async fn renew(&self, r: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.0.renew(r).await
    }
    async fn release(&self, r: &ReleaseRequest) -> Result<Timed<Release>> {
        self.0.release(r).await
    }
    async fn cancel(&self, r: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.0.cancel(r).await
    }
    async fn transfer(&self, r: &TransferRequest) -> Result<Timed<Transfer>> {
        self.0.transfer(r).await
    }
    async fn evict(&self, r: &EvictRequest) -> Result<Timed<Eviction>> {
        self.0.evict(r).await
    }
    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.0.request_release(appeal).await
    }
}

#[async_trait::async_trait]

impl LockInspector for Flap {
    async fn inspect(&self, q: &InspectQuery) -> Result<Timed<Inspection>> {
        self.0.inspect(q).await
    }
    async fn list(&self, q: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.0.list(q).await
    }
    async fn waits_of(&self, q: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.0.waits_of(q).await
    }
    async fn watch(&self, f: &EventFilter, a: Option<&EventCursor>) -> Result<EventStream> {
        self.0.watch(f, a).await
    }
    async fn health(&self) -> Result<Health> {
        self.0.health().await
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
}

#[tokio::test(start_paused = true)]
async fn stream_that_ends_at_once_is_not_opened_in_a_storm() {
    let store = Flap(faulty());
    let alice = manager(&store, "alice");
    let _g = alice.acquire("key").await.unwrap();
    sleep(secs(10)).await;
    assert!(store.0.commands(Operation::Listen) < 50);
}
