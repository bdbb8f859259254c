//! The commands that the server counts, exactly: a change that costs one more shows here.
//!
//! `script` is a call of a function or a script by the client, everything else what those call.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, HearRequest, Heard, KeepAlive, Lease, LeaseName, LockBackend,
    LockKey, MailboxId, Mode, Notice, NoticeStream, OwnerId, Release, ReleaseRequest, RenewRequest,
    Renewal, RequestId,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::Skipped;
use lock_testkit_redis::server::RedisServer;
use tokio::task::JoinSet;

const MANY: usize = 10_000;
/// Number of requests on their way at once while a crowd gathers.
const AT_ONCE: usize = 256;
/// Most commands for a round of renewals or hearings of `MANY`.
const MOST: u64 = 100;
/// Commands sent regardless of locks.
const APART: [&str; 8] =
    ["client", "command", "config", "function", "hello", "info", "ping", "subscribe"];

/// Calls by the name of the command.
type Calls = BTreeMap<String, u64>;

struct Scene {
    server: RedisServer,
    store: RedisBackend,
    mailbox: MailboxId,
    notices: NoticeStream,
}

/// A server that has functions, of whose commands the counts are; a script has one more.
async fn server(test: &str) -> Option<RedisServer> {
    if !RedisServer::has_functions() {
        Skipped::because("the server has no functions").tell(test);
        return None;
    }
    Some(RedisServer::start().await)
}

impl Scene {
    async fn start(server: RedisServer) -> Self {
        let config = RedisConfig::parse(&server.url()).unwrap();
        let store = RedisBackend::connect(config.with_timeout(Duration::from_secs(30)));
        let (store, mailbox) = (store.await.expect("the server is up"), MailboxId::random());
        let notices = store.listen(mailbox).await.unwrap();
        Self { server, store, mailbox, notices }
    }

    fn request(&self, key: &str) -> AcquireRequest {
        let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
        AcquireRequest::new(RequestId::random(), key, owner)
            .queueing(KeepAlive::parse(KeepAlive::MAX).unwrap())
            .with_mailbox(self.mailbox)
    }

    async fn granted(&self, request: &AcquireRequest) -> Lease {
        granted(&self.store, request).await
    }

    async fn released(&self, lease: LeaseName) {
        let release = ReleaseRequest::new(lease);
        assert_eq!(self.store.release(&release).await.unwrap().value, Release::Released);
    }

    /// Releases the lease, and returns the next one as its notice has it.
    async fn handed_on(&mut self, lease: LeaseName) -> LeaseName {
        self.released(lease).await;
        match poll_fn(|cx| self.notices.as_mut().poll_next(cx)).await {
            Some(Notice::Granted(grant)) => LeaseName::new(grant.key, grant.request, grant.token),
            other => panic!("a grant is told, and not {other:?}"),
        }
    }

    async fn queued(&self, request: &AcquireRequest) {
        let answer = self.store.acquire(request).await.unwrap().value;
        assert!(matches!(answer, Acquisition::Queued(_)), "it is queued, not answered {answer:?}");
    }

    async fn calls(&self) -> Calls {
        let stats = self.server.command(&["INFO", "commandstats"]).await;
        let mut calls = Calls::new();
        for line in stats.lines().filter_map(|line| line.trim().strip_prefix("cmdstat_")) {
            let (name, fields) = line.split_once(':').unwrap();
            let count = fields.strip_prefix("calls=").and_then(|text| text.split(',').next());
            let name = match name.split('|').next().unwrap() {
                "fcall" | "evalsha" => "script",
                family if APART.contains(&family) => continue,
                _ => name,
            };
            *calls.entry(name.to_owned()).or_default() += count.unwrap().parse::<u64>().unwrap();
        }
        calls
    }

    /// The calls since `before`, a line for each command.
    async fn since(&self, before: &Calls) -> String {
        let calls = self.calls().await.into_iter().filter_map(|(name, calls)| {
            let more = calls - before.get(&name).copied().unwrap_or(0);
            (more > 0).then(|| format!("{name} {more}"))
        });
        calls.collect::<Vec<_>>().join("\n")
    }
}

async fn granted(store: &RedisBackend, request: &AcquireRequest) -> Lease {
    match store.acquire(request).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("it is granted, and not answered {other:?}"),
    }
}

/// The answers to as many acquires as there are requests.
async fn acquired(store: &RedisBackend, requests: &[AcquireRequest]) -> Vec<Acquisition> {
    let (mut running, mut answers) = (JoinSet::new(), Vec::new());
    for request in requests {
        if running.len() == AT_ONCE {
            answers.extend(running.join_next().await);
        }
        let (store, request) = (store.clone(), request.clone());
        running.spawn(async move { store.acquire(&request).await.unwrap().value });
    }
    while let Some(answer) = running.join_next().await {
        answers.push(answer);
    }
    answers.into_iter().map(Result::unwrap).collect()
}

fn scripts(calls: &str) -> u64 {
    calls.lines().find_map(|line| line.strip_prefix("script ")).unwrap().parse().unwrap()
}

fn assert_few_scripts(calls: &str) {
    let scripts = scripts(calls);
    assert!(scripts <= MOST, "{scripts} commands are more than {MOST}");
}

fn assert_scripts(calls: &str, expected: u64, of: &str) {
    assert_eq!(scripts(calls), expected, "scripts of {of}: {calls}");
}

#[tokio::test]
async fn acquire_and_release_of_a_free_key() {
    let Some(server) = server("counts::acquire_and_release_of_a_free_key").await else { return };
    let scene = Scene::start(server).await;
    let first = scene.granted(&scene.request("key")).await;
    scene.released(first.name()).await;

    let before = scene.calls().await;
    let lease = scene.granted(&scene.request("key")).await;
    insta::assert_snapshot!(scene.since(&before).await, @"
    getset 1
    script 1
    set 1
    time 1
    ");

    let before = scene.calls().await;
    scene.released(lease.name()).await;
    insta::assert_snapshot!(scene.since(&before).await, @"
    del 1
    get 1
    script 1
    time 1
    ");
}

#[tokio::test]
async fn shared_modes_pay_one_script_once_the_key_is_known() {
    let Some(server) = server("counts::shared_modes_pay_one_script_once_the_key_is_known").await
    else {
        return;
    };
    let scene = Scene::start(server).await;
    let reader = || scene.request("key").with_mode(Mode::READER);
    let first = scene.granted(&reader()).await;
    let before = scene.calls().await;
    let mut held = vec![scene.granted(&reader()).await];
    assert_scripts(&scene.since(&before).await, 2, "the first to find somebody");
    let before = scene.calls().await;
    for _ in 0..10 {
        held.push(scene.granted(&reader()).await);
    }
    for lease in held {
        scene.released(lease.name()).await;
    }
    assert_scripts(&scene.since(&before).await, 10 + 11, "all others");

    // A client that finds the key free again uses the short commands from then on.
    scene.released(first.name()).await;
    let only = scene.granted(&reader()).await;
    scene.released(only.name()).await;
    let before = scene.calls().await;
    scene.granted(&reader()).await;
    let calls = scene.since(&before).await;
    assert_scripts(&calls, 1, "a free key");
    assert!(!calls.contains("zadd"), "the short way: {calls}");
}

#[tokio::test]
async fn hand_off_to_a_waiter() {
    let Some(server) = server("counts::hand_off_to_a_waiter").await else { return };
    let mut scene = Scene::start(server).await;
    let held = scene.granted(&scene.request("key")).await.name();
    scene.queued(&scene.request("key")).await;
    let held = scene.handed_on(held).await;
    scene.queued(&scene.request("key")).await;

    let before = scene.calls().await;
    let _ = scene.handed_on(held).await;
    insta::assert_snapshot!(scene.since(&before).await, @"
    get 1
    getset 1
    hdel 2
    hget 1
    publish 1
    script 1
    set 1
    time 1
    zrange 1
    zrem 3
    ");

    let before = scene.calls().await;
    scene.queued(&scene.request("key")).await;
    insta::assert_snapshot!(scene.since(&before).await, @"
    get 1
    hset 1
    script 1
    set 1
    time 1
    zadd 3
    zcard 1
    zrange 1
    zscore 1
    ");
}

#[tokio::test]
async fn hand_off_in_a_queue_of_ten_thousand_costs_no_more() {
    let Some(server) = server("counts::hand_off_in_a_queue_of_ten_thousand_costs_no_more").await
    else {
        return;
    };
    let mut scene = Scene::start(server).await;
    let held = scene.granted(&scene.request("key")).await.name();
    let waiters: Vec<_> = (0..MANY).map(|_| scene.request("key")).collect();
    acquired(&scene.store, &waiters).await;
    let held = scene.handed_on(held).await;

    let before = scene.calls().await;
    let _ = scene.handed_on(held).await;
    insta::assert_snapshot!(scene.since(&before).await, @"
    get 1
    getset 1
    hdel 1
    hget 1
    publish 1
    script 1
    set 1
    time 1
    zrange 1
    zrem 3
    ");
}

#[tokio::test]
async fn hearing_of_ten_thousand_waiters() {
    let Some(server) = server("counts::hearing_of_ten_thousand_waiters").await else { return };
    let scene = Scene::start(server).await;
    scene.granted(&scene.request("key")).await;
    let waiters: Vec<_> = (0..MANY).map(|_| scene.request("key")).collect();
    acquired(&scene.store, &waiters).await;

    let hear = |waiter: &AcquireRequest| {
        HearRequest::new(waiter.key.clone(), waiter.id).with_mailbox(scene.mailbox)
    };
    let hear: Vec<_> = waiters.iter().map(hear).collect();
    let before = scene.calls().await;
    for heard in scene.store.hear(&hear).await {
        let heard = heard.unwrap().value;
        assert!(matches!(heard, Heard::Queued(_)), "it waits, and is not {heard:?}");
    }
    let calls = scene.since(&before).await;
    assert_few_scripts(&calls);
    insta::assert_snapshot!(calls, @"
    get 79
    hget 10000
    script 79
    time 79
    zadd 10000
    zcard 10000
    zrange 10000
    zrank 10000
    zscore 10000
    ");
}

#[tokio::test]
async fn renewal_of_ten_thousand_leases() {
    let Some(server) = server("counts::renewal_of_ten_thousand_leases").await else { return };
    let scene = Scene::start(server).await;
    let requests: Vec<_> = (0..MANY).map(|key| scene.request(&format!("key-{key}"))).collect();
    let renew = |answer| match answer {
        Acquisition::Granted(lease) => RenewRequest::new(lease.name(), lease.ttl),
        other => panic!("it is granted, and not answered {other:?}"),
    };
    let answers = acquired(&scene.store, &requests).await;
    let renewals: Vec<_> = answers.into_iter().map(renew).collect();

    let before = scene.calls().await;
    for renewal in scene.store.renew(&renewals).await {
        let renewal = renewal.unwrap().value;
        assert!(matches!(renewal, Renewal::Renewed { .. }), "it is renewed, and not {renewal:?}");
    }
    let calls = scene.since(&before).await;
    assert_few_scripts(&calls);
    insta::assert_snapshot!(calls, @"
    get 10000
    script 79
    set 10000
    time 79
    ");
}
