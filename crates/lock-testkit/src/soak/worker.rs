//! One of the processes: tasks that take turns, and record what they know.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_core::{LockGuard, LockManager, ManagerConfig, Mode, OwnerId, Priority, RequestId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::clock::{Moment, now};
use super::plan::Plan;
use super::record::Event;
use super::recorder::{Log, Recorder};
use super::target::Target;

/// The environment variable with the orders of a process.
pub(super) const ORDERS: &str = "LOCK_SOAK_WORKER";

/// The interval at which a holder checks its guard, and the process the clock.
const GLANCE: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(5);
/// A tick this late means that the process had no processor.
const LATE: Moment = super::clock::millis(25);
/// The longest time for which a process tries to connect.
const PATIENCE: Duration = Duration::from_secs(20);

/// The orders of a process, from its supervisor.
#[derive(Debug)]
pub(super) struct Orders {
    url: String,
    history: PathBuf,
    seed: u64,
    tasks: usize,
    keys: u8,
    ttl: Duration,
    keep_alive: Duration,
    step: Duration,
    is_planted: bool,
}

impl Orders {
    /// The orders of a worker of a round, as text.
    pub(super) fn write(
        plan: &Plan,
        url: &str,
        history: &std::path::Path,
        number: usize,
    ) -> String {
        let numbers = [
            plan.seed.wrapping_mul(1_000).wrapping_add(number as u64),
            plan.tasks as u64,
            plan.keys.into(),
            plan.terms.ttl / 1_000,
            plan.terms.keep_alive / 1_000,
            plan.step,
            plan.is_planted.into(),
        ];
        let numbers = numbers.map(|number| number.to_string());
        format!("{url}\n{}\n{}", history.display(), numbers.join("\n"))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (url, history) = (lines.next()?.to_owned(), lines.next()?.into());
        let mut number = || lines.next()?.parse::<u64>().ok();
        Some(Self {
            url,
            history,
            seed: number()?,
            tasks: usize::try_from(number()?).ok()?,
            keys: u8::try_from(number()?).ok()?,
            ttl: Duration::from_millis(number()?),
            keep_alive: Duration::from_millis(number()?),
            step: Duration::from_millis(number()?),
            is_planted: number()? != 0,
        })
    }
}

/// Works until its standard input ends.
pub(super) async fn run<T: Target>(orders: Orders) {
    let log = Arc::new(Log::create(&orders.history).expect("the history can be made"));
    let deadline = Instant::now() + PATIENCE;
    let store = loop {
        match T::connect(&orders.url).await {
            Ok(store) => break store,
            Err(error) => assert!(Instant::now() < deadline, "no connection: {error:?}"),
        }
        sleep(GLANCE).await;
    };
    let config = ManagerConfig::default()
        .with_ttl(orders.ttl)
        .and_then(|it| it.with_keep_alive(orders.keep_alive))
        .and_then(|it| it.with_ageing_step(orders.step));
    let store = Recorder::new(store, Arc::clone(&log), orders.is_planted);
    let owner = OwnerId::parse("soak").expect("a valid owner");
    let config = config.expect("the plan is within the limits");
    let worker = Arc::new(Worker {
        manager: LockManager::with_config(store, owner, config),
        log,
        is_over: AtomicBool::new(false),
        orders,
    });
    let watching = tokio::spawn(Arc::clone(&worker).watch());
    let mut tasks = JoinSet::new();
    for task in 0..worker.orders.tasks {
        tasks.spawn(Arc::clone(&worker).work(task as u64));
    }
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
    ended.await.expect("it reads").expect("it has an input");
    worker.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task fails");
    }
    worker.manager.shutdown().await;
    watching.abort();
}

struct Worker {
    manager: LockManager,
    log: Arc<Log>,
    is_over: AtomicBool,
    orders: Orders,
}

impl Worker {
    /// Records the times in which the process did not run.
    async fn watch(self: Arc<Self>) {
        let mut last = now();
        loop {
            sleep(TICK).await;
            let at = now();
            if at - last > LATE {
                self.log.note(RequestId::from_bits(0), Event::Late { since: last });
            }
            last = at;
        }
    }

    async fn work(self: Arc<Self>, task: u64) {
        let mut rng = StdRng::seed_from_u64(self.orders.seed.wrapping_mul(100).wrapping_add(task));
        while !self.is_over.load(Ordering::Relaxed) {
            self.turn(&mut rng).await;
            sleep(Duration::from_micros(rng.random_range(0..20_000))).await;
        }
    }

    /// Asks for a key, holds it, and gives it back: in one of many ways.
    async fn turn(&self, rng: &mut StdRng) {
        let id = RequestId::random();
        let key = rng.random_range(0..self.orders.keys);
        let (permits, mode) = match rng.random_range(0..10) {
            0 => (u32::MAX, Mode::READER),
            1 => (2, Mode::semaphore(2).expect("two are possible")),
            _ => (0, Mode::Exclusive),
        };
        let priorities = [Priority::Normal, Priority::Low, Priority::High, Priority::Critical];
        let priority = priorities[rng.random_range(0..4)];
        let head_start = u64::from(priority.level()) * self.orders.step.as_millis() as u64;
        self.log.note(id, Event::Asked { key, permits, head_start });
        let asks = self.manager.acquire(super::key(key)).request(id).mode(mode).priority(priority);
        let short = Duration::from_millis(rng.random_range(1..200));
        let outcome = match rng.random_range(0..10) {
            0 => timeout(short, asks.into_future()).await.ok(),
            1 => Some(asks.wait(short).await),
            _ => Some(asks.wait(Duration::from_secs(10)).await),
        };
        let Some(Ok(guard)) = outcome else {
            self.log.note(id, Event::GaveUp);
            return;
        };
        let (token, until) = (guard.token().get(), vouched(&guard));
        self.log.note(id, Event::Granted { token, until });
        let hold = match rng.random_range(0..500) {
            0 => self.orders.ttl.mul_f64(1.5),
            1..5 => Duration::from_millis(rng.random_range(100..300)),
            5..100 => Duration::from_millis(rng.random_range(1..20)),
            _ => Duration::ZERO,
        };
        self.hold(id, &guard, Instant::now() + hold).await;
        self.log.note(id, Event::Holds { until: vouched(&guard) });
        self.log.note(id, Event::Over);
        if rng.random_bool(0.9) {
            // The history shows whether it was lost meanwhile.
            let _ = guard.release().await;
        }
    }

    async fn hold(&self, id: RequestId, guard: &LockGuard, end: Instant) {
        while Instant::now() < end {
            let glance = end.saturating_duration_since(Instant::now()).min(GLANCE);
            if timeout(glance, guard.lost()).await.is_ok() {
                return;
            }
            self.log.note(id, Event::Holds { until: vouched(guard) });
        }
    }
}

/// The deadline of the guard.
fn vouched(guard: &LockGuard) -> Moment {
    let Some(end) = guard.deadline() else { return Moment::MAX };
    let (moment, instant) = (now(), Instant::now());
    let micros = |span: Duration| span.as_micros() as Moment;
    let left = micros(end.saturating_duration_since(instant));
    (moment + left).saturating_sub(micros(instant.saturating_duration_since(end)))
}
