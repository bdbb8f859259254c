//! The thread of a blocking manager, with the runtime of its tasks.

use std::sync::Arc;
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::manager::LockManager;
use crate::{Error, ErrorKind, Operation, Result};

/// The runtime of a blocking manager. Its thread ends when this is dropped, and what was dropped
/// before is released.
#[derive(Debug)]
pub(super) struct Background {
    runtime: Handle,
    manager: LockManager,
    /// Takes the manager whose releases the thread waits for at its end.
    end: Option<oneshot::Sender<LockManager>>,
}

impl Background {
    /// Starts the thread, and makes the manager in its runtime.
    pub(super) fn start<F>(manager: F) -> Result<Arc<Self>>
    where
        F: AsyncFnOnce() -> Result<LockManager>,
    {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(not_started)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<LockManager>();
        let thread = thread::Builder::new().name("lock-manager".to_owned()).spawn(move || {
            runtime.block_on(async {
                if let Ok(manager) = ended.await {
                    manager.shutdown().await;
                }
            });
        });
        thread.map_err(not_started)?;
        let manager = block_on(&handle, Operation::Connect, manager())?;
        let manager = manager.with_runtime(handle.clone());
        Ok(Arc::new(Self { runtime: handle, manager, end: Some(end) }))
    }

    /// The manager behind the blocking one.
    pub(super) const fn manager(&self) -> &LockManager {
        &self.manager
    }

    /// The runtime, which is never that of the calling thread.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Blocks until the future is done.
    pub(super) fn block_on<T>(
        &self,
        operation: Operation,
        future: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        block_on(&self.runtime, operation, future)
    }
}

fn block_on<T>(
    runtime: &Handle,
    operation: Operation,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    refuse_in_runtime(operation)?;
    runtime.block_on(future)
}

/// Fails in a thread of a runtime, which a blocking call would stop.
pub(super) fn refuse_in_runtime(operation: Operation) -> Result<()> {
    if Handle::try_current().is_err() {
        return Ok(());
    }
    let cause = "a blocking call inside an async runtime; use lock_core::LockManager there";
    Err(Error::new(ErrorKind::Unsupported, operation).with_source(cause))
}

fn not_started(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, Operation::Connect).with_source(error)
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            // The thread is there until it has taken this.
            let _ = end.send(self.manager.clone());
        }
    }
}
