//! Workers that want one lock, hold it, release it and want it again.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::contestants::{Field, Key, Name};
use crate::meter::Meter;
use crate::samples::{Samples, Times};

pub(crate) const CONTESTANTS: [Name; 4] =
    [Name::Trait, Name::Guard, Name::Rslock, Name::RslockSpin];
/// Number of workers, and milliseconds for which each holds the lock.
pub(crate) const SETTINGS: [(usize, u64); 9] =
    [(1, 0), (2, 0), (3, 0), (10, 0), (10, 1), (100, 0), (100, 1), (1_000, 0), (10_000, 0)];
/// So few workers are measured for longer: with the [processes](crate::processes), five rounds of
/// these are more than a minute.
pub(crate) const FEW: [usize; 2] = [2, 3];
pub(crate) const SPAN_OF_FEW: Duration = Duration::from_millis(2400);

const SPAN: Duration = Duration::from_millis(1000);
/// Maximum time until every worker had a turn; a competing lock may starve some.
const WARM_UP: Duration = Duration::from_millis(1500);
/// Time-out for the workers to end before they are stopped.
const PATIENCE: Duration = Duration::from_secs(4);

/// In how many of the rounds a contestant takes part.
///
/// Crowds of `rslock` take long and are there to be seen, as are retries without a pause.
pub(crate) fn rounds_of(name: Name, (workers, millis): (usize, u64), rounds: usize) -> usize {
    match name {
        Name::Trait => rounds,
        Name::Guard if millis == 0 && workers <= 100 => rounds,
        Name::Rslock if workers <= 100 => rounds,
        Name::Rslock => rounds.min(1),
        Name::RslockSpin if [10, 100].contains(&workers) => rounds.min(1),
        _ => 0,
    }
}

fn span_of(workers: usize) -> Duration {
    // Of 10,000 workers each has a turn in that time.
    if FEW.contains(&workers) || workers > 1_000 { SPAN_OF_FEW } else { SPAN }
}

pub(crate) async fn measure(
    field: &Field,
    meter: &mut Meter,
    samples: &mut Samples,
    rounds: usize,
) {
    let hold = Hold::new();
    for round in 0..rounds {
        for (workers, millis) in SETTINGS {
            // Nobody always comes after the same.
            for place in 0..CONTESTANTS.len() {
                let name = CONTESTANTS[(place + round) % CONTESTANTS.len()];
                if round < rounds_of(name, (workers, millis), rounds) {
                    let key = Key::new(format!("contend/{}-{workers}-{millis}-{round}", name.id()));
                    let course =
                        Course::new(field.clone(), name, key, workers, millis, hold.clone());
                    course.measure(meter, samples).await;
                }
            }
        }
    }
}

/// State shared by the workers of a run.
struct Course {
    field: Field,
    name: Name,
    key: Key,
    workers: usize,
    millis: u64,
    hold: Hold,
    epoch: Instant,
    turns: AtomicUsize,
    is_measuring: AtomicBool,
    is_over: AtomicBool,
    /// Last holder of the lock, written by the holder.
    last_holder: AtomicUsize,
    last_end: AtomicU64,
    acquisitions: AtomicUsize,
    handoffs: AtomicUsize,
    /// Notes of the workers.
    notes: Mutex<Vec<Notes>>,
}

/// Notes of one measured worker.
#[derive(Default)]
struct Notes {
    waits: Times,
    gaps: Times,
    holds: Times,
}

impl Course {
    fn new(
        field: Field,
        name: Name,
        key: Key,
        workers: usize,
        millis: u64,
        hold: Hold,
    ) -> Arc<Self> {
        Arc::new(Self {
            field,
            name,
            key,
            workers,
            millis,
            hold,
            epoch: Instant::now(),
            turns: AtomicUsize::new(0),
            is_measuring: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            last_holder: AtomicUsize::new(usize::MAX),
            last_end: AtomicU64::new(0),
            acquisitions: AtomicUsize::new(0),
            handoffs: AtomicUsize::new(0),
            notes: Mutex::default(),
        })
    }

    fn now(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    async fn measure(self: Arc<Self>, meter: &mut Meter, samples: &mut Samples) {
        let mut running = JoinSet::new();
        for worker in 0..self.workers {
            running.spawn(Arc::clone(&self).work(worker));
        }
        sleep(Duration::from_millis(100)).await;
        while self.turns.load(Ordering::Relaxed) < 2 * self.workers
            && self.epoch.elapsed() < WARM_UP
        {
            sleep(Duration::from_millis(10)).await;
        }
        let before = meter.read().await;
        self.is_measuring.store(true, Ordering::Relaxed);
        let start = Instant::now();
        sleep(span_of(self.workers)).await;
        self.is_measuring.store(false, Ordering::Relaxed);
        let span = start.elapsed().as_secs_f64();
        let work = meter.read().await.since(before);
        self.is_over.store(true, Ordering::Relaxed);
        let ended = timeout(PATIENCE, async { while running.join_next().await.is_some() {} });
        if ended.await.is_err() {
            running.shutdown().await;
        }
        let acquisitions = self.acquisitions.load(Ordering::Relaxed) as f64;
        let handoffs = self.handoffs.load(Ordering::Relaxed) as f64;
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let id = format!("contend/{}/{}ms/{}", self.workers, self.millis, self.name.id());
        let mut push = |what: &str, value| samples.push(format!("{id}/{what}"), value);
        push("acquisitions", acquisitions / span);
        push("handoffs", handoffs / span);
        push("commands", work.commands / handoffs);
        push("messages", work.messages / handoffs);
        push("cpu", work.cpu / handoffs);
        let shares: Vec<_> = notes.iter().map(|notes| notes.waits.len()).collect();
        push("spread", spread(&shares, self.workers));
        push("jain", jain(&shares, self.workers));
        let mut all = Notes::default();
        for notes in notes {
            all.waits.append(notes.waits);
            all.gaps.append(notes.gaps);
            all.holds.append(notes.holds);
        }
        let (gap, wait) = (all.gaps.percentile(50.0), all.waits.percentile(99.0));
        push("gap", gap);
        push("wait", wait);
        push("wait-p999", all.waits.percentile(99.9));
        push("wait-longest", all.waits.percentile(100.0));
        push("wait-of-ideal", wait / (self.workers as f64 * (all.holds.percentile(50.0) + gap)));
    }

    async fn work(self: Arc<Self>, worker: usize) {
        let notes = Mutex::new(Notes::default());
        while !self.is_over.load(Ordering::Relaxed) {
            let since = self.now();
            let turn = async {
                let start = self.now();
                let gap = start.saturating_sub(self.last_end.load(Ordering::Relaxed));
                let is_handoff = self.last_holder.swap(worker, Ordering::Relaxed) != worker;
                self.turns.fetch_add(1, Ordering::Relaxed);
                let is_measured = self.is_measuring.load(Ordering::Relaxed);
                if is_measured {
                    self.acquisitions.fetch_add(1, Ordering::Relaxed);
                    self.handoffs.fetch_add(usize::from(is_handoff), Ordering::Relaxed);
                }
                if self.millis > 0 {
                    self.hold.millis(self.millis).await;
                }
                let end = self.now();
                self.last_end.store(end, Ordering::Relaxed);
                if is_measured {
                    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                    notes.waits.push(start - since);
                    notes.gaps.push(gap);
                    notes.holds.push(end - start);
                }
            };
            self.field.turn(self.name, &self.key, turn).await;
        }
        let notes = notes.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(notes);
    }
}

/// By how many turns the luckiest worker is ahead of the unluckiest.
fn spread(shares: &[usize], workers: usize) -> f64 {
    let least = if shares.len() < workers { 0 } else { *shares.iter().min().unwrap_or(&0) };
    shares.iter().max().map_or(f64::NAN, |most| (most - least) as f64)
}

/// Jain's index: 1 when all have the same, one in so many workers when one has all.
fn jain(shares: &[usize], workers: usize) -> f64 {
    let sum: f64 = shares.iter().map(|share| *share as f64).sum();
    let squares: f64 = shares.iter().map(|share| (*share as f64).powi(2)).sum();
    sum * sum / (workers as f64 * squares)
}

/// Holds a lock for a time that the timers of the runtime, which count in milliseconds, cannot say.
#[derive(Clone)]
struct Hold(mpsc::Sender<(u64, oneshot::Sender<()>)>);

impl Hold {
    fn new() -> Self {
        let (sender, asked) = mpsc::channel::<(u64, oneshot::Sender<()>)>();
        thread::spawn(move || {
            while let Ok((millis, done)) = asked.recv() {
                let end = Instant::now() + Duration::from_millis(millis);
                while let left = end.saturating_duration_since(Instant::now())
                    && !left.is_zero()
                {
                    thread::park_timeout(left);
                }
                // A worker that was stopped does not hear it.
                let _ = done.send(());
            }
        });
        Self(sender)
    }

    async fn millis(&self, millis: u64) {
        let (done, is_done) = oneshot::channel();
        self.0.send((millis, done)).expect("the thread runs as long as it is asked");
        is_done.await.expect("the thread answers");
    }
}
