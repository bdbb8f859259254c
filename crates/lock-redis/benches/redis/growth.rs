//! What one release and one acquire cost while ever more requests wait for the lock.

use std::collections::VecDeque;
use std::time::Duration;

use lock_core::{
    Acquisition, LockBackend, LockKey, Release, ReleaseRequest, RequestId, WaitRequest, Wake,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::contestants::{PATIENCE, Store};
use crate::meter::Meter;
use crate::samples::{Samples, Times};

/// How many requests wait.
pub(crate) const WAITING: [usize; 4] = [10, 1_000, 10_000, 100_000];
/// How often the lock is handed on.
const HANDOFFS: usize = 2_000;
/// How many requests are on their way at once while the queue grows.
const AT_ONCE: usize = 512;
/// No more rounds than this: a long queue takes long to grow.
const MOST_ROUNDS: usize = 3;

pub(crate) async fn measure(url: &str, meter: &mut Meter, samples: &mut Samples, rounds: usize) {
    for round in 0..rounds.min(MOST_ROUNDS) {
        for waiting in WAITING {
            let prefix = format!("growth-{waiting}-{round}");
            let store = Store::connect(url, &prefix).await;
            let key = LockKey::parse("acme/infra/project-0042").expect("a valid key");
            let mut queue = fill(&store, &key, waiting).await;
            let id = format!("growth/{waiting}");
            hand_on(&store, &key, &mut queue, meter, samples, &id).await;
            let keys = keys_of(meter, &prefix).await;
            let bytes = meter.memory_of(&keys).await;
            samples.push(format!("{id}/bytes"), bytes / waiting as f64);
            let mut words = vec!["UNLINK"];
            words.extend(keys.iter().map(String::as_str));
            let _: u64 = meter.ask(&words).await;
        }
    }
}

/// The keys of the server that only exist because of the lock.
async fn keys_of(meter: &mut Meter, prefix: &str) -> Vec<String> {
    let mut keys: Vec<String> = meter.ask(&["KEYS", &format!("{{{prefix}:*")]).await;
    keys.retain(|key| !key.ends_with(":token"));
    keys
}

/// Lets one request hold the key and so many others wait, and returns all in their order.
async fn fill(store: &Store, key: &LockKey, waiting: usize) -> VecDeque<RequestId> {
    let mut places = Vec::with_capacity(waiting + 1);
    places.push(join(store.clone(), key.clone()).await);
    let mut joining = JoinSet::new();
    for _ in 0..waiting {
        if joining.len() == AT_ONCE {
            places.extend(joining.join_next().await.map(|place| place.expect("no task fails")));
        }
        joining.spawn(join(store.clone(), key.clone()));
    }
    places.extend(joining.join_all().await);
    places.sort_unstable();
    places.into_iter().map(|(_, request)| request).collect()
}

/// Asks for the key; 0 is the place of the holder.
async fn join(store: Store, key: LockKey) -> (u64, RequestId) {
    let asked = store.ask(&key);
    match store.backend.acquire(&asked).await {
        Ok(Acquisition::Granted(_)) => (0, asked.request),
        Ok(Acquisition::Queued(place)) => (place.position, asked.request),
        other => unreachable!("neither granted nor queued: {other:?}"),
    }
}

/// Hands the key from each to the next, and puts another at the end each time.
async fn hand_on(
    store: &Store,
    key: &LockKey,
    queue: &mut VecDeque<RequestId>,
    meter: &mut Meter,
    samples: &mut Samples,
    id: &str,
) {
    let mut times = Times::default();
    let before = meter.read().await;
    for _ in 0..HANDOFFS {
        let holder = queue.pop_front().expect("somebody holds");
        let next = *queue.front().expect("somebody waits");
        times.push(hand_over(store, key, holder, next).await.as_nanos() as u64);
        queue.push_back(join(store.clone(), key.clone()).await.1);
    }
    let work = meter.read().await.since(before);
    let handoffs = HANDOFFS as f64;
    samples.push(format!("{id}/latency"), times.percentile(50));
    samples.push(format!("{id}/cpu"), work.cpu / handoffs);
    samples.push(format!("{id}/script"), work.script_time / handoffs);
    samples.push(format!("{id}/commands"), work.commands / handoffs);
    samples.push(format!("{id}/messages"), work.messages / handoffs);
}

/// Releases the key, and returns after which time the next one knew that it holds.
async fn hand_over(store: &Store, key: &LockKey, holder: RequestId, next: RequestId) -> Duration {
    let awaited = WaitRequest::new(key.clone(), next, PATIENCE);
    let released = ReleaseRequest::new(key.clone(), holder);
    let start = Instant::now();
    let heard = async {
        match store.backend.wait(&awaited).await {
            Ok(Wake::Granted(_)) => start.elapsed(),
            other => unreachable!("not granted: {other:?}"),
        }
    };
    let (time, released) = tokio::join!(heard, store.backend.release(&released));
    assert!(matches!(released, Ok(Release::Released)), "the lease lasted until its release");
    time
}
