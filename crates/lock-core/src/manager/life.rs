//! The life of a manager: the runtime that its tasks live in, and how both end.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::releaser::{ReleaseFuture, run_releaser};
use crate::{Error, ErrorKind, Operation, Result};

/// A task of a manager.
pub(super) type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The runtime that the tasks of a manager live in.
#[derive(Clone)]
enum Home {
    Runtime(Handle),
    #[cfg(feature = "test-util")]
    Spawner(Arc<dyn Fn(Task) + Send + Sync>),
}

/// Lifetime of a manager: its runtime and its shutdown.
#[derive(Debug)]
pub(super) struct Life {
    home: OnceLock<Home>,
    /// Channel to the releaser task, while it runs.
    tasks: Mutex<Option<mpsc::UnboundedSender<ReleaseFuture>>>,
    is_started: AtomicBool,
    /// Completes when no further request is served: the manager was shut down, or its runtime is
    /// gone.
    closed: CancellationToken,
    is_orphaned: AtomicBool,
    /// Done when the tasks are to end.
    stopped: CancellationToken,
}

impl Life {
    /// A life in the runtime that is current, or else in that of the first use.
    pub(super) fn new() -> Self {
        let home = OnceLock::new();
        if let Ok(runtime) = Handle::try_current() {
            let _ = home.set(Home::Runtime(runtime));
        }
        Self::at(home)
    }

    /// A life in this runtime.
    pub(super) fn in_runtime(runtime: Handle) -> Self {
        Self::at(OnceLock::from(Home::Runtime(runtime)))
    }

    /// A life of tasks that `spawn` starts.
    #[cfg(feature = "test-util")]
    pub(super) fn with_spawner(spawn: Arc<dyn Fn(Task) + Send + Sync>) -> Self {
        Self::at(OnceLock::from(Home::Spawner(spawn)))
    }

    fn at(home: OnceLock<Home>) -> Self {
        Self {
            home,
            tasks: Mutex::new(None),
            is_started: AtomicBool::new(false),
            closed: CancellationToken::new(),
            is_orphaned: AtomicBool::new(false),
            stopped: CancellationToken::new(),
        }
    }

    /// Completes when no further request is served.
    pub(super) const fn closed(&self) -> &CancellationToken {
        &self.closed
    }

    /// Rejects all further requests.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Ends the tasks.
    pub(super) fn stop(&self) {
        self.closed.cancel();
        self.stopped.cancel();
        // Dropped outside of the lock: what it still holds may end this life once more.
        let sender = self.tasks().take();
        drop(sender);
    }

    /// Returns `true` if the runtime of the tasks is gone.
    pub(super) fn is_orphaned(&self) -> bool {
        self.is_orphaned.load(Ordering::SeqCst)
    }

    /// The error of a call on a manager that is closed.
    pub(super) fn error(&self, operation: Operation) -> Error {
        let error = Error::new(ErrorKind::ShutDown, operation);
        if self.is_orphaned() {
            error.with_source("the runtime of the manager's tasks is gone")
        } else {
            error
        }
    }

    /// Starts the tasks, if they were not.
    pub(super) fn start(
        self: &Arc<Self>,
        operation: Operation,
        tasks: impl FnOnce() -> Vec<Task>,
    ) -> Result<()> {
        if self.closed.is_cancelled() {
            return Err(self.error(operation));
        }
        if self.is_started.load(Ordering::Acquire) {
            return Ok(());
        }
        let home = self.home(operation)?;
        home.check(operation)?;
        let receiver = {
            let mut jobs = self.tasks();
            if self.is_started.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            let (sender, receiver) = mpsc::unbounded_channel();
            *jobs = Some(sender);
            receiver
        };
        // Outside of the lock: a runtime that is gone drops a task at once, which ends this life.
        home.spawn(Box::pin(run_releaser(receiver)));
        for task in tasks() {
            let resident = Resident(Arc::clone(self));
            home.spawn(Box::pin(async move {
                resident.0.stopped.run_until_cancelled(task).await;
            }));
        }
        if self.closed.is_cancelled() { Err(self.error(operation)) } else { Ok(()) }
    }

    /// Returns `true` if the caller is in the runtime of the tasks.
    pub(super) fn is_at_home(&self) -> bool {
        match (self.home.get(), Handle::try_current()) {
            (Some(Home::Runtime(home)), Ok(current)) => home.id() == current.id(),
            #[cfg(feature = "test-util")]
            (Some(Home::Spawner(_)), Ok(_)) => true,
            _ => false,
        }
    }

    /// Hands a release to the releaser task; drops it if the runtime is gone.
    pub(super) fn hand_over(&self, telling: ReleaseFuture) {
        let sender = self.tasks().clone();
        // Dropped outside of the lock: that takes it, too, by way of what it holds.
        drop(sender.map(|sender| sender.send(telling)));
    }

    fn home(&self, operation: Operation) -> Result<Home> {
        if let Ok(runtime) = Handle::try_current() {
            return Ok(self.home.get_or_init(|| Home::Runtime(runtime)).clone());
        }
        self.home.get().cloned().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, operation)
                .with_source("no current tokio runtime, and none was given to the manager")
        })
    }

    fn tasks(&self) -> MutexGuard<'_, Option<mpsc::UnboundedSender<ReleaseFuture>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The presence of a task in its runtime: when the runtime drops it, the manager is closed.
struct Resident(Arc<Life>);

impl Drop for Resident {
    fn drop(&mut self) {
        if !self.0.stopped.is_cancelled() {
            self.0.is_orphaned.store(true, Ordering::SeqCst);
            self.0.stop();
        }
    }
}

impl Home {
    /// Checks that the runtime has a timer.
    fn check(&self, operation: Operation) -> Result<()> {
        let _in = match self {
            Self::Runtime(runtime) => runtime.enter(),
            #[cfg(feature = "test-util")]
            Self::Spawner(_) => return Ok(()),
        };
        catch_unwind(AssertUnwindSafe(|| drop(tokio::time::sleep(Duration::ZERO)))).map_err(|_| {
            Error::new(ErrorKind::Unsupported, operation)
                .with_source("the runtime has no timer: build it with `enable_time`")
        })
    }

    /// Spawns a task on the runtime; drops it if the runtime is gone.
    fn spawn(&self, task: Task) {
        match self {
            Self::Runtime(runtime) => drop(runtime.spawn(task)),
            #[cfg(feature = "test-util")]
            Self::Spawner(spawn) => spawn(task),
        }
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Runtime(_) => "Runtime",
            #[cfg(feature = "test-util")]
            Self::Spawner(_) => "Spawner",
        })
    }
}
