//! The gate in front of a process's tasks: stops, resumes and drops all of them.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

/// A future that runs behind a gate.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The gate in front of a process's tasks.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    is_dead: bool,
    paused_since: Option<Instant>,
    paused: Duration,
    /// The tasks behind the gate, each with who wakes it.
    tasks: BTreeMap<u64, Option<Waker>>,
    next: u64,
    panic: Option<String>,
}

impl Gate {
    /// Runs a task behind the gate.
    pub(super) fn spawn(self: &Arc<Self>, task: Task) {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.tasks.insert(id, None);
        drop(state);
        tokio::spawn(Gated { gate: Arc::clone(self), id, task: Some(task) });
    }

    /// Stops all tasks until [`resume`](Self::resume).
    pub(super) fn pause(&self) {
        self.state().paused_since.get_or_insert_with(Instant::now);
    }

    /// Lets all tasks go on.
    pub(super) fn resume(&self) {
        let mut state = self.state();
        if let Some(since) = state.paused_since.take() {
            state.paused += since.elapsed();
        }
        wake_all(state);
    }

    /// Drops all tasks, as soon as the runtime gets to it.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.is_dead = true;
        wake_all(state);
    }

    /// Returns `true` if the tasks are dropped.
    pub(super) fn is_dead(&self) -> bool {
        self.state().is_dead
    }

    /// Returns `true` if the tasks are stopped.
    pub(super) fn is_paused(&self) -> bool {
        self.state().paused_since.is_some()
    }

    /// The total time for which the tasks were stopped.
    pub(super) fn paused(&self) -> Duration {
        let state = self.state();
        state.paused + state.paused_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The number of tasks that have not ended.
    pub(super) fn tasks(&self) -> usize {
        self.state().tasks.len()
    }

    /// The message of the first panic in a task.
    pub(super) fn panic(&self) -> Option<String> {
        self.state().panic.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake_all(mut state: MutexGuard<'_, State>) {
    let wakers: Vec<Waker> = state.tasks.values_mut().filter_map(Option::take).collect();
    drop(state);
    wakers.into_iter().for_each(Waker::wake);
}

/// A task behind a gate.
struct Gated {
    gate: Arc<Gate>,
    id: u64,
    task: Option<Task>,
}

impl Future for Gated {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.gate.state();
        if !state.is_dead {
            let waker = cx.waker().clone();
            state.tasks.insert(self.id, Some(waker));
            if state.paused_since.is_some() {
                return Poll::Pending;
            }
            drop(state);
            let Some(task) = &mut self.task else { return Poll::Ready(()) };
            match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => {}
                Err(panic) => {
                    self.gate.state().panic.get_or_insert_with(|| said(&*panic));
                }
            }
        } else {
            drop(state);
        }
        self.task = None;
        Poll::Ready(())
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

impl Drop for Gated {
    fn drop(&mut self) {
        self.gate.state().tasks.remove(&self.id);
    }
}
