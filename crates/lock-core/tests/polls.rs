//! Cancelling at every await: each operation is dropped after its first, second, .. last poll, and
//! afterwards nobody waits, nobody holds, and tokens still increase.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use common::{faulty, manager, settle, waiting};
use lock_core::{
    FencingToken, LockGuard, LockManager, Operation, OwnerId, RequestId, TransferTo, Ttl,
};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};
use tokio::time::sleep;

/// A future that is polled a few times and dropped.
struct Dropped(Pin<Box<dyn Future<Output = ()> + Send>>);

/// More polls than any of the operations needs: one that needs more is a failure of this test.
const MOST: usize = 60;

/// The ways in which the store is slow: each of its commands takes 1 ms before or after it happens,
/// or the answer of one never comes.
fn slow(store: &Faulty<MemoryBackend>, round: usize) -> String {
    let span = Duration::from_millis(1);
    let all = [
        Operation::Acquire,
        Operation::Listen,
        Operation::Hear,
        Operation::Renew,
        Operation::Release,
        Operation::Cancel,
        Operation::Transfer,
    ];
    let (fault, operations) = match round {
        0 => (Fault::Delayed(span), &all[..]),
        1 => (Fault::AnswerDelayed(span), &all[..]),
        _ => (Fault::AnswerHangs, &all[round - 2..=round - 2]),
    };
    for operation in operations {
        store.inject(*operation, fault);
    }
    format!("{fault:?} of {operations:?}")
}

/// Number of ways to be slow.
const ROUNDS: usize = 9;

fn dropped(future: impl Future<Output = ()> + Send + 'static) -> Dropped {
    Dropped(Box::pin(future))
}

/// Polls a future so many times at most, each time when it was woken; `true` if it was still pending.
async fn poll_times(future: &mut Dropped, times: usize) -> bool {
    for poll in 1..=times {
        let mut was_polled = false;
        let polled = poll_fn(|cx| {
            if std::mem::replace(&mut was_polled, true) {
                return Poll::Ready(false);
            }
            match future.0.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending if poll == times => Poll::Ready(false),
                Poll::Pending => Poll::Pending,
            }
        });
        match tokio::time::timeout(Duration::from_secs(10), polled).await {
            Ok(true) => return false,
            Ok(false) => {}
            // It waits for what never comes.
            Err(_) => return true,
        }
    }
    true
}

/// One slow store, its managers, and the highest token so far.
struct Scene {
    store: Faulty<MemoryBackend>,
    alice: LockManager,
    bob: LockManager,
    last: FencingToken,
}

impl Scene {
    async fn new() -> Self {
        let store = faulty();
        let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
        let last = bob.acquire("key").await.unwrap().token();
        settle().await;
        Self { store, alice, bob, last }
    }

    /// Checks that the store is free of everything, and grants a higher token.
    async fn assert_clean(&mut self, context: &str) {
        self.store.heal();
        // Longer than the time-out of a command that hangs, and its repetition.
        sleep(Duration::from_secs(30)).await;
        settle().await;
        let seen = self.bob.inspect("key").await.unwrap().value;
        assert_eq!((seen.holders, seen.waiting), (0, 0), "{context}: {seen:?}");
        let token = self.bob.try_acquire("key").await.unwrap().guard().unwrap().token();
        assert!(token > self.last, "{context}: {token} after {}", self.last);
        self.last = token;
        settle().await;
    }
}

/// Drops what `start` makes at each of its polls, on a store that is slow in each of the ways.
async fn at_every_poll(start: impl AsyncFn(&Scene) -> Dropped) {
    for round in 0..ROUNDS {
        let mut polls = 0;
        for times in 0.. {
            // Where an answer never comes, polls beyond these differ in nothing.
            if round >= 2 && times > 12 {
                break;
            }
            assert!(times < MOST, "it is done after {MOST} polls");
            let mut scene = Scene::new().await;
            let mut future = start(&scene).await;
            let fault = slow(&scene.store, round);
            let was_pending = poll_times(&mut future, times).await;
            drop(future);
            scene.assert_clean(&format!("{fault}, dropped after {times} polls")).await;
            polls = times;
            if !was_pending {
                break;
            }
        }
        assert!(polls > 1 || round >= 2, "it is done at its first poll: the store is not slow");
    }
}

/// A guard of alice whose lease would last for ever.
async fn held(scene: &Scene) -> LockGuard {
    scene.alice.acquire("key").ttl(Ttl::Never).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn acquire_of_a_free_key() {
    at_every_poll(async |scene| {
        let acquire = scene.alice.acquire("key").ttl(Ttl::Never).into_future();
        dropped(async move { drop(acquire.await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn acquire_that_waits_for_another() {
    at_every_poll(async |scene| {
        let other = scene.bob.acquire("key").await.unwrap();
        let acquire = scene.alice.acquire("key").ttl(Ttl::Never).into_future();
        tokio::spawn(async move {
            sleep(Duration::from_millis(5)).await;
            drop(other);
        });
        dropped(async move { drop(acquire.await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn hold_and_its_work() {
    at_every_poll(async |scene| {
        let alice = scene.alice.clone();
        dropped(async move {
            let work = async |_: &LockGuard| sleep(Duration::from_millis(2)).await;
            drop(alice.acquire("key").ttl(Ttl::Never).hold(work).await);
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn run_of_a_guard() {
    at_every_poll(async |scene| {
        let guard = held(scene).await;
        dropped(async move {
            let work = async {
                for _ in 0..3 {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            drop(guard.run(work).await);
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn upgrade_of_a_guard_beside_another_reader() {
    at_every_poll(async |scene| {
        let guard = scene.alice.acquire("key").shared().ttl(Ttl::Never).await.unwrap();
        let other = scene.bob.acquire("key").shared().await.unwrap();
        tokio::spawn(async move {
            sleep(Duration::from_millis(5)).await;
            drop(other);
        });
        dropped(async move { drop(guard.upgrade().await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reentrant_acquire() {
    at_every_poll(async |scene| {
        let session = scene.alice.session();
        dropped(async move {
            let outer = session.acquire("key").ttl(Ttl::Never).reentrant().await;
            let inner = session.acquire("key").ttl(Ttl::Never).reentrant().await;
            drop((outer, inner));
        })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn release_of_a_guard() {
    at_every_poll(async |scene| {
        let guard = held(scene).await;
        dropped(async move { drop(guard.release().await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn renewal_of_a_guard() {
    at_every_poll(async |scene| {
        let guard = held(scene).await;
        dropped(async move { drop(guard.renew_now().await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn transfer_to_a_waiter_that_takes_it_up() {
    at_every_poll(async |scene| {
        let guard = held(scene).await;
        let receiver = tokio::spawn(scene.bob.acquire("key").into_future());
        waiting(&scene.alice, "key", 1).await;
        tokio::spawn(async move { drop(receiver.await) });
        let to = scene.alice.inspect("key").await.unwrap().value.waiters.items[0].request;
        dropped(async move { drop(guard.transfer(TransferTo::Waiter(to)).await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn transfer_to_an_owner_leaves_one_lease_at_most() {
    // The receiver's lease is its own: it is released by name, if it came about.
    at_every_poll(async |scene| {
        let guard = held(scene).await;
        let (bob, request) = (scene.bob.clone(), RequestId::random());
        let owner = OwnerId::parse("bob").unwrap();
        let to = TransferTo::Owner { owner, request, metadata: Default::default() };
        let transfer = guard.transfer(to);
        tokio::spawn(async move {
            sleep(Duration::from_secs(15)).await;
            let leases = bob.inspect("key").await.unwrap().value.leases;
            assert!(leases.len() <= 1, "{leases:?}");
            for lease in leases {
                assert_eq!(lease.request, request);
                assert!(bob.release_lease(&lease).await.unwrap());
            }
        });
        dropped(async move { drop(transfer.await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn adoption_of_a_lease() {
    at_every_poll(async |scene| {
        let ttl = Duration::from_secs(7);
        let lease = scene.alice.acquire("key").ttl(ttl).await.unwrap().into_lease().await.unwrap();
        let bob = scene.bob.clone();
        // Dropped before it adopts, the lease lasts for its ttl.
        dropped(async move { drop(bob.adopt(&lease).await) })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn lease_for_another_program() {
    at_every_poll(async |scene| {
        let other = scene.bob.acquire("key").await.unwrap();
        let spans = (Duration::from_secs(3), Duration::from_secs(3));
        let acquire = scene.alice.acquire("key").ttl(spans.0).keep_alive(spans.1);
        tokio::spawn(async move {
            sleep(Duration::from_millis(5)).await;
            drop(other);
        });
        // Dropped, it keeps its place for the keep-alive, and a grant for the window or the ttl.
        dropped(async move { drop(acquire.lease().await) })
    })
    .await;
}
