//! What gathers the short commands of a store: with nothing on its way, a command goes at once from
//! its caller; what comes meanwhile goes together, sent by a task.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{LockKey, Operation, Result};
use redis::Value;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::connection::Connection;
use crate::contended::Contended;
use crate::error;
use crate::gathered::{Call, Due, Entry, Gathered, Standing, Work};
use crate::supervised::Supervised;

/// What gathers the short commands of a store. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Batcher {
    desk: Arc<Desk>,
    _task: Supervised,
}

/// What the callers and the task both know.
#[derive(Debug)]
struct Desk {
    connection: Arc<Connection>,
    contended: Arc<Contended>,
    /// The name of the last token's key.
    token: String,
    gathered: Mutex<Gathered>,
    /// Told when there is something to do.
    wake: Notify,
    /// Whether commands are always sent by the task.
    #[cfg(feature = "test-util")]
    is_always_on: bool,
}

/// Something that is on its way to the server, or back.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    desk: Arc<Desk>,
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if self.desk.gathered().came_back() {
            self.desk.wake.notify_one();
        }
    }
}

/// A command that waits for its answer; when it is dropped before it was sent, it never is.
struct Waiting(Arc<Standing>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

impl Batcher {
    pub(crate) fn start(
        connection: Arc<Connection>,
        contended: Arc<Contended>,
        token: String,
        #[cfg(feature = "test-util")] is_always_on: bool,
    ) -> Self {
        let desk = Arc::new(Desk {
            connection,
            contended,
            token,
            gathered: Mutex::default(),
            wake: Notify::new(),
            #[cfg(feature = "test-util")]
            is_always_on,
        });
        let of_task = Arc::clone(&desk);
        let begin = move || work(Arc::clone(&of_task));
        Self { desk, _task: Supervised::spawn("batcher", begin) }
    }

    /// Leave to send a command from its caller, as there is nothing else.
    pub(crate) fn alone(&self) -> Option<OnItsWay> {
        #[cfg(feature = "test-util")]
        if self.desk.is_always_on {
            return None;
        }
        let is_alone = self.desk.gathered().goes_alone();
        is_alone.then(|| self.desk.on_its_way())
    }

    /// Whether a command of this key waits to be sent, so that the next must go behind it.
    pub(crate) fn has(&self, key: &LockKey) -> bool {
        self.desk.gathered().has(key)
    }

    /// Sends a command with others, or behind others of its key: the answer to it.
    pub(crate) async fn send(
        &self,
        operation: Operation,
        key: &LockKey,
        work: Work,
        limit: Duration,
    ) -> Result<Value> {
        let connection = &self.desk.connection;
        let (sender, answer) = oneshot::channel();
        let standing = Arc::<Standing>::default();
        let entry = Entry::new(operation, key.clone(), work, Arc::clone(&standing), sender);
        let is_news = self.desk.gathered().push(entry);
        if is_news {
            self.desk.wake.notify_one();
        }
        let waiting = Waiting(standing);
        let mut answer = pin!(answer);
        loop {
            let before = connection.answers();
            match timeout(limit, &mut answer).await {
                Ok(Ok(answer)) => return answer,
                // The task that sent it has panicked.
                Ok(Err(_)) => return Err(error::no_answer(operation, limit)),
                // Once it is sent, there is an answer in time, be it that there is none.
                Err(_) if connection.answers() == before && waiting.0.withdraw() => {
                    return Err(connection.unreachable(operation));
                }
                Err(_) => {}
            }
        }
    }
}

impl Desk {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_its_way(self: &Arc<Self>) -> OnItsWay {
        OnItsWay { desk: Arc::clone(self) }
    }
}

/// Sends what is gathered, for ever.
async fn work(desk: Arc<Desk>) {
    let mut sent = JoinSet::new();
    loop {
        let due = desk.gathered().due(Instant::now());
        match due {
            Due::Never => desk.wake.notified().await,
            // The runtime's clock has steps of a millisecond: this is the next of them.
            Due::By(since) => tokio::select! {
                () = desk.wake.notified() => {}
                () = sleep_until(since) => send_all(&desk, &mut sent).await,
            },
            Due::Now => send_all(&desk, &mut sent).await,
        }
        while sent.try_join_next().is_some() {}
    }
}

/// Sends a batch of what is gathered, as soon as there is a connection: until then, it may still be
/// withdrawn.
async fn send_all(desk: &Arc<Desk>, sent: &mut JoinSet<()>) {
    if desk.connection.ready(Operation::Acquire).await.is_err() {
        return;
    }
    let calls = desk.gathered().take(|key| desk.contended.contains(key));
    for call in calls {
        send(desk, call, sent).await;
    }
}

/// Sends a call, after those before it, and lets its answer be waited for.
async fn send(desk: &Arc<Desk>, call: Call, sent: &mut JoinSet<()>) {
    let Ok(ready) = desk.connection.ready(call.operation).await else {
        let error = desk.connection.unreachable(call.operation);
        return call.answer(Err(error));
    };
    desk.gathered().went();
    let on_its_way = desk.on_its_way();
    let of_call = Arc::clone(desk);
    let mut answering = Box::pin(async move {
        let (keys, args) = (call.keys(&of_call.token), call.args());
        let answer = of_call.connection.run_on(ready, call.operation, call.script, &keys, &args);
        let answer = answer.await;
        drop(on_its_way);
        drop(args);
        call.answer(answer);
    });
    // It is on the line when it was polled once: the next goes behind it.
    let is_done =
        std::future::poll_fn(|cx| std::task::Poll::Ready(answering.as_mut().poll(cx).is_ready()));
    if !is_done.await {
        sent.spawn(answering);
    }
}
