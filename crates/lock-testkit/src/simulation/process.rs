//! A process: a manager, its tasks and its network, and a successor after it is gone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lock_core::{LockManager, ManagerConfig, OwnerId};
use tokio::sync::watch;

use super::connection::Connection;
use super::gate::{Gate, Task};
use super::history::Who;
use super::link::Link;
use super::plan::ProcessPlan;
use super::quiet::Living;
use super::violation::Violation;
use super::world::World;

/// One life of a process: from its start to its end.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) slot: usize,
    pub(super) plan: ProcessPlan,
    pub(super) manager: LockManager,
    pub(super) link: Arc<Link>,
    /// What the program's own tasks run behind.
    pub(super) jobs: Arc<Gate>,
    /// What the manager's tasks run behind: another after each loss of their runtime.
    tasks: Arc<Mutex<Arc<Gate>>>,
    /// Whether the jobs are to end.
    stopping: watch::Sender<bool>,
}

impl Life {
    /// Starts a process.
    pub(super) fn start(world: &Arc<World>, slot: usize, number: u64, plan: &ProcessPlan, seed: u64) -> Arc<Self> {
        let link = Arc::new(Link::new(slot, seed, plan.delay));
        let config = ManagerConfig::default()
            .with_ageing_step(plan.ageing_step)
            .with_operation_timeout(plan.operation_timeout);
        let owner = OwnerId::parse(format!("p{slot}.{number}")).expect("a short name is an owner");
        let tasks = Arc::new(Mutex::new(Arc::<Gate>::default()));
        let behind = Arc::clone(&tasks);
        let spawn = move |task: Pin<Box<dyn Future<Output = ()> + Send>>| gate(&behind).spawn(task);
        let connection = Connection::new(Arc::clone(world), Arc::clone(&link));
        let manager =
            LockManager::with_config(connection, owner, config).with_spawner(spawn);
        let (plan, jobs, stopping) = (plan.clone(), Arc::default(), watch::Sender::new(false));
        world.note(Who::Process(slot), format_args!("starts, life {number}"));
        Arc::new(Self { slot, plan, manager, link, jobs, tasks, stopping })
    }

    /// Runs one of the program's tasks.
    pub(super) fn spawn(&self, task: Task) {
        self.jobs.spawn(task);
    }

    /// Stops everything, with all messages held on their way.
    pub(super) fn pause(&self) {
        self.link.hold(true);
        self.jobs.pause();
        gate(&self.tasks).pause();
    }

    /// Lets everything go on.
    pub(super) fn resume(&self) {
        self.link.hold(false);
        gate(&self.tasks).resume();
        self.jobs.resume();
    }

    /// Ends the process: nobody is told anything.
    pub(super) fn die(&self) {
        self.link.die();
        gate(&self.tasks).kill();
        self.jobs.kill();
    }

    /// Drops the manager's tasks; those that it starts from now on run.
    pub(super) fn lose_runtime(&self) {
        let lost = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        if lost.is_paused() {
            gate(&self.tasks).pause();
        }
        lost.kill();
    }

    /// Asks the jobs to end.
    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until the jobs are to end.
    pub(super) async fn until_stopping(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives as long as the process.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// The number of tasks that the manager and the program have.
    pub(super) fn tasks(&self) -> (usize, usize) {
        (gate(&self.tasks).tasks(), self.jobs.tasks())
    }

    /// Fails when a task of the process panicked.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let panic = self.jobs.panic().or_else(|| gate(&self.tasks).panic());
        let broken = |said| Violation::new("Nothing panics.", format!("p{}: {said}", self.slot));
        panic.map_or(Ok(()), |said| Err(broken(said)))
    }

    /// The longest time that a message takes one way while nothing is wrong.
    pub(super) const fn delay(&self) -> Duration {
        self.plan.delay
    }

    /// What the bounds of a quiet time need to know.
    pub(super) fn living(&self) -> Living {
        let (owner, life) = (self.manager.owner().as_str().to_owned(), Arc::clone(&self.jobs));
        Living { owner, life, delay: self.delay() }
    }
}

fn gate(tasks: &Mutex<Arc<Gate>>) -> Arc<Gate> {
    Arc::clone(&tasks.lock().unwrap_or_else(PoisonError::into_inner))
}
