//! Cancelling at every await, over real connections: each operation is dropped after its first,
//! second, .. last poll, and afterwards nobody waits or holds, and tokens still increase.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use lock_core::{FencingToken, LockManager, OwnerId, TransferTo, Ttl};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use tokio::time::{sleep, timeout};

/// A future that is polled a few times and dropped.
struct Dropped(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Long enough for any machine; the tests wait for states.
const LONG: Duration = Duration::from_secs(60);

/// More polls than any of the operations needs.
const MOST: usize = 30;

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
        if timeout(LONG, polled).await.expect("it goes on") {
            return false;
        }
    }
    true
}

/// A server, and two managers on lines that delay every answer.
struct Scene {
    alice: LockManager,
    bob: LockManager,
    last: FencingToken,
    _server: RedisServer,
    _lines: [Proxy; 2],
}

impl Scene {
    async fn new() -> Self {
        let server = RedisServer::start().await;
        let lines = [Proxy::start(server.addr()).await, Proxy::start(server.addr()).await];
        let [alice, bob] = [("alice", &lines[0]), ("bob", &lines[1])].map(async |(owner, line)| {
            let config = RedisConfig::parse(&line.url()).unwrap();
            let store = RedisBackend::connect(config).await.unwrap();
            LockManager::new(store, OwnerId::parse(owner).unwrap())
        });
        let (alice, bob) = (alice.await, bob.await);
        let last = bob.acquire("key").await.unwrap();
        let token = last.token();
        last.release().await.unwrap();
        lines.iter().for_each(|line| line.delay(Duration::from_millis(1)));
        Self { alice, bob, last: token, _server: server, _lines: lines }
    }

    /// Waits until the key is free and nobody waits, and takes a higher token. The leases of the
    /// operations never expire: what is left behind stays.
    async fn until_clean(&mut self, context: &str) {
        let clean = async {
            loop {
                let seen = self.bob.inspect("key").await.unwrap().value;
                if (seen.holders, seen.waiting) == (0, 0) {
                    break;
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(timeout(Duration::from_secs(30), clean).await.is_ok(), "{context}: left behind");
        let guard = self.bob.acquire("key").wait(LONG).await.unwrap();
        assert!(guard.token() > self.last, "{context}");
        self.last = guard.token();
        guard.release().await.unwrap();
    }
}

/// Drops what `start` makes at each of its polls.
async fn at_every_poll(start: impl AsyncFn(&Scene) -> Dropped) {
    let mut scene = Scene::new().await;
    let mut times = 0;
    loop {
        assert!(times < MOST, "it is not done after {MOST} polls");
        let mut future = start(&scene).await;
        let was_pending = poll_times(&mut future, times).await;
        drop(future);
        scene.until_clean(&format!("dropped after {times} polls")).await;
        if !was_pending {
            break;
        }
        times += 1;
    }
    assert!(times > 1, "it waits for the server");
}

#[tokio::test]
async fn acquire_of_a_free_key() {
    at_every_poll(async |scene| {
        let acquire = scene.alice.acquire("key").ttl(Ttl::Never).into_future();
        dropped(async move { drop(acquire.await) })
    })
    .await;
}

#[tokio::test]
async fn acquire_that_waits_for_another() {
    at_every_poll(async |scene| {
        let other = scene.bob.acquire("key").await.unwrap();
        let acquire = scene.alice.acquire("key").ttl(Ttl::Never).into_future();
        tokio::spawn(async move {
            sleep(Duration::from_millis(10)).await;
            drop(other);
        });
        dropped(async move { drop(acquire.await) })
    })
    .await;
}

#[tokio::test]
async fn hold_renewal_and_release() {
    at_every_poll(async |scene| {
        let alice = scene.alice.clone();
        dropped(async move {
            let guard = alice.acquire("key").ttl(Ttl::Never).await.unwrap();
            guard.run(sleep(Duration::from_millis(1))).await.unwrap();
            guard.renew_now().await.unwrap();
            guard.release().await.unwrap();
        })
    })
    .await;
}

#[tokio::test]
async fn transfer_to_a_waiter_that_takes_it_up() {
    at_every_poll(async |scene| {
        let guard = scene.alice.acquire("key").ttl(Ttl::Never).await.unwrap();
        let receiver = tokio::spawn(scene.bob.acquire("key").into_future());
        let to = loop {
            let waiters = scene.alice.inspect("key").await.unwrap().value.waiters.items;
            if let Some(waiter) = waiters.first() {
                break waiter.request;
            }
        };
        tokio::spawn(async move { drop(receiver.await) });
        dropped(async move { drop(guard.transfer(TransferTo::Waiter(to)).await) })
    })
    .await;
}
