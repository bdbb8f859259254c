//! A round: starts the processes, applies the plan's faults, and collects the records.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{InspectQuery, LockKey, LockStore};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::clock::{Moment, millis, now};
use super::history::{Disturbance, History, Worker};
use super::plan::{Blow, Fault, Plan};
use super::record::Record;
use super::target::{Target, Trouble};
use super::worker::{ORDERS, Orders};

/// The longest wait for the processes to end, and for leftovers to go.
const PATIENCE: Duration = Duration::from_secs(30);
/// The interval between probes of the store, and the delay from which an answer counts as none.
const GLANCE: Duration = Duration::from_millis(10);
const SILENCE: Moment = millis(40);
/// The time in which a process that was stopped notices what it missed.
const AWAKENING: Duration = Duration::from_millis(1_000);

/// A process, and its file.
struct Process {
    child: Child,
    history: PathBuf,
    killed: Option<Moment>,
}

/// A round under way.
struct Round<'a, T> {
    plan: &'a Plan,
    target: Arc<T>,
    folder: &'a Path,
    /// All processes so far, and the present one of each slot.
    processes: Vec<Process>,
    slots: Vec<usize>,
    disturbances: Vec<Disturbance>,
    wipes: Vec<Moment>,
}

/// Runs a round, and returns its history and the folder of its files.
pub(super) async fn run<T: Target>(plan: &Plan) -> io::Result<(History, TempDir)> {
    let folder = tempfile::Builder::new().prefix("lock-soak-").tempdir()?;
    let target = Arc::new(T::start(plan.processes, plan.is_durable).await);
    let (disturbances, wipes) = (Vec::new(), Vec::new());
    let (processes, slots) = (Vec::new(), Vec::new());
    let path = folder.path();
    let mut round = Round { plan, target, folder: path, processes, slots, disturbances, wipes };
    for slot in 0..plan.processes {
        round.slots.push(slot);
        round.start(slot)?;
    }
    let (ending, ended) = oneshot::channel();
    let observer = tokio::spawn(observe::<T>(round.target.direct_url(), ended));
    let end = Instant::now() + plan.span;
    for blow in &plan.blows {
        sleep(blow.after).await;
        round.strike(blow).await?;
    }
    tokio::time::sleep_until(end).await;
    let failures = round.end().await?;
    // The observer has gone already when the round is dropped.
    let _ = ending.send(());
    let silences = observer.await?;
    let leftovers = round.leftovers().await;
    let Round { processes, disturbances, wipes, .. } = round;
    let workers = processes.into_iter().map(|process| {
        let text = std::fs::read_to_string(&process.history).unwrap_or_default();
        let records = text.lines().filter_map(Record::parse).collect();
        Worker::new(records, process.killed)
    });
    let (terms, workers) = (plan.terms, workers.collect());
    let history = History { terms, workers, disturbances, wipes, silences, leftovers, failures };
    Ok((history, folder))
}

impl<T: Target> Round<'_, T> {
    /// Starts the process of a slot.
    fn start(&mut self, slot: usize) -> io::Result<()> {
        let number = self.processes.len();
        let history = self.folder.join(format!("worker-{number}"));
        let orders = Orders::write(self.plan, &self.target.url(slot), &history, number);
        let mut command = Command::new(std::env::current_exe()?);
        command.env(ORDERS, orders).stdin(Stdio::piped()).kill_on_drop(true);
        self.processes.push(Process { child: command.spawn()?, history, killed: None });
        self.slots[slot] = number;
        Ok(())
    }

    fn signal(&self, number: usize, signal: Signal) -> io::Result<()> {
        let id = self.processes[number].child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        Ok(kill_process(id, signal)?)
    }

    async fn strike(&mut self, blow: &Blow) -> io::Result<()> {
        let number = self.slots[blow.slot];
        let from = now();
        match blow.fault {
            Fault::Kill => {
                self.processes[number].killed = Some(from);
                self.processes[number].child.kill().await?;
                self.start(blow.slot)?;
            }
            Fault::Stop => {
                self.signal(number, Signal::STOP)?;
                sleep(blow.span).await;
                self.signal(number, Signal::CONT)?;
                self.disturb(Some(number), from, AWAKENING);
            }
            Fault::Trouble(trouble) => {
                self.target.inflict(trouble, blow.slot, blow.span).await;
                let is_wiped = trouble == Trouble::Restart && !self.plan.is_durable;
                if is_wiped || trouble.loses_grants() {
                    self.wipes.push(from);
                }
                let worker = (!trouble.is_of_all()).then_some(number);
                self.disturb(worker, from, trouble.settling());
            }
        }
        Ok(())
    }

    /// Notes a disturbance of a worker, or of all, until now.
    fn disturb(&mut self, worker: Option<usize>, from: Moment, settling: Duration) {
        let settling = settling.as_micros() as Moment;
        self.disturbances.push(Disturbance { worker, from, until: now(), settling });
    }

    /// Ends the processes, and returns the failures.
    async fn end(&mut self) -> io::Result<Vec<String>> {
        let mut failures = Vec::new();
        let alive = |process: &&mut Process| process.killed.is_none();
        for process in self.processes.iter_mut().filter(alive) {
            drop(process.child.stdin.take());
        }
        let deadline = Instant::now() + PATIENCE;
        for (number, process) in self.processes.iter_mut().enumerate() {
            if process.killed.is_some() {
                continue;
            }
            match tokio::time::timeout_at(deadline, process.child.wait()).await {
                Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => {}
                Ok(status) => failures.push(format!("worker {number} failed: {status:?}")),
                Err(_) => {
                    failures.push(format!("worker {number} does not end"));
                    process.child.kill().await?;
                }
            }
        }
        Ok(failures)
    }

    /// The leftovers, once everything that ends by itself has had time to.
    async fn leftovers(&self) -> Vec<String> {
        let keys: Vec<_> = (0..self.plan.keys).map(super::key).collect();
        let deadline = Instant::now() + Duration::from_micros(self.plan.terms.bequest()) + PATIENCE;
        loop {
            let left = self.target.leftovers(&keys).await;
            if left.is_empty() || Instant::now() > deadline {
                return left;
            }
            sleep(GLANCE * 20).await;
        }
    }
}

/// Probes the store continuously, and returns the times in which it did not answer.
async fn observe<T: Target>(
    url: String,
    mut ended: oneshot::Receiver<()>,
) -> Vec<(Moment, Moment)> {
    let key = LockKey::parse("observed").expect("a valid key");
    let query = InspectQuery::new(key);
    let mut store: Option<Arc<dyn LockStore>> = None;
    let (mut silences, mut last) = (Vec::new(), now());
    while ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
        if store.is_none() {
            store = T::connect(&url).await.ok();
        }
        if let Some(store) = &store
            && let Ok(Ok(_)) = timeout(Duration::from_secs(1), store.inspect(&query)).await
        {
            let at = now();
            if at - last > SILENCE {
                silences.push((last, at));
            }
            last = at;
        }
        sleep(GLANCE).await;
    }
    silences
}
