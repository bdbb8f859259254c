//! The connection of the commands: kept up, rebuilt when it breaks, and never trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::{Operation, Result, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::config::RedisConfig;
use crate::error;
use crate::keeper::{Connect, Dialer, Keeper};
use crate::layout::Layout;
use crate::notify::Mailboxes;
use crate::reply;
use crate::script::{Arg, Form, Script, Time};

/// How many operations in a row may be without an answer before the connection is given up.
const SILENCES: u32 = 3;
/// Which part of its time an operation waits at the least to count as unanswered when it is dropped:
/// dropped sooner, it says nothing of the connection.
const HEARING: u32 = 40;

/// The connection of a store. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

/// What the users of the connection and its keeper both know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: watch::Sender<State>,
    timeout: Duration,
    /// The server's address, for errors.
    server: Arc<str>,
    pub(crate) time: Time,
}

#[derive(Clone, Debug)]
pub(crate) enum State {
    /// There is no connection, because of this.
    Down(Option<String>),
    Up(Link),
}

/// A connection as long as it lasts.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) form: Form,
    pub(crate) pulse: Arc<Pulse>,
}

impl Link {
    /// Makes the server know one command or all.
    pub(crate) async fn load(
        &mut self,
        time: &Time,
        only: Option<Script>,
    ) -> redis::RedisResult<()> {
        for load in time.load(self.form, only) {
            match send(&mut self.connection, &load).await {
                // Who else loads it has loaded the same: its name is that of its text.
                Err(error) if says(&error, "already exists") => {}
                answer => drop(answer?),
            }
        }
        Ok(())
    }
}

/// What the users of a connection noticed of it.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    /// How many operations in a row were without an answer.
    silences: AtomicU32,
    /// Told when the connection is of no use any more.
    pub(crate) broken: Notify,
}

/// Something that was sent. Dropped without an answer, it is noticed: whoever asks may give up long
/// before the time of the operation is up.
struct Sent<'a> {
    shared: &'a Shared,
    pulse: &'a Arc<Pulse>,
    at: Instant,
    is_answered: bool,
}

impl<'a> Sent<'a> {
    fn new(shared: &'a Shared, pulse: &'a Arc<Pulse>) -> Self {
        Self { shared, pulse, at: Instant::now(), is_answered: false }
    }

    fn answered(mut self) {
        self.is_answered = true;
        // Seldom written, so that those who only read do not wait for each other.
        if self.pulse.silences.load(Ordering::Relaxed) > 0 {
            self.pulse.silences.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if self.is_answered || self.at.elapsed() < self.shared.timeout / HEARING {
            return;
        }
        if self.pulse.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES {
            self.shared.give_up(self.pulse);
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("pulse", &self.pulse).finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Connection {
    /// Connects, and begins to keep the connection up.
    pub(crate) async fn open(
        client: Client,
        config: &RedisConfig,
        layout: Arc<Layout>,
        mailboxes: Arc<Mailboxes>,
        time: Time,
    ) -> Result<Self> {
        let (state, _) = watch::channel(State::Down(None));
        let timeout = config.timeout;
        let server = config.address();
        let shared = Arc::new(Shared { state, timeout, server, time });
        let dialer = Dialer::new(client, config.clone());
        let mut keeper = Keeper { dialer, layout, mailboxes, shared: Arc::clone(&shared) };
        let (link, pushes) = keeper.connect().await?;
        keeper.probe(&link).await?;
        shared.state.send_replace(State::Up(link.clone()));
        let keeper = tokio::spawn(keeper.keep(link.pulse, pushes)).abort_handle();
        Ok(Self { shared, keeper })
    }

    /// Runs a script.
    pub(crate) async fn run(
        &self,
        operation: Operation,
        script: Script,
        keys: &[String],
        args: &[Arg<'_>],
    ) -> Result<Value> {
        let time = &self.shared.time;
        self.within(operation, async |link| {
            let call = time.call(link.form, script, keys, args);
            match send(&mut link.connection, &call).await {
                Err(error) if error::is_unknown_script(&error) => {
                    link.load(time, Some(script)).await?;
                    send(&mut link.connection, &call).await
                }
                answer => answer,
            }
        })
        .await
    }

    /// The present time of the store.
    pub(crate) async fn now(&self, operation: Operation) -> Result<Timestamp> {
        if let Some(steered) = self.shared.time.steered() {
            return Ok(steered);
        }
        let time = self.command(operation, &redis::cmd("TIME")).await?;
        let parts = reply::list(time);
        let number = |part: &Vec<u8>| str::from_utf8(part).ok()?.parse::<u64>().ok();
        let now = parts.and_then(|parts| match parts.as_slice() {
            [seconds, micros] => Some(number(seconds)? * 1_000_000 + number(micros)?),
            _ => None,
        });
        let corrupt = || error::corrupt(operation).with_server(Arc::clone(&self.shared.server));
        now.map(Timestamp::from_micros).ok_or_else(corrupt)
    }

    /// Runs a command.
    pub(crate) async fn command(&self, operation: Operation, command: &Cmd) -> Result<Value> {
        self.within(operation, async |link| send(&mut link.connection, command).await).await
    }

    /// Does something on the connection, in time, and watches whether it answers.
    async fn within(
        &self,
        operation: Operation,
        send: impl AsyncFnOnce(&mut Link) -> redis::RedisResult<Value>,
    ) -> Result<Value> {
        let done = self.attempt(operation, send).await;
        done.map_err(|error| error.with_server(Arc::clone(&self.shared.server)))
    }

    async fn attempt(
        &self,
        operation: Operation,
        send: impl AsyncFnOnce(&mut Link) -> redis::RedisResult<Value>,
    ) -> Result<Value> {
        let limit = self.shared.timeout;
        let deadline = Instant::now() + limit;
        let Ok(Some(mut link)) = tokio::time::timeout_at(deadline, self.shared.link()).await else {
            return Err(error::unreachable(operation, self.shared.cause()));
        };
        let pulse = Arc::clone(&link.pulse);
        let sent = Sent::new(&self.shared, &pulse);
        match tokio::time::timeout_at(deadline, send(&mut link)).await {
            Ok(Ok(answer)) => {
                sent.answered();
                Ok(answer)
            }
            Ok(Err(error)) => {
                sent.answered();
                if is_over(&error) {
                    self.shared.give_up(&pulse);
                }
                Err(error::failed(operation, &error))
            }
            Err(_) => Err(error::no_answer(operation, limit)),
        }
    }
}

impl Shared {
    /// The connection, as soon as there is one.
    async fn link(&self) -> Option<Link> {
        if let State::Up(link) = &*self.state.borrow() {
            return Some(link.clone());
        }
        let mut states = self.state.subscribe();
        let up = states.wait_for(|state| matches!(state, State::Up(_))).await.ok()?;
        match &*up {
            State::Up(link) => Some(link.clone()),
            State::Down(_) => None,
        }
    }

    /// Lets nobody use a connection any more: who tries again at once would only find it broken, again
    /// and again, before its keeper gets to run.
    fn give_up(&self, pulse: &Arc<Pulse>) {
        self.state.send_if_modified(|state| {
            let is_used = matches!(state, State::Up(link) if Arc::ptr_eq(&link.pulse, pulse));
            if is_used {
                *state = State::Down(None);
            }
            is_used
        });
        pulse.broken.notify_one();
    }

    fn cause(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down(cause) => cause.clone(),
            State::Up(_) => None,
        }
    }
}

/// Sends a command; what the server refuses is an error, which the driver alone leaves a value.
pub(crate) async fn send(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> redis::RedisResult<Value> {
    connection.send_packed_command(command).await?.extract_error()
}

/// Whether an error says that the connection is of no use any more.
fn is_over(error: &redis::RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn says(error: &redis::RedisError, words: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(words))
}

/// The text of a reply that is one.
pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

/// The line `name:...` of what `INFO` says.
pub(crate) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}
