//! One acquire and its release.

use std::future::ready;
use std::hint::black_box;
use std::num::Wrapping;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::contestants::{Contestant, DashmapMutex, Guard, Keyed, Lockable, Trait};

pub(crate) fn benches(criterion: &mut Criterion) {
    for (threads, thread_name) in [(1, "1-thread"), (2, "2-threads")] {
        for (keys, key_name) in [(1, "1-key"), (10_000, "10000-keys")] {
            let mut group = criterion.benchmark_group(format!("pair/{key_name}/{thread_name}"));
            group.sampling_mode(SamplingMode::Flat);
            pair::<Trait>(&mut group, keys, threads);
            pair::<Guard>(&mut group, keys, threads);
            pair::<Lockable>(&mut group, keys, threads);
            pair::<Keyed>(&mut group, keys, threads);
            pair::<DashmapMutex>(&mut group, keys, threads);
            group.finish();
        }
    }
}

fn pair<C: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, keys: usize, threads: usize) {
    group.bench_function(C::NAME, |bencher| {
        let course = Course::<C>::new(keys, threads);
        course.prove_exclusion();
        bencher.iter_custom(|iters| course.run(iters, || ready(())));
    });
}

/// A lock, its keys, and a runtime for each thread.
struct Course<C: Contestant> {
    lock: C,
    keys: Vec<C::Key>,
    runtimes: Vec<Runtime>,
}

impl<C: Contestant> Course<C> {
    fn new(keys: usize, threads: usize) -> Self {
        let keys = (0..keys).map(|number| C::key(format!("acme/infra/project-{number:04}")));
        let runtime =
            |_| Builder::new_current_thread().enable_time().build().expect("a runtime can start");
        let (keys, runtimes) = (keys.collect(), (0..threads).map(runtime).collect());
        Self { lock: C::new(), keys, runtimes }
    }

    /// Fails when two are ever in at once.
    fn prove_exclusion(&self) {
        if self.keys.len() > 1 {
            return;
        }
        let is_held = AtomicBool::new(false);
        self.run(10_000, || async {
            assert!(!is_held.swap(true, Ordering::Relaxed), "two hold one key");
            yield_now().await;
            is_held.store(false, Ordering::Relaxed);
        });
    }

    /// Lets every thread take `turns` turns, and measures from the first start to the last end.
    fn run<W>(&self, turns: u64, work: impl Fn() -> W + Sync) -> Duration
    where
        W: Future<Output = ()> + Send,
    {
        let (barrier, under_way) =
            (Barrier::new(self.runtimes.len()), AtomicUsize::new(self.runtimes.len()));
        let run_lane =
            |(lane, runtime)| self.run_lane(lane, runtime, &barrier, &under_way, turns, &work);
        let mut lanes = self.runtimes.iter().enumerate();
        let mine = lanes.next();
        thread::scope(|scope| {
            let others: Vec<_> = lanes.map(|lane| scope.spawn(move || run_lane(lane))).collect();
            let mine = mine.map(run_lane);
            let others = others.into_iter().map(|lane| lane.join().expect("no lane fails"));
            let (starts, ends): (Vec<_>, Vec<_>) = mine.into_iter().chain(others).unzip();
            let start = starts.into_iter().min().expect("there is a thread");
            ends.into_iter().max().map_or(Duration::ZERO, |end| end - start)
        })
    }

    /// Takes `turns` turns on one thread, in one visit to its runtime.
    fn run_lane<W>(
        &self,
        lane: usize,
        runtime: &Runtime,
        barrier: &Barrier,
        under_way: &AtomicUsize,
        turns: u64,
        work: impl Fn() -> W,
    ) -> (Instant, Instant)
    where
        W: Future<Output = ()> + Send,
    {
        runtime.block_on(async {
            // Background tasks of a lock come to rest first.
            yield_now().await;
            let restless = (self.runtimes.len() > 1).then(|| tokio::spawn(never_rest()));
            let mut choice = Choice::new(lane as u64);
            barrier.wait();
            let start = Instant::now();
            for _ in 0..turns {
                let key = &self.keys[choice.below(self.keys.len())];
                self.lock.turn(black_box(key), work()).await;
            }
            let end = Instant::now();
            // The other lane may wait for a task of the lock that runs here.
            under_way.fetch_sub(1, Ordering::SeqCst);
            while under_way.load(Ordering::SeqCst) > 0 {
                yield_now().await;
            }
            if let Some(task) = restless {
                task.abort();
            }
            (start, end)
        })
    }
}

/// Keeps a runtime from falling asleep while its lane waits for the other.
///
/// Else the operating system's waking of a thread, which takes ten times as long as a turn and
/// happens or not as the scheduler likes, would be all that is measured.
async fn never_rest() {
    loop {
        yield_now().await;
    }
}

/// A cheap sequence of keys, the same for every contestant.
struct Choice(Wrapping<u64>);

impl Choice {
    fn new(seed: u64) -> Self {
        Self(Wrapping(seed))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0 * Wrapping(6_364_136_223_846_793_005) + Wrapping(1_442_695_040_888_963_407);
        (self.0.0 >> 33) as usize % limit
    }
}
