//! Batching of short commands. With nothing in flight, the caller sends its command directly;
//! commands that arrive meanwhile are sent together by a task.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lock_core::{LockKey, Operation, Result};
use metrics::Histogram;
use redis::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::task::coop::unconstrained;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::command_queue::{Call, CommandQueue, Due, Entry, Work};
use crate::command_state::{Capacity, CommandState};
use crate::connection::Connection;
use crate::connection::handle::ConnectionHandle;
use crate::connection::supervised::Supervised;
use crate::contended::Contended;
use crate::route::Route;
use crate::telemetry;

/// Batcher of short commands. Its task stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Batcher {
    state: Arc<BatcherState>,
    _task: Supervised,
}

/// State shared by the callers and the task.
#[derive(Debug)]
struct BatcherState {
    route: Route,
    contended: Arc<Contended>,
    /// The name of the last token's key.
    token: String,
    queue: Mutex<CommandQueue>,
    sizes: Histogram,
    /// Told when there is something to do.
    wake: Notify,
    /// `true` if the task sends all commands.
    #[cfg(feature = "test-util")]
    is_always_on: bool,
}

/// A command or batch in flight.
#[derive(Debug)]
pub(crate) struct InFlight {
    state: Arc<BatcherState>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.state.queue().came_back() {
            self.state.wake.notify_one();
        }
    }
}

/// Guard of a command without an answer. If dropped, it withdraws an unsent command; after a sent
/// one, the connection is probed.
struct CommandGuard {
    state: Arc<CommandState>,
    is_answered: bool,
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        if self.is_answered || self.state.withdraw() {
            return;
        }
        if let Some(sent) = self.state.sent() {
            sent.health.doubted.notify_one();
        }
    }
}

impl Batcher {
    pub(crate) fn start(
        route: Route,
        contended: Arc<Contended>,
        token: String,
        #[cfg(feature = "test-util")] is_always_on: bool,
    ) -> Self {
        let state = Arc::new(BatcherState {
            route,
            contended,
            token,
            queue: Mutex::default(),
            sizes: telemetry::batches(),
            wake: Notify::new(),
            #[cfg(feature = "test-util")]
            is_always_on,
        });
        let of_task = Arc::clone(&state);
        let begin = move || work(Arc::clone(&of_task));
        Self { state, _task: Supervised::spawn("batcher", begin) }
    }

    /// Returns a permit to send a command directly, if nothing else is in flight.
    pub(crate) fn alone(&self) -> Option<InFlight> {
        #[cfg(feature = "test-util")]
        if self.state.is_always_on {
            return None;
        }
        let is_alone = self.state.queue().goes_alone();
        is_alone.then(|| self.state.on_its_way())
    }

    /// Returns `true` if a command for this key is queued, so that the next one must queue behind
    /// it.
    pub(crate) fn has(&self, key: &LockKey) -> bool {
        self.state.queue().has(key)
    }

    /// Sends a command in a batch, behind others of its key, and returns its answer.
    pub(crate) async fn send(
        &self,
        operation: Operation,
        key: &LockKey,
        work: Work,
    ) -> Result<Value> {
        let route = &self.state.route;
        let limit = route.timeout();
        let (sender, answer) = oneshot::channel();
        let state = Arc::<CommandState>::default();
        let entry = Entry::new(operation, key.clone(), work, Arc::clone(&state), sender);
        let since = entry.since;
        let is_news = self.state.queue().push(entry);
        if is_news {
            self.state.wake.notify_one();
        }
        let mut waiting = CommandGuard { state, is_answered: false };
        let mut answer = pin!(answer);
        let mut until = since + limit;
        loop {
            let before = route.answers();
            match timeout_at(until, &mut answer).await {
                Ok(Ok(answer)) => {
                    waiting.is_answered = true;
                    return answer;
                }
                // The task that sent it has panicked.
                Ok(Err(_)) => return Err(route.no_answer(operation)),
                Err(_) => {}
            }
            // The limits are those of a single command: one for the turn, which begins anew as long
            // as others are answered, and one for the connection and the answer together.
            let capacity = self.state.queue().capacity;
            until = match waiting.state.sent() {
                Some(sent) if sent.deadline > until => sent.deadline,
                Some(_) => return Err(route.no_answer(operation)),
                None => match capacity.deadline(since, limit) {
                    Some(deadline) if deadline > until => deadline,
                    None if route.answers() != before => Instant::now() + limit,
                    _ if waiting.state.withdraw() => {
                        return Err(route.unreachable(operation));
                    }
                    // It was sent just now.
                    _ => until,
                },
            };
        }
    }
}

impl BatcherState {
    fn queue(&self) -> MutexGuard<'_, CommandQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_its_way(self: &Arc<Self>) -> InFlight {
        InFlight { state: Arc::clone(self) }
    }
}

/// Sends what is gathered, for ever.
async fn work(state: Arc<BatcherState>) {
    let mut sent = JoinSet::new();
    loop {
        let due = state.queue().due(Instant::now());
        match due {
            Due::Never => state.wake.notified().await,
            // The runtime's clock has steps of a millisecond: this is the next of them.
            Due::By(since) => tokio::select! {
                () = state.wake.notified() => {}
                () = sleep_until(since) => send_all(&state, &mut sent).await,
            },
            Due::Now => send_all(&state, &mut sent).await,
        }
        while sent.try_join_next().is_some() {}
    }
}

/// Sends a batch of what is gathered, in one turn and as soon as there is a connection: until then,
/// it may still be withdrawn.
async fn send_all(state: &Arc<BatcherState>, sent: &mut JoinSet<()>) {
    // The answers to a batch come together, and so do the next commands: all who run now are first.
    yield_now().await;
    let Some((connection, handle, turn)) = capacity(state).await else { return };
    // From here on nothing is waited for: what is taken is on the line, or has failed.
    let (turn, limit) = (Arc::new(turn), state.route.timeout());
    // A batch has one turn, and each whole command has one: else a crowd would all be on the line at
    // once, and its last would not be answered in time.
    let whole_limit = 1 + connection.free_turns();
    let is_contended = |key: &LockKey| state.contended.contains(key);
    let calls = state.queue().take(&handle.health, limit, whole_limit, is_contended);
    for call in calls {
        let own = if call.is_whole() { connection.free_turn() } else { None };
        let turn = own.map_or_else(|| Arc::clone(&turn), Arc::new);
        let way = (Arc::clone(&connection), handle.clone());
        send(state, way, turn, call, sent).await;
    }
}

/// The connection of a batch and its turn; `None` when no operation was answered for as long as one
/// may take.
async fn capacity(
    state: &BatcherState,
) -> Option<(Arc<Connection>, ConnectionHandle, OwnedSemaphorePermit)> {
    loop {
        let connection = state.route.connection().await?;
        let turn = match connection.free_turn() {
            Some(turn) => turn,
            None => {
                state.queue().capacity = Capacity::Exhausted;
                connection.turn().await?
            }
        };
        state.queue().capacity.is_there();
        let (owner, handle) = state.route.ready().await?;
        // The slot may have another owner by now.
        if Arc::ptr_eq(&owner, &connection) {
            return Some((connection, handle, turn));
        }
    }
}

/// Sends a call, behind those before it, and lets its answer be waited for.
async fn send(
    state: &Arc<BatcherState>,
    (connection, handle): (Arc<Connection>, ConnectionHandle),
    turn: Arc<OwnedSemaphorePermit>,
    call: Call,
    sent: &mut JoinSet<()>,
) {
    if !call.is_whole() {
        #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
        state.sizes.record(call.len() as f64);
    }
    state.queue().went();
    let on_its_way = state.on_its_way();
    let of_call = Arc::clone(state);
    // Without a budget, which might let the first poll do nothing.
    let mut answering = Box::pin(unconstrained(async move {
        let (keys, args) = (call.keys(&of_call.token), call.args());
        let (operation, deadline, script) = (call.operation, call.deadline, call.script);
        let way = (&*connection, handle);
        let answer = of_call.route.run_on(way, deadline, operation, script, &keys, &args).await;
        drop((on_its_way, turn));
        drop(args);
        call.answer(answer);
    }));
    // It is on the line when it was polled once: the next goes behind it.
    let is_done =
        std::future::poll_fn(|cx| std::task::Poll::Ready(answering.as_mut().poll(cx).is_ready()));
    if !is_done.await {
        sent.spawn(answering);
    }
}
