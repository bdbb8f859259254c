//! Pages of a crowded key: each is short enough for the server, and together they are all of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, InspectQuery, Inspection, KeepAlive, LockBackend, LockInspector,
    LockKey, ManualClock, Mode, OwnerId, RequestId, Timestamp, Ttl,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::task::JoinSet;

/// The number of waiters, more than any page shows.
const CROWD: usize = 2500;

fn request(number: usize) -> AcquireRequest {
    let (key, owner) = (LockKey::parse("key").unwrap(), format!("owner-{number}"));
    AcquireRequest::new(RequestId::random(), key, OwnerId::parse(&owner).unwrap())
}

/// A server that keeps the time of every command.
async fn server() -> (RedisServer, RedisConfig) {
    let config = ServerConfig::new().with("slowlog-log-slower-than", "0");
    let server = RedisServer::start_with(config).await;
    let config = RedisConfig::parse(&server.url()).unwrap();
    (server, config)
}

/// Sends all at once.
async fn acquire(
    store: &RedisBackend,
    requests: impl Iterator<Item = AcquireRequest>,
) -> HashSet<RequestId> {
    let (mut sent, mut names) = (JoinSet::new(), HashSet::new());
    for request in requests {
        names.insert(request.id);
        let store = store.clone();
        sent.spawn(async move { store.acquire(&request).await.unwrap().value });
    }
    while let Some(acquired) = sent.join_next().await {
        let acquired = acquired.unwrap();
        assert!(matches!(acquired, Acquisition::Granted(_) | Acquisition::Queued(_)));
    }
    names
}

/// All pages of waiters, with this page size.
#[derive(Debug, Default)]
struct Seen {
    leases: usize,
    waiters: Vec<RequestId>,
    /// The number of waiters on the longest page.
    longest: usize,
    pages: usize,
    /// The time that the server took for each, in microseconds.
    times: Vec<u64>,
}

async fn look(server: &RedisServer, store: &RedisBackend, limit: u32) -> Seen {
    let limit = NonZeroU32::new(limit).unwrap();
    let mut query = InspectQuery::new(LockKey::parse("key").unwrap()).with_limit(limit);
    let mut seen = Seen::default();
    loop {
        server.command(&["SLOWLOG", "RESET"]).await;
        let Inspection { leases, waiters, .. } = store.inspect(&query).await.unwrap().value;
        seen.times.push(duration_of_script(server).await);
        seen.leases = leases.len();
        seen.longest = seen.longest.max(waiters.items.len());
        seen.waiters.extend(waiters.items.iter().map(|it| it.request));
        seen.pages += 1;
        assert!(seen.pages <= CROWD, "the pages lead on");
        match waiters.next {
            Some(next) => query = query.after(next),
            None => return seen,
        }
    }
}

/// The time of the last command of ours.
async fn duration_of_script(server: &RedisServer) -> u64 {
    let log = server.command(&["SLOWLOG", "GET", "100"]).await;
    let lines: Vec<_> = log.lines().collect();
    let at = lines.iter().position(|line| ["FCALL", "EVALSHA"].contains(line)).unwrap();
    lines[at - 1].parse().unwrap()
}

#[tokio::test]
async fn pages_of_a_crowd_are_short_and_show_everybody_once() {
    let (server, config) = server().await;
    let store = RedisBackend::connect(config).await.expect("the server is up");
    acquire(&store, std::iter::once(request(0))).await;
    let waiting = (1..=CROWD).map(|number| request(number).queueing(KeepAlive::default()));
    let requests = acquire(&store, waiting).await;
    let in_short_pages = look(&server, &store, 100).await;
    assert_eq!((in_short_pages.longest, in_short_pages.pages), (100, CROWD / 100));
    let seen = look(&server, &store, InspectQuery::MAX_LIMIT).await;
    println!("{} pages in {:?} us", seen.pages, seen.times);
    assert_eq!(seen.waiters, in_short_pages.waiters);
    assert_eq!(seen.waiters.len(), CROWD);
    assert_eq!(seen.waiters.into_iter().collect::<HashSet<_>>(), requests);
    assert!((100..=200).contains(&seen.longest), "{} on one page", seen.longest);
}

#[tokio::test]
async fn pages_are_shorter_the_more_there_is_to_settle() {
    let (server, config) = server().await;
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)));
    let connected = RedisBackend::connect_on(config, Arc::clone(&clock)).await;
    let store = connected.expect("the server is up");
    let (short, long) = (Duration::from_secs(5), Duration::from_secs(500));
    let reader =
        |number, ttl| request(number).with_mode(Mode::READER).with_ttl(Ttl::try_from(ttl).unwrap());
    let waiting =
        |request: AcquireRequest, span| request.queueing(KeepAlive::try_from(span).unwrap());
    acquire(&store, (0..300).map(|number| reader(number, short))).await;
    acquire(&store, (0..1000).map(|number| reader(number, long))).await;
    acquire(&store, (0..64).map(|number| waiting(request(number), short))).await;
    acquire(&store, (0..600).map(|number| waiting(reader(number, long), short))).await;
    let living = (0..CROWD).map(|number| waiting(reader(number, long), long));
    let living = acquire(&store, living).await;
    clock.advance(short * 2);
    let seen = look(&server, &store, InspectQuery::MAX_LIMIT).await;
    println!("{} pages in {:?} us", seen.pages, seen.times);
    // Nobody is granted before the last of the dead is dropped, and then so many by each page.
    assert!(seen.longest <= 200, "{} on one page", seen.longest);
    assert_eq!(seen.leases, InspectQuery::MAX_LIMIT as usize);
    let shown: HashSet<_> = seen.waiters.iter().copied().collect();
    assert_eq!(shown.len(), seen.waiters.len(), "each is shown once");
    assert!(shown.is_subset(&living), "the dead are not shown");
    assert!(shown.len() > CROWD / 8, "only {} are shown", shown.len());
}
