//! Cost of a release and an acquire as the queue grows.

use std::collections::VecDeque;
use std::time::Duration;

use lock_core::{
    Acquisition, FencingToken, KeepAlive, LeaseName, LockBackend, LockKey, Release, ReleaseRequest,
    RequestId,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::meter::Meter;
use crate::samples::{Samples, Times};
use crate::store::Store;

/// Numbers of waiters.
pub(crate) const WAITING: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// Number of hand-offs.
const HANDOFFS: usize = 2_000;
/// Number of requests in flight while the queue grows.
const AT_ONCE: usize = 512;
/// So long that no waiter is dropped for its silence: nobody hears these, and a long queue takes
/// long to grow.
const KEEP_ALIVE: Duration = Duration::from_secs(60 * 60);

pub(crate) async fn measure(url: &str, meter: &mut Meter, samples: &mut Samples, rounds: usize) {
    let keep_alive = KeepAlive::parse(KEEP_ALIVE).expect("a valid keep-alive");
    for round in 0..rounds {
        for waiting in WAITING {
            let prefix = format!("growth-{waiting}-{round}");
            let store = Store::connect(url, &prefix, keep_alive).await;
            let key = LockKey::parse("acme/infra/proj-0042").expect("a valid key");
            let mut line = fill(&store, &key, waiting).await;
            let id = format!("growth/{waiting}");
            hand_on(&store, &key, &mut line, meter, samples, &id).await;
            let keys = meter.keys_of(&prefix).await;
            let bytes = meter.memory_of(&keys).await;
            samples.push(format!("{id}/bytes"), bytes / waiting as f64);
            meter.forget(&keys).await;
        }
    }
}

/// The lease of the key, and those that wait for it in their order.
struct Line {
    held: LeaseName,
    queue: VecDeque<RequestId>,
}

/// Lets one request hold the key and so many others wait.
async fn fill(store: &Store, key: &LockKey, waiting: usize) -> Line {
    let first = store.ask(key);
    let held = match store.backend.acquire(&first).await.map(|answer| answer.value) {
        Ok(Acquisition::Granted(lease)) => lease.name(),
        other => unreachable!("not granted: {other:?}"),
    };
    let mut places = Vec::with_capacity(waiting);
    let mut joining = JoinSet::new();
    for _ in 0..waiting {
        if joining.len() == AT_ONCE {
            places.extend(joining.join_next().await.map(|place| place.expect("no task fails")));
        }
        joining.spawn(join(store.clone(), key.clone()));
    }
    places.extend(joining.join_all().await);
    places.sort_unstable();
    let queue = places.into_iter().map(|(_, request)| request).collect();
    Line { held, queue }
}

/// Waits for the key, and returns at which place.
async fn join(store: Store, key: LockKey) -> (u64, RequestId) {
    let request = store.ask(&key);
    match store.backend.acquire(&request).await.map(|answer| answer.value) {
        Ok(Acquisition::Queued(place)) => (place.position, request.id),
        other => unreachable!("not queued: {other:?}"),
    }
}

/// Hands the key from each to the next, and puts another at the end each time.
async fn hand_on(
    store: &Store,
    key: &LockKey,
    line: &mut Line,
    meter: &mut Meter,
    samples: &mut Samples,
    id: &str,
) {
    let mut times = Times::default();
    let before = meter.read().await;
    for _ in 0..HANDOFFS {
        let next = line.queue.pop_front().expect("somebody waits");
        let (time, token) = hand_over(store, &line.held, next).await;
        times.push(time.as_nanos() as u64);
        line.held = LeaseName::new(key.clone(), next, token);
        line.queue.push_back(join(store.clone(), key.clone()).await.1);
    }
    let work = meter.read().await.since(before);
    let handoffs = HANDOFFS as f64;
    samples.push(format!("{id}/latency"), times.percentile(50.0));
    samples.push(format!("{id}/cpu"), work.cpu / handoffs);
    samples.push(format!("{id}/script"), work.script_time / handoffs);
    samples.push(format!("{id}/commands"), work.commands / handoffs);
    samples.push(format!("{id}/messages"), work.messages / handoffs);
}

/// Releases the lease, and returns after which time the next one knew that it holds.
async fn hand_over(store: &Store, held: &LeaseName, next: RequestId) -> (Duration, FencingToken) {
    let told = store.expect(next);
    let release = ReleaseRequest::new(held.clone());
    let start = Instant::now();
    let told = async {
        let token = told.await;
        (start.elapsed(), token)
    };
    let (told, released) = tokio::join!(told, store.backend.release(&release));
    let released = released.map(|answer| answer.value);
    assert!(matches!(released, Ok(Release::Released)), "the lease lasted until its release");
    told
}
