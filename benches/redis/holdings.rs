//! Cost of many held locks: memory and renewal.

use lock_core::{Acquisition, KeepAlive, LockBackend, LockKey, RenewRequest, Renewal};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::meter::Meter;
use crate::samples::Samples;
use crate::store::Store;

/// Number of held locks.
pub(crate) const HELD: usize = 10_000;
/// Number of requests in flight.
const AT_ONCE: usize = 512;

pub(crate) async fn measure(url: &str, meter: &mut Meter, samples: &mut Samples, rounds: usize) {
    let store = Store::connect(url, "holdings", KeepAlive::default()).await;
    let held = hold(&store).await;
    let keys = meter.keys_of("holdings").await;
    samples.push("held/bytes".to_owned(), meter.memory_of(&keys).await / HELD as f64);
    for _ in 0..rounds {
        let before = meter.read().await;
        let start = Instant::now();
        let answers = store.backend.renew(&held).await;
        let millis = start.elapsed().as_secs_f64() * 1e3;
        let work = meter.read().await.since(before);
        let is_renewed = |value: &Renewal| matches!(value, Renewal::Renewed { .. });
        assert!(answers.iter().all(|it| it.as_ref().is_ok_and(|it| is_renewed(&it.value))));
        samples.push("renew/commands".to_owned(), work.commands);
        samples.push("renew/millis".to_owned(), millis);
        samples.push("renew/cpu".to_owned(), work.cpu / HELD as f64);
    }
    meter.forget(&keys).await;
}

async fn hold(store: &Store) -> Vec<RenewRequest> {
    let mut held = Vec::with_capacity(HELD);
    let mut acquiring = JoinSet::new();
    for number in 0..HELD {
        if acquiring.len() == AT_ONCE {
            let renewal = acquiring.join_next().await.expect("some are on their way");
            held.push(renewal.expect("no task fails"));
        }
        let store = store.clone();
        acquiring.spawn(async move {
            let key = LockKey::parse(format!("acme/infra/prj-{number:05}"));
            let request = store.ask(&key.expect("a valid key"));
            match store.backend.acquire(&request).await.map(|answer| answer.value) {
                Ok(Acquisition::Granted(lease)) => RenewRequest::new(lease.name(), lease.ttl),
                other => unreachable!("not granted: {other:?}"),
            }
        });
    }
    held.extend(acquiring.join_all().await);
    held
}
