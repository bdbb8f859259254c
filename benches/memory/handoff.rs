//! The way of a lock from its holder to the next in the queue, while the queue keeps its length.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode};
use tokio::runtime::Builder;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::contestants::{Contestant, DashmapMutex, Keyed, Lockable, Trait};

pub(crate) fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("handoff");
    group.sampling_mode(SamplingMode::Flat);
    for waiting in [2, 10, 1_000, 10_000] {
        handoff::<Trait>(&mut group, waiting);
    }
    for waiting in [2, 10, 1_000, 10_000] {
        handoff::<Lockable>(&mut group, waiting);
        handoff::<Keyed>(&mut group, waiting);
        handoff::<DashmapMutex>(&mut group, waiting);
    }
    group.finish();
}

fn handoff<C: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, waiting: usize) {
    group.bench_function(BenchmarkId::new(C::NAME, waiting), |bencher| {
        bencher.iter_custom(|iters| run::<C>(waiting, iters));
    });
}

/// Tasks that take one lock in turn, for ever.
struct Ring<C: Contestant> {
    lock: C,
    key: C::Key,
    /// Number of tasks that requested the lock at least once.
    asked: AtomicUsize,
    turns: AtomicU64,
    /// After which turn the clock starts: when everybody had one, the memory is laid out as it
    /// stays.
    first_round: u64,
    turns_wanted: u64,
    start: OnceLock<Instant>,
    end: OnceLock<Instant>,
    over: Notify,
}

/// Measures how long `iters` hand-offs take while `waiting` tasks wait behind the holder.
fn run<C: Contestant>(waiting: usize, iters: u64) -> Duration {
    let members = waiting + 1;
    let ring = Arc::new(Ring {
        lock: C::new(),
        key: C::key("acme/infra/project-0042".to_owned()),
        asked: AtomicUsize::new(0),
        turns: AtomicU64::new(0),
        first_round: members as u64,
        turns_wanted: iters,
        start: OnceLock::new(),
        end: OnceLock::new(),
        over: Notify::new(),
    });
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime can start");
    runtime.block_on(async {
        // Behind every holder, `waiting` others wait: the first time the members behind this task,
        // then the members behind one of them.
        let until_all_wait = async {
            for _ in 0..members {
                tokio::spawn(member(Arc::clone(&ring)));
            }
            while ring.asked.load(Ordering::Relaxed) < members {
                yield_now().await;
            }
        };
        ring.lock.turn(&ring.key, until_all_wait).await;
        ring.over.notified().await;
    });
    let span = ring.start.get().zip(ring.end.get()).map(|(start, end)| *end - *start);
    span.expect("the clock was started and stopped")
}

async fn member<C: Contestant>(ring: Arc<Ring<C>>) {
    // One poll goes from here into the queue, so a member that has counted waits.
    ring.asked.fetch_add(1, Ordering::Relaxed);
    loop {
        ring.lock.turn(&ring.key, async { ring.count() }).await;
    }
}

impl<C: Contestant> Ring<C> {
    fn count(&self) {
        let turns = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        if turns == self.first_round {
            self.start.get_or_init(Instant::now);
        }
        if turns == self.first_round + self.turns_wanted {
            self.end.get_or_init(Instant::now);
            self.over.notify_one();
        }
    }
}
