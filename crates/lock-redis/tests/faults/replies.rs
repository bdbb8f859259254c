//! Replies that are lost after the server has done what was asked: each operation says that it does
//! not know, and the same call again gives the one effect.

use std::fmt::Debug;

use lock_core::{
    Acquisition, CancelRequest, Cancellation, Error, ErrorKind, EvictRequest, LockBackend,
    LockInspector, Reason, Release, ReleaseRequest, RenewRequest, Renewal, Result, Transfer,
    TransferRequest, TransferTo, Ttl, WaitRequest, Wake,
};
use lock_redis::RedisBackend;
use lock_testkit::proxy::Proxy;
use lock_testkit::server::RedisServer;

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, ask, hasty, key, millis, owner, queue, secs, store, until_clean,
    url_of, users, within,
};

/// How the reply is lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The connection breaks.
    Cut,
    /// The connection goes silent.
    Silence,
}

impl Loss {
    /// What the error of a lost reply says.
    fn check(self, error: &Error) {
        let expected = match self {
            Self::Cut => ErrorKind::Unavailable,
            Self::Silence => ErrorKind::TimedOut,
        };
        assert_eq!((error.kind(), error.is_unknown()), (expected, true), "{self:?}: {error:?}");
        assert_eq!(error.key(), Some(&key("key")), "{self:?}");
    }
}

/// Every loss, for commands that are functions and for those that are scripts.
const CASES: [(Loss, &str); 4] = [
    (Loss::Cut, BY_FUNCTIONS),
    (Loss::Cut, BY_SCRIPTS),
    (Loss::Silence, BY_FUNCTIONS),
    (Loss::Silence, BY_SCRIPTS),
];

/// A server, a store that loses replies, and one that does not.
struct Scene {
    server: RedisServer,
    proxy: Proxy,
    store: RedisBackend,
    sound: RedisBackend,
}

/// What only the longer scripts have among their keys.
const LONG: &[u8] = b":queue:key";
const ANY: &[u8] = b":state:key";

impl Scene {
    async fn start(user: &str) -> Self {
        let server = RedisServer::start_with(users()).await;
        let proxy = Proxy::start(server.addr()).await;
        let store = hasty(&url_of(user, proxy.addr()), "lossy", millis(400)).await;
        let sound = crate::scene::store(&server.url(), "sound").await;
        Self { server, proxy, store, sound }
    }

    /// Calls twice, the first time so that the reply is lost, and returns the second answer.
    async fn twice<T: Debug>(
        &self,
        loss: Loss,
        pattern: &[u8],
        mut call: impl AsyncFnMut() -> Result<T>,
    ) -> T {
        match loss {
            Loss::Cut => self.proxy.lose_replies_and_cut(pattern),
            Loss::Silence => self.proxy.lose_replies_to(pattern),
        }
        let sent = self.proxy.requests_containing(pattern);
        let error = call().await.expect_err("the reply is lost");
        assert!(self.proxy.requests_containing(pattern) > sent, "{loss:?}: {error:?}");
        loss.check(&error);
        self.proxy.heal();
        if matches!(loss, Loss::Silence) {
            self.proxy.cut();
        }
        let healed = async {
            loop {
                match call().await {
                    Ok(answer) => return answer,
                    Err(error) => assert!(error.is_retryable(), "{loss:?}: {error:?}"),
                }
            }
        };
        within("the same call again is answered", secs(10), healed).await
    }

    /// How many hold and wait.
    async fn crowd(&self) -> (u64, u64) {
        let seen = self.sound.inspect(&key("key")).await.unwrap();
        (seen.holders, seen.waiting)
    }

    /// Ends the requests, and checks that nothing else is left.
    async fn end(self, requests: &[&lock_core::AcquireRequest]) {
        for request in requests {
            let ended = CancelRequest::new(request.key.clone(), request.request);
            let _ = self.sound.cancel(&ended).await.unwrap();
        }
        until_clean(&self.server, &["key"]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_an_acquire_that_was_granted() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let asked = queue("alice", "key");
        let answer = scene.twice(loss, ANY, async || scene.store.acquire(&asked).await).await;
        let Acquisition::Granted(lease) = answer else { panic!("{answer:?}") };
        let seen = scene.sound.inspect(&key("key")).await.unwrap();
        assert_eq!(seen.leases, [lease]);
        assert_eq!(scene.crowd().await, (1, 0));
        scene.end(&[&asked]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_an_acquire_that_was_queued() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let (held, asked) = (ask("alice", "key"), queue("bob", "key"));
        let _ = scene.sound.acquire(&held).await.unwrap();
        let answer = scene.twice(loss, LONG, async || scene.store.acquire(&asked).await).await;
        assert!(matches!(&answer, Acquisition::Queued(place) if place.position == 1), "{answer:?}");
        assert_eq!(scene.crowd().await, (1, 1));
        // Who asked again hears of the grant.
        let freed = ReleaseRequest::new(key("key"), held.request);
        assert_eq!(scene.sound.release(&freed).await.unwrap(), Release::Released);
        let awaited = WaitRequest::new(key("key"), asked.request, secs(10));
        let woken = within("it is told", secs(5), scene.store.wait(&awaited)).await.unwrap();
        match woken {
            Wake::Granted(_) => {}
            // Or it asks, which tells as well.
            _ => assert!(crate::scene::token_of(&scene.store, &asked).await.is_some()),
        }
        scene.end(&[&asked]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_wait() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let (held, asked) = (ask("alice", "key"), queue("bob", "key"));
        let _ = scene.sound.acquire(&held).await.unwrap();
        let _ = scene.sound.acquire(&asked).await.unwrap();
        // A process that does not know the request has to ask the server.
        let awaited = WaitRequest::new(key("key"), asked.request, secs(1));
        let call = async || scene.store.wait(&awaited).await;
        let woken = scene.twice(loss, LONG, call).await;
        assert_eq!(woken, Wake::AskAgain);
        assert_eq!(scene.crowd().await, (1, 1));
        scene.end(&[&asked, &held]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_renewal() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let held = ask("alice", "key");
        let Acquisition::Granted(lease) = scene.store.acquire(&held).await.unwrap() else {
            panic!()
        };
        let renewals = [RenewRequest::new(key("key"), held.request, Ttl::default())];
        let call = async || scene.store.renew(&renewals).await.remove(0);
        let answer = scene.twice(loss, ANY, call).await;
        let Renewal::Renewed(renewed) = answer else { panic!("{answer:?}") };
        assert_eq!(renewed.token, lease.token);
        assert!(renewed.expires_at > lease.expires_at);
        assert_eq!(scene.crowd().await, (1, 0));
        scene.end(&[&held]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_release() {
    for (loss, user) in CASES {
        for is_awaited in [false, true] {
            let scene = Scene::start(user).await;
            let (held, next) = (ask("alice", "key"), queue("bob", "key"));
            let _ = scene.store.acquire(&held).await.unwrap();
            if is_awaited {
                let _ = scene.sound.acquire(&next).await.unwrap();
            }
            let freed = ReleaseRequest::new(key("key"), held.request);
            let pattern = if is_awaited { LONG } else { ANY };
            let call = async || scene.store.release(&freed).await;
            assert_eq!(scene.twice(loss, pattern, call).await, Release::NotHeld);
            assert_eq!(scene.crowd().await, (u64::from(is_awaited), 0));
            scene.end(&[&next]).await;
        }
    }
}

#[tokio::test]
async fn lost_reply_to_a_cancel() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let (held, next) = (ask("alice", "key"), queue("bob", "key"));
        let _ = scene.store.acquire(&held).await.unwrap();
        let _ = scene.store.acquire(&next).await.unwrap();
        for ended in [next.request, held.request] {
            let ended = CancelRequest::new(key("key"), ended);
            let call = async || scene.store.cancel(&ended).await;
            assert_eq!(scene.twice(loss, ANY, call).await, Cancellation::Absent);
        }
        assert_eq!(scene.crowd().await, (0, 0));
        scene.end(&[]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_transfer() {
    for (loss, user) in CASES {
        for is_waiter in [false, true] {
            let scene = Scene::start(user).await;
            let (held, next, third) =
                (ask("alice", "key"), queue("bob", "key"), queue("carol", "key"));
            let _ = scene.store.acquire(&held).await.unwrap();
            if is_waiter {
                let _ = scene.sound.acquire(&next).await.unwrap();
            }
            let _ = scene.sound.acquire(&third).await.unwrap();
            let to = match is_waiter {
                true => TransferTo::Waiter(next.request),
                false => TransferTo::Owner {
                    owner: owner("bob"),
                    request: next.request,
                    metadata: lock_core::Metadata::default(),
                },
            };
            let given = TransferRequest::new(key("key"), held.request, to);
            let call = async || scene.store.transfer(&given).await;
            let answer = scene.twice(loss, ANY, call).await;
            let Transfer::Transferred(lease) = answer else { panic!("{answer:?}") };
            assert_eq!(lease.request, next.request);
            let seen = scene.sound.inspect(&key("key")).await.unwrap();
            assert_eq!(seen.leases, [lease]);
            assert_eq!(seen.waiting, 1);
            scene.end(&[&third, &next]).await;
        }
    }
}

#[tokio::test]
async fn lost_reply_to_an_eviction() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let (held, next) = (ask("alice", "key"), queue("bob", "key"));
        let _ = scene.sound.acquire(&held).await.unwrap();
        let _ = scene.sound.acquire(&next).await.unwrap();
        let stuck = Reason::parse("stuck").unwrap();
        let evicted = EvictRequest::new(key("key"), owner("carol"), stuck).only(held.request);
        let call = async || scene.store.evict(&evicted).await;
        let again = scene.twice(loss, ANY, call).await;
        assert_eq!(again.leases, [], "it spares who came after");
        let other = store(&scene.server.url(), "other").await;
        let seen = other.inspect(&key("key")).await.unwrap();
        assert_eq!(seen.leases.iter().map(|it| it.request).collect::<Vec<_>>(), [next.request]);
        scene.end(&[&next]).await;
    }
}
