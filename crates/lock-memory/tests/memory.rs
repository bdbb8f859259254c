//! Resource use of the memory backend: no leaks, tokens that outlive keys, and bounded inspections.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

use std::future::poll_fn;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Change, Clock, Cursor, ErrorKind, EventCursor,
    EventFilter, EventStream, KeepAlive, Lease, ListQuery, LockBackend, LockInspector, LockKey,
    ManualClock, Metadata, Mode, OwnerId, Release, ReleaseRequest, RenewRequest, RequestId,
    SessionId, Timestamp, Ttl, Waiter, WaitsQuery, Watched,
};
use lock_memory::MemoryBackend;

/// The number of shards of a store.
const SHARDS: usize = 1024;
/// The number of events that a store keeps.
const EVENTS: usize = 1024;

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_micros(1_800_000_000_000_000)))
}

fn ask(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("owner").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

fn ttl(span: Duration) -> Ttl {
    Ttl::parse(span).unwrap()
}

async fn granted(store: &MemoryBackend, request: &AcquireRequest) -> Lease {
    match store.acquire(request).await.unwrap().value {
        Acquisition::Granted(lease) => lease,
        other => panic!("expected a grant, got {other:?}"),
    }
}

async fn queued(store: &MemoryBackend, request: &AcquireRequest) {
    let answer = store.acquire(request).await.unwrap().value;
    assert!(matches!(answer, Acquisition::Queued(_)), "expected a place, got {answer:?}");
}

async fn release(store: &MemoryBackend, lease: &Lease) {
    let request = ReleaseRequest::new(lease.name());
    assert_eq!(store.release(&request).await.unwrap().value, Release::Released);
}

/// The waiters of all pages, and the number of pages.
async fn waits(store: &MemoryBackend, mut query: WaitsQuery) -> (Vec<Waiter>, usize) {
    let (mut waiters, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.waits_of(&query).await.unwrap().value;
        assert!(page.items.len() <= query.limit.get() as usize);
        waiters.extend(page.items);
        pages += 1;
        let Some(next) = page.next else { return (waiters, pages) };
        query = query.after(next);
    }
}

#[tokio::test]
async fn a_million_keys_leave_nothing_behind_but_higher_tokens() {
    // The clock stands still, so that tokens can only increase by being remembered.
    let store = MemoryBackend::with_clock(clock());
    let first = granted(&store, &ask("key-0")).await;
    release(&store, &first).await;
    for number in 0..1_000_000 {
        let lease = granted(&store, &ask(&format!("key-{number}"))).await;
        release(&store, &lease).await;
    }
    assert_eq!(store.keys_in_memory(), 0);
    assert!(granted(&store, &ask("key-0")).await.token > first.token);
}

#[tokio::test]
async fn waiters_leave_nothing_behind() {
    let store = MemoryBackend::with_clock(clock());
    let held = granted(&store, &ask("key")).await;
    let waiting: Vec<_> = (0..1000).map(|_| ask("key").queueing(KeepAlive::default())).collect();
    for request in &waiting {
        queued(&store, request).await;
    }
    let of_owner = WaitsQuery::new(held.owner.clone());
    assert_eq!(waits(&store, of_owner.clone()).await.0.len(), 1000);
    for request in &waiting {
        let request = CancelRequest::new(request.key.clone(), request.id);
        let _ = store.cancel(&request).await.unwrap();
    }
    release(&store, &held).await;
    assert_eq!(store.keys_in_memory(), 0);
    assert!(waits(&store, of_owner).await.0.is_empty());
}

#[tokio::test]
async fn forgotten_keys_are_swept_without_being_asked_for() {
    let clock = clock();
    let store = MemoryBackend::with_clock(Arc::clone(&clock));
    let mut most = 0;
    for number in 0..200_000 {
        let request = ask(&format!("key-{number}")).with_ttl(ttl(Duration::from_secs(1)));
        let _ = granted(&store, &request).await;
        clock.advance(Duration::from_millis(1));
        most = most.max(store.keys_in_memory());
    }
    // A thousand are alive at any time.
    assert!(most < 20_000, "{most} keys in memory");
}

fn heavy() -> Metadata {
    Metadata::parse([("plan", "x".repeat(64 * 1024 - 4))]).unwrap()
}

#[tokio::test]
async fn dead_keys_keep_no_metadata() {
    let clock = clock();
    let store = MemoryBackend::with_clock(Arc::clone(&clock));
    let moment = Duration::from_millis(1);
    for number in 0..1000 {
        let request = ask(&format!("dead-{number}")).with_ttl(ttl(moment));
        let _ = granted(&store, &request.with_metadata(heavy())).await;
    }
    assert_eq!(store.keys_in_memory(), 1000);
    clock.advance(moment);
    for number in 0..40 * SHARDS {
        let lease = granted(&store, &ask(&format!("living-{number}"))).await;
        release(&store, &lease).await;
    }
    let left = store.keys_in_memory();
    assert!(left < 50, "{left} of 1,000 dead keys are in memory");
}

#[tokio::test]
async fn metadata_alone_makes_the_store_sweep() {
    let clock = clock();
    let store = MemoryBackend::with_clock(Arc::clone(&clock));
    let (moment, metadata, mut most) = (Duration::from_millis(1), heavy(), 0);
    for number in 0..10_000 {
        let request = ask(&format!("key-{number}")).with_ttl(ttl(moment));
        let _ = granted(&store, &request.with_metadata(metadata.clone())).await;
        clock.advance(moment);
        most = most.max(store.keys_in_memory());
    }
    // Each shard keeps the metadata of two leases at the most until it looks for the dead.
    assert!(most <= 2 * SHARDS, "{most} keys with 64 KiB in memory");
}

/// A clock that counts how often it is read, which a store does once for each key with a queue that
/// it looks at, and once for each shard.
#[derive(Debug, Default)]
struct CountingClock(AtomicUsize);

impl Clock for CountingClock {
    fn now(&self) -> Timestamp {
        self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_micros(1_800_000_000_000_000)
    }
}

#[tokio::test]
async fn a_page_looks_at_few_keys_and_a_listing_at_each_key_a_few_times() {
    const KEYS: usize = 100_000;
    let clock = Arc::new(CountingClock::default());
    let store = MemoryBackend::with_clock(Arc::clone(&clock));
    for number in 0..KEYS {
        let key = format!("key-{number}");
        let _ = granted(&store, &ask(&key)).await;
        let waiter = ask(&key).queueing(KeepAlive::parse(KeepAlive::MAX).unwrap());
        let _ = store.acquire(&waiter).await.unwrap();
    }
    for (limit, looks_a_key) in [(1000, 1), (100, 3)] {
        let mut query = ListQuery::all().with_limit(NonZeroU32::new(limit).unwrap());
        let (mut listed, mut pages) = (0, 0);
        let before = clock.0.load(Ordering::Relaxed);
        loop {
            let at = clock.0.load(Ordering::Relaxed);
            let page = store.list(&query).await.unwrap().value;
            let looks = clock.0.load(Ordering::Relaxed) - at;
            assert!(looks < 1000, "a page looks at {looks} keys");
            listed += page.items.len();
            pages += 1;
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        let looks = clock.0.load(Ordering::Relaxed) - before;
        assert_eq!(listed, KEYS);
        assert!(pages <= SHARDS + KEYS / limit as usize, "{pages} pages");
        assert!(
            looks <= looks_a_key * KEYS + SHARDS + 3 * pages,
            "{looks} looks on pages of {limit}"
        );
    }
}

/// A page of a key that very many share looks at a bounded number of its leases, and goes on where
/// the last ended, whatever was renewed and released meanwhile.
#[tokio::test]
async fn a_page_looks_at_few_of_the_leases_that_share_a_key() {
    const LEASES: usize = 100_000;
    /// The number of leases that a page looks at.
    const LOOKS: usize = 1000;
    let (clock, other) = (clock(), OwnerId::parse("other").unwrap());
    let store = MemoryBackend::with_clock(Arc::clone(&clock));
    let mut held = Vec::new();
    for _ in 1..LEASES {
        held.push(granted(&store, &ask("key").with_mode(Mode::READER)).await);
    }
    let mut last = ask("key").with_mode(Mode::READER);
    last.owner = other.clone();
    held.push(granted(&store, &last).await);

    // Nobody but the last is wanted.
    let (leases, pages) = listed(&store, ListQuery::all().with_owner(other), |_| ()).await;
    assert_eq!(leases, held[LEASES - 1..]);
    assert!(pages >= LEASES / LOOKS, "{pages} pages look at all leases");

    let limit = NonZeroU32::new(10_000).unwrap();
    let (leases, pages) = listed(&store, ListQuery::all().with_limit(limit), |page| {
        assert!(page.len() <= LOOKS, "{} on a page", page.len());
    })
    .await;
    assert!(leases == held, "each once, in the order in which they were granted");
    assert!(pages >= LEASES / LOOKS, "{pages} pages look at all leases");

    // A lease that is listed already ends, and others end earlier or later than they did.
    let mut query = ListQuery::all().with_limit(NonZeroU32::new(10).unwrap());
    let (mut found, mut pages) = (Vec::new(), 0);
    while found.len() < 100 {
        let page = store.list(&query).await.unwrap().value;
        release(&store, page.items.last().unwrap()).await;
        for (lease, seconds) in [(&held[pages], 900), (&held[LEASES - 1 - pages], 1)] {
            let renew = RenewRequest::new(lease.name(), ttl(Duration::from_secs(seconds)));
            let _ = store.renew(&[renew]).await;
        }
        found.extend(page.items.into_iter().map(|lease| lease.request));
        pages += 1;
        query = query.after(page.next.unwrap());
    }
    assert!(found.iter().eq(held[..100].iter().map(|lease| &lease.request)));
}

/// The leases of all pages, and the number of pages, each of which is checked.
async fn listed(
    store: &MemoryBackend,
    mut query: ListQuery,
    check: impl Fn(&[Lease]),
) -> (Vec<Lease>, usize) {
    let (mut leases, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.list(&query).await.unwrap().value;
        check(&page.items);
        leases.extend(page.items);
        pages += 1;
        let Some(next) = page.next else { return (leases, pages) };
        query = query.after(next);
    }
}

#[tokio::test]
async fn debug_prints_counts_and_no_request() {
    let store = MemoryBackend::with_clock(clock());
    let requests = ["a", "b", "c"].map(ask);
    for request in &requests {
        let _ = granted(&store, request).await;
    }
    let text = format!("{store:?}");
    assert!(text.contains("keys: 3"), "{text}");
    for request in &requests {
        assert!(!text.contains(&request.id.to_string()), "{text}");
    }
}

/// The next that the watcher sees, which must be there.
async fn next(events: &mut EventStream) -> Watched {
    let next = poll_fn(|cx| events.as_mut().poll_next(cx));
    tokio::time::timeout(Duration::from_secs(5), next).await.unwrap().unwrap()
}

async fn cursor(events: &mut EventStream) -> EventCursor {
    match next(events).await {
        Watched::Event(event) => event.cursor,
        other => panic!("expected an event, got {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_after_a_cursor_or_says_how_many_it_missed() {
    let store = MemoryBackend::with_clock(clock());
    let mut events = store.watch(&EventFilter::all(), None).await.unwrap();
    let first = granted(&store, &ask("first")).await;
    let after_first = cursor(&mut events).await;
    release(&store, &first).await;
    drop(events);

    let mut resumed = store.watch(&EventFilter::all(), Some(&after_first)).await.unwrap();
    let Watched::Event(event) = next(&mut resumed).await else { panic!("expected an event") };
    assert_eq!(event.change, Change::Released(first));

    // The release, of which the store keeps nothing any more, is missing; the rest is there.
    let more = EVENTS / 2 + 5;
    for number in 0..more {
        let lease = granted(&store, &ask(&format!("key-{number}"))).await;
        release(&store, &lease).await;
    }
    let mut resumed = store.watch(&EventFilter::all(), Some(&after_first)).await.unwrap();
    let missed = (1 + 2 * more - EVENTS) as u64;
    assert_eq!(next(&mut resumed).await, Watched::Missed(missed));
    for _ in 0..EVENTS {
        cursor(&mut resumed).await;
    }
    let last = granted(&store, &ask("last")).await;
    let Watched::Event(event) = next(&mut resumed).await else { panic!("expected an event") };
    assert_eq!(event.change, Change::Granted(last));
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_another_store_misses_and_an_invalid_one_is_refused() {
    let (store, other) = (MemoryBackend::with_clock(clock()), MemoryBackend::with_clock(clock()));
    let mut events = other.watch(&EventFilter::all(), None).await.unwrap();
    let _ = granted(&other, &ask("key")).await;
    let foreign = cursor(&mut events).await;
    let mut resumed = store.watch(&EventFilter::all(), Some(&foreign)).await.unwrap();
    assert!(matches!(next(&mut resumed).await, Watched::Missed(_)));
    let nonsense = EventCursor::new("nonsense".to_owned());
    let error = store.watch(&EventFilter::all(), Some(&nonsense)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_listing_cursor_of_a_shard_that_is_not_there_is_refused() {
    let store = MemoryBackend::new();
    for shard in [SHARDS, usize::MAX] {
        let query = ListQuery::default().after(Cursor::new(shard.to_string()));
        assert_eq!(store.list(&query).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

struct Nothing;

impl Wake for Nothing {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test]
async fn a_watcher_leaves_no_waker_behind() {
    let store = MemoryBackend::new();
    let mut events = store.watch(&EventFilter::all(), None).await.unwrap();
    let tasks: Vec<_> = (0..3).map(|_| Arc::new(Nothing)).collect();
    for task in &tasks {
        let waker = Waker::from(Arc::clone(task));
        assert!(events.as_mut().poll_next(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(tasks.iter().map(Arc::strong_count).sum::<usize>(), 4);
    drop(events);
    assert_eq!(tasks.iter().map(Arc::strong_count).sum::<usize>(), 3);
}

#[tokio::test]
async fn waits_of_owners_and_sessions_come_in_pages() {
    let store = MemoryBackend::with_clock(clock());
    let session = SessionId::random();
    // More keys than one page looks at, each with two waiters of one owner, one of the session.
    let keys: Vec<String> = (0..600).map(|number| format!("key-{number:03}")).collect();
    for key in &keys {
        let _ = granted(&store, &ask(key)).await;
        let waiter = || ask(key).queueing(KeepAlive::default());
        queued(&store, &waiter().with_session(session)).await;
        queued(&store, &waiter().with_mode(Mode::READER)).await;
    }
    for (limit, least_pages) in [(7, 86), (1000, 3)] {
        let limit = NonZeroU32::new(limit).unwrap();
        let (found, pages) = waits(&store, WaitsQuery::new(session).with_limit(limit)).await;
        assert!(found.iter().all(|waiter| waiter.session == session));
        assert!(found.iter().map(|waiter| waiter.key.as_str()).eq(keys.iter().map(String::as_str)));
        assert!(pages >= least_pages, "{pages} pages");
        let owner = OwnerId::parse("owner").unwrap();
        let (mut found, _) = waits(&store, WaitsQuery::new(owner).with_limit(limit)).await;
        found.sort_by_key(|waiter| waiter.request);
        found.dedup_by_key(|waiter| waiter.request);
        assert_eq!(found.len(), 1200);
    }
}
