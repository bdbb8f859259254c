//! Commands that are sent together, on real servers: what each is answered, and what it costs.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, ErrorKind, InspectQuery, Lease,
    LockBackend, LockInspector, LockKey, OwnerId, Release, ReleaseRequest, RenewRequest, RequestId,
    Result, Ttl,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use tokio::task::JoinSet;
use tokio::time::Instant;

fn config(url: &str) -> RedisConfig {
    RedisConfig::parse(url).unwrap()
}

fn request(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

/// The answers to requests that are sent at once, in their order.
async fn acquired(store: &RedisBackend, requests: &[AcquireRequest]) -> Vec<Result<Acquisition>> {
    let mut sent = JoinSet::new();
    for (at, request) in requests.iter().enumerate() {
        let (store, request) = (store.clone(), request.clone());
        sent.spawn(async move { (at, store.acquire(&request).await.map(|it| it.value)) });
    }
    let mut answers = sent.join_all().await;
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn lease(answer: Result<Acquisition>) -> Lease {
    match answer.unwrap() {
        Acquisition::Granted(lease) => lease,
        other => panic!("it is granted, and not answered {other:?}"),
    }
}

async fn released(store: &RedisBackend, leases: &[Lease]) -> Vec<Result<Release>> {
    let mut sent = JoinSet::new();
    for lease in leases {
        let (store, release) = (store.clone(), ReleaseRequest::new(lease.name()));
        sent.spawn(async move { store.release(&release).await.map(|it| it.value) });
    }
    sent.join_all().await
}

/// Number of scripts so far.
async fn scripts(server: &RedisServer) -> u64 {
    let mut sum = 0;
    for field in ["cmdstat_fcall", "cmdstat_evalsha"] {
        let Some(calls) = server.info(field).await else { continue };
        let calls = calls.strip_prefix("calls=").and_then(|it| it.split(',').next());
        sum += calls.unwrap().parse::<u64>().unwrap();
    }
    sum
}

#[tokio::test]
async fn sixty_four_at_once_take_few_scripts() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url())).await.unwrap();
    let requests: Vec<_> = (0..64).map(|it| request(&format!("key-{it}"))).collect();
    let before = scripts(&server).await;
    let leases: Vec<_> = acquired(&store, &requests).await.into_iter().map(lease).collect();
    let of_acquires = scripts(&server).await - before;
    for released in released(&store, &leases).await {
        assert_eq!(released.unwrap(), Release::Released);
    }
    let of_releases = scripts(&server).await - before - of_acquires;
    assert!(of_acquires <= 6 && of_releases <= 6, "{of_acquires} and {of_releases} scripts");
    let mut tokens: Vec<_> = leases.iter().map(|it| it.token).collect();
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 64, "each has a token of its own");
    let last = server.command(&["GET", "{lock:0}:token"]).await;
    assert_eq!(last, tokens[63].to_string(), "the last token is that of the last lease");
    let left = server.command(&["KEYS", "*"]).await;
    assert_eq!(left.lines().count(), 2, "the last token and the layout: {left}");
}

#[tokio::test]
async fn lone_leases_of_a_batch_expire_each() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url()).always_batched()).await.unwrap();
    let ttl = |at: usize| Duration::from_secs(at as u64 + 1).try_into().unwrap();
    let requests: Vec<_> =
        (0..8).map(|at| request(&format!("key-{at}")).with_ttl(ttl(at))).collect();
    let _ = acquired(&store, &requests).await.into_iter().map(lease).count();
    for at in 0..8 {
        let key = format!("{{lock:0}}:state:key-{at}");
        let left: i64 = server.command(&["PTTL", &key]).await.parse().unwrap();
        let most = 61_000 + at * 1000;
        assert!((most - 5000..=most).contains(&left), "key-{at} stays {left} ms");
    }
}

#[tokio::test]
async fn one_failure_touches_only_its_own() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url()).always_batched()).await.unwrap();
    let held = lease(store.acquire(&request("key-3")).await.map(|it| it.value));
    for (key, nonsense) in [("key-5", "LPUSH"), ("key-6", "SET")] {
        let state = format!("{{lock:0}}:state:{key}");
        let _ = server.command(&[nonsense, &state, "9"]).await;
    }
    let requests: Vec<_> = (0..10).map(|it| request(&format!("key-{it}"))).collect();
    let answers = acquired(&store, &requests).await;
    let mut leases = vec![held];
    for (at, answer) in answers.into_iter().enumerate() {
        match (at, answer) {
            (3, Ok(answer)) => assert!(matches!(answer, Acquisition::Held(_)), "{answer:?}"),
            (5 | 6, Err(error)) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}"),
            (_, answer) => leases.push(lease(answer)),
        }
    }
    let damaged = Lease::granted(&requests[5], leases[0].token, leases[0].granted_at);
    leases.push(damaged);
    let mut answers = released(&store, &leases).await;
    answers.retain(|answer| !matches!(answer, Ok(Release::Released)));
    let error = answers.pop().unwrap().unwrap_err();
    assert_eq!((error.kind(), answers.len()), (ErrorKind::Corrupt, 0), "{error:?}");
}

#[tokio::test]
async fn batches_without_memory_end_leases_and_grant_none() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url()).always_batched()).await.unwrap();
    let requests: Vec<_> = (0..8).map(|it| request(&format!("key-{it}"))).collect();
    let leases: Vec<_> = acquired(&store, &requests).await.into_iter().map(lease).collect();
    assert_eq!(server.command(&["CONFIG", "SET", "maxmemory", "1"]).await, "OK");
    let more: Vec<_> = (0..8).map(|it| request(&format!("more-{it}"))).collect();
    let (acquired, released) = tokio::join!(acquired(&store, &more), released(&store, &leases));
    for answer in acquired {
        let error = answer.unwrap_err();
        assert!(!error.is_unknown() && error.is_retryable(), "{error:?}");
    }
    for answer in released {
        assert_eq!(answer.unwrap(), Release::Released);
    }
}

#[tokio::test]
async fn batch_that_finds_no_last_token_grants_nothing() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url()).always_batched()).await.unwrap();
    let _ = server.command(&["DEL", "{lock:0}:token"]).await;
    let requests: Vec<_> = (0..8).map(|it| request(&format!("key-{it}"))).collect();
    let refused = acquired(&store, &requests).await.into_iter().filter(Result::is_err).count();
    assert!(refused >= 1, "who writes the token is granted nothing");
}

#[tokio::test]
async fn cancel_follows_the_acquire_that_it_is_of() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url()).always_batched()).await.unwrap();
    for _ in 0..100 {
        let asked = request("key");
        let cancel = CancelRequest::new(asked.key.clone(), asked.id);
        let (asked, cancelled) = tokio::join!(store.acquire(&asked), store.cancel(&cancel));
        let _ = lease(asked.map(|it| it.value));
        assert_eq!(cancelled.unwrap().value, Cancellation::Released);
    }
    let left = server.command(&["KEYS", "*"]).await;
    assert_eq!(left.lines().count(), 2, "the last token and the layout: {left}");
}

#[tokio::test]
async fn acquire_dropped_before_it_was_sent_is_never_sent() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url()).always_batched()).await.unwrap();
    let before = scripts(&server).await;
    for _ in 0..10 {
        let asked = request("key");
        let mut asking = Box::pin(store.acquire(&asked));
        // One look puts it into the queue, and the task that sends it does not run meanwhile.
        let looked = std::future::poll_fn(|cx| std::task::Poll::Ready(asking.as_mut().poll(cx)));
        assert!(looked.await.is_pending());
        drop(asking);
    }
    let _ = lease(store.acquire(&request("other")).await.map(|it| it.value));
    assert_eq!(scripts(&server).await - before, 1, "only the last is sent");
}

#[tokio::test]
async fn renewals_of_one_lease_take_effect_in_their_order() {
    let server = RedisServer::start().await;
    let store = RedisBackend::connect(config(&server.url())).await.unwrap();
    let ttl = |seconds| Ttl::try_from(Duration::from_secs(seconds)).unwrap();
    let held = lease(store.acquire(&request("key").with_ttl(ttl(30))).await.map(|it| it.value));
    let renewals = [60, 30].map(|seconds| RenewRequest::new(held.name(), ttl(seconds)));
    assert!(store.renew(&renewals).await.iter().all(Result::is_ok));
    let seen = store.inspect(&InspectQuery::new(held.key.clone())).await.unwrap().value;
    assert_eq!(seen.leases[0].ttl, ttl(30), "the second renewal is the last");
}

/// Median of the time that a command takes on a line of 20 ms there and back, and of the time that
/// one takes by itself.
async fn commands_on_a_slow_line(tasks: usize) -> (Duration, Duration) {
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let store = RedisBackend::connect(config(&proxy.url())).await.unwrap();
    proxy.delay(Duration::from_millis(10));
    let alone = {
        let (store, mut times) = (store.clone(), Vec::new());
        let query = InspectQuery::new(LockKey::parse("other").unwrap());
        async move {
            for _ in 0..20 {
                let began = Instant::now();
                let _ = store.inspect(&query).await.unwrap();
                times.push(began.elapsed());
            }
            times
        }
    };
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let store = store.clone();
        running.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..10 {
                let began = Instant::now();
                let asked = store.acquire(&request(&format!("key-{task}"))).await;
                let held = lease(asked.map(|it| it.value));
                let release = ReleaseRequest::new(held.name());
                assert_eq!(store.release(&release).await.unwrap().value, Release::Released);
                times.push(began.elapsed() / 2);
            }
            times
        });
    }
    let (mut alone, times) = tokio::join!(alone, running.join_all());
    let mut times = times.concat();
    times.sort_unstable();
    alone.sort_unstable();
    (times[times.len() / 2], alone[alone.len() / 2])
}

#[tokio::test]
async fn slow_line_costs_no_second_round_trip() {
    for tasks in [1, 16] {
        let (median, alone) = commands_on_a_slow_line(tasks).await;
        // Two in a row would take twice as long.
        assert!(median < alone * 3 / 2, "{tasks} tasks: {median:?} a command, {alone:?} by itself");
    }
}
