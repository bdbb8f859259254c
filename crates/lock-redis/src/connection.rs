//! The one connection of a store: kept up, rebuilt when it breaks, and never trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lock_core::{Error, ErrorKind, Operation, Result, Timestamp};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, ServerErrorKind, Value};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

use crate::config::RedisConfig;
use crate::error;
use crate::layout::Layout;
use crate::notify::Sleepers;
use crate::reply;
use crate::script::{Arg, Form, Script, Time};

/// How many operations in a row may be without an answer before the connection is given up.
const SILENCES: u32 = 3;
/// How long the first and the longest pause between two attempts to connect are.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The oldest server that has all commands.
const OLDEST: (u64, u64) = (6, 2);

/// The connection of a store. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

/// What the users of the connection and its keeper both know.
#[derive(Debug)]
struct Shared {
    state: watch::Sender<State>,
    timeout: Duration,
    time: Time,
}

#[derive(Clone, Debug)]
enum State {
    /// There is no connection, because of this.
    Down(Option<String>),
    Up(Link),
}

/// A connection as long as it lasts.
#[derive(Clone)]
struct Link {
    connection: MultiplexedConnection,
    form: Form,
    pulse: Arc<Pulse>,
}

impl Link {
    /// Makes the server know the commands.
    async fn load(&mut self, time: &Time) -> redis::RedisResult<()> {
        for load in time.load(self.form) {
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
struct Pulse {
    /// How many operations in a row were without an answer.
    silences: AtomicU32,
    /// Told when the connection is of no use any more.
    broken: Notify,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("pulse", &self.pulse).finish_non_exhaustive()
    }
}

/// What keeps the connection up.
struct Keeper {
    client: Client,
    config: RedisConfig,
    layout: Arc<Layout>,
    process: [u8; 8],
    sleepers: Arc<Sleepers>,
    shared: Arc<Shared>,
    /// How the server names the last connection.
    last: Option<Peer>,
}

/// How the server names a connection: both together are hardly ever somebody else's.
#[derive(Debug)]
struct Peer {
    id: String,
    address: String,
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
        sleepers: Arc<Sleepers>,
        process: [u8; 8],
        time: Time,
    ) -> Result<Self> {
        let (state, _) = watch::channel(State::Down(None));
        let timeout = config.timeout;
        let shared = Arc::new(Shared { state, timeout, time });
        let config = config.clone();
        let mut keeper = Keeper {
            client,
            config,
            layout,
            process,
            sleepers,
            shared: Arc::clone(&shared),
            last: None,
        };
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
                Err(error) if is_unknown_script(&error) => {
                    link.load(time).await?;
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
        now.map(Timestamp::from_micros).ok_or_else(|| error::corrupt(operation))
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
        let deadline = tokio::time::Instant::now() + self.shared.timeout;
        let Ok(Some(mut link)) = tokio::time::timeout_at(deadline, self.shared.link()).await else {
            return Err(error::unreachable(operation, self.shared.cause()));
        };
        let pulse = Arc::clone(&link.pulse);
        match tokio::time::timeout_at(deadline, send(&mut link)).await {
            Ok(Ok(answer)) => {
                // Seldom written, so that those who only read do not wait for each other.
                if pulse.silences.load(Ordering::Relaxed) > 0 {
                    pulse.silences.store(0, Ordering::Relaxed);
                }
                Ok(answer)
            }
            Ok(Err(error)) => {
                if is_over(&error) {
                    pulse.broken.notify_one();
                }
                Err(error::failed(operation, &error))
            }
            Err(_) => {
                if pulse.silences.fetch_add(1, Ordering::Relaxed) + 1 >= SILENCES {
                    pulse.broken.notify_one();
                }
                Err(error::no_answer(operation))
            }
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

    fn cause(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down(cause) => cause.clone(),
            State::Up(_) => None,
        }
    }
}

type Pushes = mpsc::UnboundedReceiver<PushInfo>;

impl Keeper {
    /// Keeps the connection up for ever.
    async fn keep(mut self, mut pulse: Arc<Pulse>, mut pushes: Pushes) {
        loop {
            self.listen(&pulse, pushes).await;
            tracing::warn!(server = %self.config.server.addr(), "the connection is lost");
            self.shared.state.send_replace(State::Down(None));
            (pulse, pushes) = self.reconnect().await;
            // What was told in between is lost.
            self.sleepers.wake_all();
        }
    }

    /// Passes messages on until the connection breaks.
    async fn listen(&self, pulse: &Pulse, mut pushes: Pushes) {
        loop {
            let push = tokio::select! {
                push = pushes.recv() => push,
                () = pulse.broken.notified() => return,
            };
            let Some(PushInfo { kind, mut data }) = push else { return };
            match kind {
                PushKind::Disconnection => return,
                PushKind::Message => {
                    if let Some(Value::BulkString(message)) = data.pop() {
                        self.sleepers.tell(&message);
                    }
                }
                // Told again when somebody else made the subscription anew: what came between is lost.
                PushKind::Subscribe => self.sleepers.wake_all(),
                _ => {}
            }
        }
    }

    async fn reconnect(&mut self) -> (Arc<Pulse>, Pushes) {
        let (mut pause, longest) = PAUSES;
        loop {
            match self.connect().await {
                Ok((link, pushes)) => {
                    self.shared.state.send_replace(State::Up(link.clone()));
                    return (link.pulse, pushes);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    self.shared.state.send_replace(State::Down(cause));
                }
            }
            // Full jitter: many who lost one server do not come back at once.
            tokio::time::sleep(pause.mul_f64(rand::random())).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Makes a connection that hears of grants.
    async fn connect(&mut self) -> Result<(Link, Pushes)> {
        let limit = self.config.connect_timeout;
        match tokio::time::timeout(limit, self.attempt()).await {
            Ok(connected) => connected,
            Err(_) => {
                let cause = format!("no answer within {limit:?}");
                Err(Error::new(ErrorKind::TimedOut, Operation::Connect).with_source(cause))
            }
        }
    }

    async fn attempt(&mut self) -> Result<(Link, Pushes)> {
        let (sender, pushes) = mpsc::unbounded_channel();
        // Every operation has its own limit, and counts how often it was reached.
        let config = AsyncConnectionConfig::new()
            .set_push_sender(sender)
            .set_response_timeout(None)
            .set_connection_timeout(Some(self.config.connect_timeout));
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = connected.map_err(|error| connect_failed(&error))?;
        let mut ask = async |command: &mut Cmd| {
            let answer = send(&mut connection, command).await;
            answer.map_err(|error| connect_failed(&error))
        };
        check_version(&ask(redis::cmd("INFO").arg("server")).await?)?;
        ask(redis::cmd("CLIENT").arg("SETNAME").arg(&self.config.name)).await?;
        let peer = peer(&ask(redis::cmd("CLIENT").arg("INFO")).await?);
        // What the server has not read yet of the last connection must not take effect after what is
        // sent from now on. That it is gone already is no error. The first time nobody is meant, and
        // a user who may not is told at once.
        let nobody = Peer { id: i64::MAX.to_string(), address: "0.0.0.0:0".to_owned() };
        let last = self.last.as_ref().unwrap_or(&nobody);
        let mut kill = redis::cmd("CLIENT");
        ask(kill.arg("KILL").arg("ID").arg(&last.id).arg("ADDR").arg(&last.address)).await?;
        self.last = peer;
        ask(redis::cmd("SUBSCRIBE").arg(self.layout.channel(self.process))).await?;
        let mut link = Link { connection, form: Form::Functions, pulse: Arc::default() };
        // Not all servers have functions, and not all users may load them.
        if link.load(&self.shared.time).await.is_err() {
            link.form = Form::Scripts;
            link.load(&self.shared.time).await.map_err(|error| connect_failed(&error))?;
        }
        Ok((link, pushes))
    }

    /// Finds out whether the user may do all that the scripts do.
    async fn probe(&self, link: &Link) -> Result<()> {
        let mut connection = link.connection.clone();
        let time = &self.shared.time;
        let channel = self.layout.channel([0; 8]);
        let (keys, args) = ([self.layout.probe()], [Arg::Bytes(&channel)]);
        let call = time.call(link.form, Script::Probe, &keys, &args);
        let limit = self.config.timeout;
        let probed = tokio::time::timeout(limit, send(&mut connection, &call));
        match probed.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(connect_failed(&error)),
            Err(_) => Err(Error::new(ErrorKind::TimedOut, Operation::Connect)),
        }
    }
}

/// Sends a command; what the server refuses is an error, which the driver alone leaves a value.
async fn send(connection: &mut MultiplexedConnection, command: &Cmd) -> redis::RedisResult<Value> {
    connection.send_packed_command(command).await?.extract_error()
}

/// Nothing that fails while connecting is an operation on a lock.
fn connect_failed(error: &redis::RedisError) -> Error {
    Error::new(ErrorKind::Unavailable, Operation::Connect).with_source(error::said(error))
}

/// Whether an error says that the connection is of no use any more.
fn is_over(error: &redis::RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn is_unknown_script(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoScript)
        || says(error, "Function not found")
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

fn check_version(info: &Value) -> Result<()> {
    let version = text(info).and_then(|info| field(info, "redis_version")).unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u64>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= OLDEST {
        return Ok(());
    }
    let (major, minor) = OLDEST;
    let cause = format!("the server is of version `{version}`, and {major}.{minor} is the oldest");
    Err(Error::new(ErrorKind::Unsupported, Operation::Connect).with_source(cause))
}

fn peer(info: &Value) -> Option<Peer> {
    let word = |name: &str| {
        text(info)?.split_whitespace().find_map(|word| Some(word.strip_prefix(name)?.to_owned()))
    };
    Some(Peer { id: word("id=")?, address: word("addr=")? })
}
