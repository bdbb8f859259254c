//! The run: a manager for each pull request, a task for each request, one store for all.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::Write;
use std::time::Duration;

use lock_core::{
    AgeingStep, Clock, EventFilter, EventStream, LockManager, ManagerConfig, OwnerId, RequestId,
    TokioClock, Watched,
};
use lock_memory::MemoryBackend;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::check::Turn;
use crate::failure::Failure;
use crate::rows::Rows;
use crate::speed::Speed;
use crate::timeline::Timeline;
use crate::workload::Request;

/// Head start per level of priority, in the file's time.
///
/// The usual two minutes suit plans that take minutes. The shipped ones take seconds, and nobody
/// waits for two minutes: with that step the priorities would be strict. With this one a request is
/// overtaken by those of the next level that come up to ten seconds later, and by nobody that comes
/// more than thirty seconds later.
pub(crate) const AGEING_STEP: Duration = Duration::from_secs(10);

/// Lets all requests take their turns, and writes a row for each grant when it happens.
pub(crate) async fn run(
    requests: Vec<Request>,
    speed: Speed,
    out: &mut impl Write,
) -> Result<(Vec<Turn>, Timeline), Failure> {
    let clock = TokioClock::new();
    let store = MemoryBackend::with_clock(clock);
    let owner = |request: &Request| request.owner.clone();
    let managers = managers(&store, requests.iter().map(owner), speed);
    let requests: HashMap<_, _> =
        requests.into_iter().map(|request| (RequestId::random(), request)).collect();

    let watcher = LockManager::new(store, OwnerId::parse("plan_queue").expect("a good owner"));
    let count = requests.len();
    let mut events = watcher.watch(&EventFilter::all(), None).await.map_err(Failure::Watch)?;
    let (start, begin) = (clock.now(), Instant::now());
    let mut tasks = JoinSet::new();
    for (&identity, request) in &requests {
        let manager = managers[&request.owner].clone();
        tasks.spawn(take_turn(manager, request.clone(), identity, speed, begin));
    }

    let rows = Rows::new(requests, start, speed);
    writeln!(out, "{}", rows.head())?;
    let (mut timeline, mut turns) = (Timeline::default(), Vec::new());
    // The store tells of a release at the latest when the task hears of it; but what it told may
    // still be on its way here.
    while turns.len() < count || timeline.released() < count {
        tokio::select! {
            Some(watched) = next(&mut events) => match watched {
                Watched::Event(event) => {
                    if let Some(row) = timeline.note(&event).and_then(|grant| rows.of(&grant)) {
                        writeln!(out, "{row}")?;
                    }
                }
                Watched::Missed(count) => return Err(Failure::Missed(count)),
                _ => {}
            },
            Some(done) = tasks.join_next() => turns.push(done.map_err(Failure::Task)??),
        }
    }
    for manager in managers.values() {
        manager.shutdown().await;
    }
    Ok((turns, timeline))
}

/// A manager for each owner. One level of priority ranks as much earlier as the run is faster.
fn managers(
    store: &MemoryBackend,
    owners: impl Iterator<Item = OwnerId>,
    speed: Speed,
) -> HashMap<OwnerId, LockManager> {
    let step = AgeingStep::parse(speed.in_the_run(AGEING_STEP)).expect("ten seconds are allowed");
    let mut config = ManagerConfig::default();
    config.ageing_step = step;
    let manager = |owner: OwnerId| LockManager::with_config(store.clone(), owner, config.clone());
    owners.map(|owner| (owner.clone(), manager(owner))).collect()
}

async fn next(events: &mut EventStream) -> Option<Watched> {
    poll_fn(|cx| events.as_mut().poll_next(cx)).await
}

/// One request: it comes, waits for its key, holds it for a while, and gives it back.
async fn take_turn(
    manager: LockManager,
    request: Request,
    identity: RequestId,
    speed: Speed,
    begin: Instant,
) -> Result<Turn, Failure> {
    sleep_until(begin + speed.in_the_run(request.arrival)).await;
    let failed = |error| Failure::Turn(request.id.clone(), error);

    let asked = begin.elapsed();
    let acquire = manager.acquire(&request.key).request(identity).priority(request.priority);
    let guard = acquire.await.map_err(failed)?;
    let (token, acquired) = (guard.token(), begin.elapsed());

    guard.run(sleep(speed.in_the_run(request.hold))).await.map_err(failed)?;

    let released = begin.elapsed();
    guard.release().await.map_err(failed)?;
    let Request { id, key, priority, .. } = request;
    Ok(Turn { id, key, priority, token, asked, acquired, released })
}
