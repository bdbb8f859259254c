//! Replies that are lost after the server has executed the command: each operation reports that its
//! outcome is unknown, and the same call again has one effect.

use std::error::Error as _;
use std::fmt::Debug;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, End, Error, ErrorKind, EvictRequest,
    HearRequest, Heard, InspectQuery, Inspection, LockBackend, LockInspector, Reason, Release,
    ReleaseRequest, RenewRequest, Renewal, Result, Timed, Transfer, TransferRequest, TransferTo,
    Ttl,
};
use lock_redis::RedisBackend;
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;

use crate::scene::{
    BY_FUNCTIONS, BY_SCRIPTS, ask, hasty, key, millis, owner, queue, secs, until_clean, url_of,
    users, within,
};

/// Ways to lose a reply.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The connection breaks.
    Cut,
    /// The connection goes silent.
    Silence,
}

impl Loss {
    /// Checks the error of a lost reply.
    fn check(self, error: &Error, scene: &Scene) {
        let expected = (ErrorKind::Unavailable, true);
        assert_eq!((error.kind(), error.is_unknown()), expected, "{self:?}: {error:?}");
        assert_eq!(error.key(), Some(&key("key")), "{self:?}");
        let server = scene.proxy.addr().to_string();
        assert_eq!(error.server(), Some(server.as_str()), "{self:?}");
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let is_silence = cause.starts_with("no answer within");
        assert_eq!(is_silence, matches!(self, Self::Silence), "{self:?}: {error:?}");
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

/// Key that only the longer scripts take.
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
        mut call: impl AsyncFnMut() -> Result<Timed<T>>,
    ) -> T {
        match loss {
            Loss::Cut => self.proxy.lose_replies_and_cut(pattern),
            Loss::Silence => self.proxy.lose_replies_to(pattern),
        }
        let sent = self.proxy.requests_containing(pattern);
        let error = call().await.expect_err("the reply is lost");
        assert!(self.proxy.requests_containing(pattern) > sent, "{loss:?}: {error:?}");
        loss.check(&error, self);
        self.proxy.heal();
        if matches!(loss, Loss::Silence) {
            self.proxy.cut();
        }
        let healed = async {
            loop {
                match call().await {
                    Ok(answer) => return answer.value,
                    Err(error) => assert!(error.is_retryable(), "{loss:?}: {error:?}"),
                }
            }
        };
        within("the same call again is answered", secs(10), healed).await
    }

    /// Inspects the key.
    async fn seen(&self) -> Inspection {
        self.sound.inspect(&InspectQuery::new(key("key"))).await.unwrap().value
    }

    /// Returns the numbers of holders and waiters.
    async fn crowd(&self) -> (u64, u64) {
        let seen = self.seen().await;
        (seen.holders, seen.waiting)
    }

    /// Ends the requests, and checks that nothing else is left.
    async fn end(self, requests: &[&AcquireRequest]) {
        for request in requests {
            let ended = CancelRequest::new(request.key.clone(), request.id);
            let _ = self.sound.cancel(&ended).await.unwrap();
        }
        until_clean(&self.server, &["key"]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_an_acquire_that_was_granted() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let request = queue("alice", "key");
        let answer = scene.twice(loss, ANY, async || scene.store.acquire(&request).await).await;
        let Acquisition::Granted(lease) = answer else { panic!("{answer:?}") };
        assert_eq!(scene.seen().await.leases, [lease]);
        assert_eq!(scene.crowd().await, (1, 0));
        scene.end(&[&request]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_an_acquire_that_was_queued() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let (held, request) = (ask("alice", "key"), queue("bob", "key"));
        let lease = granted(&scene.sound, &held).await;
        let answer = scene.twice(loss, LONG, async || scene.store.acquire(&request).await).await;
        assert!(matches!(&answer, Acquisition::Queued(it) if it.position == 1), "{answer:?}");
        assert_eq!(scene.crowd().await, (1, 1));
        // It is granted once.
        let released = scene.sound.release(&ReleaseRequest::new(lease.name())).await.unwrap();
        assert_eq!(released.value, Release::Released);
        assert_eq!(scene.seen().await.leases[0].request, request.id);
        scene.end(&[&request]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_hearing() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let (held, request) = (ask("alice", "key"), queue("bob", "key"));
        let lease = granted(&scene.sound, &held).await;
        let _ = scene.sound.acquire(&request).await.unwrap();
        let hear = [HearRequest::new(key("key"), request.id)];
        let call = async || scene.store.hear(&hear).await.remove(0);
        let heard = scene.twice(loss, LONG, call).await;
        assert!(matches!(&heard, Heard::Queued(it) if it.position == 1), "{heard:?}");
        assert_eq!(scene.crowd().await, (1, 1));
        // The same for what it is granted, which is claimed.
        let _ = scene.sound.release(&ReleaseRequest::new(lease.name())).await.unwrap();
        let heard = scene.twice(loss, LONG, call).await;
        let Heard::Granted(lease) = heard else { panic!("{heard:?}") };
        assert_eq!(scene.seen().await.leases, [lease]);
        scene.end(&[&request]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_renewal() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let held = ask("alice", "key");
        let lease = granted(&scene.store, &held).await;
        let renewals = [RenewRequest::new(lease.name(), Ttl::default())];
        let call = async || scene.store.renew(&renewals).await.remove(0);
        let answer = scene.twice(loss, ANY, call).await;
        let Renewal::Renewed { expires_at } = answer else { panic!("{answer:?}") };
        assert!(expires_at > lease.expires_at);
        assert_eq!(scene.seen().await.leases, [lease.with_expires_at(expires_at)]);
        scene.end(&[&held]).await;
    }
}

#[tokio::test]
async fn lost_reply_to_a_release() {
    for (loss, user) in CASES {
        for is_awaited in [false, true] {
            let scene = Scene::start(user).await;
            let (held, next) = (ask("alice", "key"), queue("bob", "key"));
            let lease = granted(&scene.store, &held).await;
            if is_awaited {
                let _ = scene.sound.acquire(&next).await.unwrap();
            }
            let freed = ReleaseRequest::new(lease.name());
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
        for ended in [next.id, held.id] {
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
            let lease = granted(&scene.store, &held).await;
            if is_waiter {
                let _ = scene.sound.acquire(&next).await.unwrap();
            }
            let _ = scene.sound.acquire(&third).await.unwrap();
            let to = match is_waiter {
                true => TransferTo::Waiter(next.id),
                false => TransferTo::Owner {
                    owner: owner("bob"),
                    request: next.id,
                    metadata: lock_core::Metadata::default(),
                },
            };
            let given = TransferRequest::new(lease.name(), owner("alice"), to);
            let call = async || scene.store.transfer(&given).await;
            let answer = scene.twice(loss, ANY, call).await;
            let Transfer::Transferred(lease) = answer else { panic!("{answer:?}") };
            assert_eq!(lease.request, next.id);
            let seen = scene.seen().await;
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
        let lease = granted(&scene.sound, &held).await;
        let _ = scene.sound.acquire(&next).await.unwrap();
        let stuck = Reason::parse("stuck").unwrap();
        let evicted = EvictRequest::lease(lease.name(), owner("carol"), stuck.clone());
        let call = async || scene.store.evict(&evicted).await;
        let again = scene.twice(loss, ANY, call).await;
        assert!(again.is_empty(), "it spares who came after: {again:?}");
        let requests = scene.seen().await.leases.into_iter().map(|it| it.request);
        assert_eq!(requests.collect::<Vec<_>>(), [next.id]);
        // The holder learns how its lease ended all the same.
        let renewal = RenewRequest::new(lease.name(), Ttl::default());
        let renewed = scene.sound.renew(&[renewal]).await.remove(0).unwrap();
        let end = End::Evicted { by: owner("carol"), reason: stuck };
        assert_eq!(renewed.value, Renewal::Ended(end));
        let ended = CancelRequest::new(key("key"), next.id);
        let _ = scene.sound.cancel(&ended).await.unwrap();
        assert_eq!(scene.crowd().await, (0, 0));
    }
}

#[tokio::test]
async fn late_acquire_of_a_lost_reply_takes_no_lock() {
    for (loss, user) in CASES {
        let scene = Scene::start(user).await;
        let request = queue("alice", "key");
        let ended = CancelRequest::new(key("key"), request.id).with_answer_outstanding(true);
        let call = async || scene.store.cancel(&ended).await;
        assert_eq!(scene.twice(loss, LONG, call).await, Cancellation::Absent);
        let late = scene.sound.acquire(&request).await.unwrap();
        assert_eq!(late.value, Acquisition::Ended(End::Cancelled));
        assert_eq!(scene.crowd().await, (0, 0));
    }
}

/// The lease that the request is granted.
async fn granted(store: &RedisBackend, request: &AcquireRequest) -> lock_core::Lease {
    match store.acquire(request).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("{request:?} is granted, and not answered {other:?}"),
    }
}
