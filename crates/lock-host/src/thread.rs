//! The thread that has the store, and the way around it for a command that arrives alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::command::Work;
use crate::watch::Watching;
use crate::worker::{Job, Worker};
use crate::{StateStore, StoreError};

/// Polling interval for events of other processes while a watcher exists, as hints may be lost.
const TICK: Duration = Duration::from_secs(1);

/// Handle of the thread. The thread ends when the last handle is gone.
pub(crate) struct Thread<S> {
    jobs: mpsc::Sender<Job<S>>,
    /// The number of jobs that were sent and are not done.
    ahead: Arc<AtomicUsize>,
    worker: Arc<Mutex<Worker<S>>>,
}

impl<S: StateStore> Thread<S> {
    pub(crate) fn start(worker: Worker<S>) -> Result<Self, StoreError> {
        let (sender, jobs) = mpsc::channel();
        let (watching, ahead) = (Arc::clone(&worker.watching), Arc::<AtomicUsize>::default());
        let worker = Arc::new(Mutex::new(worker));
        let (done, works) = (Arc::clone(&ahead), Arc::clone(&worker));
        let thread = std::thread::Builder::new().name("lock-host".to_owned());
        let run = move || serve(&works, &watching, &jobs, &done);
        thread.spawn(run).map_err(StoreError::unavailable)?;
        Ok(Self { jobs: sender, ahead, worker })
    }

    /// Runs a command: at once if nothing is ahead of it and the store need not wait, otherwise on
    /// the thread.
    pub(crate) fn run(&self, work: Box<dyn Work>) -> Result<(), StoreError> {
        match self.try_run(work) {
            Ok(()) => Ok(()),
            Err(work) => self.run_all(vec![work]),
        }
    }

    fn try_run(&self, work: Box<dyn Work>) -> Result<(), Box<dyn Work>> {
        // A command never overtakes one that was given before it.
        if self.ahead.load(Ordering::Acquire) > 0 {
            return Err(work);
        }
        match self.worker.try_lock() {
            Ok(mut worker) => worker.try_run(work),
            Err(_) => Err(work),
        }
    }

    /// Runs commands on the thread, together.
    pub(crate) fn run_all(&self, works: Vec<Box<dyn Work>>) -> Result<(), StoreError> {
        self.send(Job::Run(works))
    }

    /// Lets the thread do something, after the commands that were sent before.
    pub(crate) async fn ask<R: Send + 'static>(
        &self,
        what: impl FnOnce(&mut Worker<S>) -> R + Send + 'static,
    ) -> Result<R, StoreError> {
        let (sender, answer) = oneshot::channel();
        let job = move |worker: &mut Worker<S>| drop(sender.send(what(worker)));
        self.send(Job::Do(Box::new(job)))?;
        answer.await.map_err(|_| StoreError::stopped())
    }

    fn send(&self, job: Job<S>) -> Result<(), StoreError> {
        self.ahead.fetch_add(1, Ordering::Release);
        self.jobs.send(job).map_err(|_| StoreError::stopped())
    }
}

impl<S> Clone for Thread<S> {
    fn clone(&self) -> Self {
        let (jobs, ahead) = (self.jobs.clone(), Arc::clone(&self.ahead));
        Self { jobs, ahead, worker: Arc::clone(&self.worker) }
    }
}

/// Works until nobody can ask for anything any more.
fn serve<S: StateStore>(
    worker: &Mutex<Worker<S>>,
    watching: &Watching,
    jobs: &Receiver<Job<S>>,
    ahead: &AtomicUsize,
) {
    let mut ticked = Instant::now();
    loop {
        let job = match watching.is_watched() {
            true => jobs.recv_timeout(TICK.saturating_sub(ticked.elapsed())),
            false => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        // A store that panicked in an update serves nobody any more.
        let Ok(mut worker) = worker.lock() else { return };
        match job {
            Ok(job) => {
                let count = worker.work(job, jobs);
                ahead.fetch_sub(count, Ordering::Release);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // Also while jobs keep coming.
        if watching.is_watched() && ticked.elapsed() >= TICK {
            worker.tick();
            ticked = Instant::now();
        }
    }
}
