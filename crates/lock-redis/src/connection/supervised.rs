//! Tasks that begin anew when they panic.

use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

/// Pause before a task begins anew.
const PAUSE: Duration = Duration::from_millis(100);

/// A task that ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Supervised(AbortHandle);

impl Supervised {
    /// Runs what `begin` makes until it ends, and makes it anew when it panics.
    pub(crate) fn spawn<F>(
        name: &'static str,
        mut begin: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let supervisor = async move {
            loop {
                let mut task = JoinSet::new();
                task.spawn(begin());
                match task.join_next().await {
                    Some(Err(error)) if error.is_panic() => {
                        tracing::error!(task = name, %error, "a task panicked and restarts");
                    }
                    _ => return,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        Self(tokio::spawn(supervisor).abort_handle())
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn task_that_panics_begins_anew() {
        let begun = Arc::new(AtomicU32::new(0));
        let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let task = Supervised::spawn("test", {
            let begun = Arc::clone(&begun);
            move || {
                let (number, sender) = (begun.fetch_add(1, Ordering::Relaxed), sender.clone());
                async move {
                    assert!(number >= 2, "not yet");
                    sender.send(number).unwrap();
                }
            }
        });
        assert_eq!(ended.recv().await, Some(2));
        assert_eq!(ended.recv().await, None, "a task that ends is over");
        drop(task);
    }

    #[tokio::test(start_paused = true)]
    async fn task_ends_when_it_is_dropped() {
        let (sender, mut ended) = tokio::sync::mpsc::unbounded_channel::<()>();
        let task = Supervised::spawn("test", move || {
            let sender = sender.clone();
            async move {
                std::future::pending::<()>().await;
                drop(sender);
            }
        });
        tokio::task::yield_now().await;
        drop(task);
        assert_eq!(ended.recv().await, None);
    }
}
