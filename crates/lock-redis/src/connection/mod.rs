//! The command connection: supervised, re-established after failures, and never trusted.

pub(crate) mod dialer;
pub(crate) mod handle;
pub(crate) mod probe;
pub(crate) mod supervised;
pub(crate) mod supervisor;

use std::pin::pin;
use std::sync::Arc;
#[cfg(feature = "cluster")]
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lock_core::{Error, Operation, Result, Timestamp};
use redis::{Cmd, Value};
#[cfg(feature = "cluster")]
use tokio::sync::Notify;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::RedisConfig;
use crate::connection::dialer::{Connect, Dialer, Pushes};
use crate::connection::handle::{ConnectionHandle, ConnectionHealth, ConnectionSlot, is_over};
use crate::connection::supervised::Supervised;
use crate::connection::supervisor::ConnectionSupervisor;
use crate::error;
use crate::keyspace::Keyspace;
use crate::notify::Mailboxes;
use crate::replicas::ReplicaCounter;
use crate::reply;
use crate::script::{Arg, Script, Scripts};
use crate::topology::Endpoint;
#[cfg(feature = "cluster")]
use crate::topology::cluster::{Address, Cluster};
#[cfg(feature = "cluster")]
use crate::topology::cluster_view::Redirect;

/// Maximum number of operations that are on their way at once. The others wait for their turn, and
/// their time does not run as long as operations are answered.
const TURNS: usize = 512;

/// Fraction of the time-out after which the connection is probed.
const DOUBTED_AFTER: u32 = 4;

/// The keyspaces that a new connection enters.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    One(Arc<Keyspace>),
    /// Those of the shards that a node of a cluster has.
    #[cfg(feature = "cluster")]
    OfNode(Weak<Cluster>, Address),
}

/// The failure of a command that was sent.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Where the server says that the command belongs, if it says so.
    #[cfg(feature = "cluster")]
    pub(crate) redirect: Option<Redirect>,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            error,
            #[cfg(feature = "cluster")]
            redirect: None,
        }
    }
}

impl Failure {
    fn with_server(mut self, server: &Arc<str>) -> Self {
        self.error = self.error.with_server(Arc::clone(server));
        self
    }
}

/// Connection of a store, closed on drop.
#[derive(Debug)]
pub(crate) struct Connection {
    slot: Arc<ConnectionSlot>,
    mailboxes: Arc<Mailboxes>,
    /// Time-out of an operation.
    pub(crate) timeout: Duration,
    turns: Arc<Semaphore>,
    /// Number of answers so far.
    answers: AtomicU64,
    /// Counts replicas, where grants wait for them.
    counter: Option<ReplicaCounter>,
    _supervisor: Supervised,
}

/// Guard of a sent command. If dropped without an answer, the connection is probed.
struct SentCommand<'a> {
    health: &'a ConnectionHealth,
    is_answered: bool,
}

impl Drop for SentCommand<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.health.doubted.notify_one();
        }
    }
}

impl Connection {
    /// Starts the supervisor, which begins to connect.
    #[cfg(feature = "cluster")]
    pub(crate) fn begin(
        dialer: Dialer,
        places: Places,
        mailboxes: Arc<Mailboxes>,
        scripts: Scripts,
        changed: Arc<Notify>,
    ) -> Self {
        let config = dialer.config.clone();
        let Places::OfNode(_, (host, port)) = &places else { unreachable!("a node") };
        let server = format!("{host}:{port}").into();
        let slot = Arc::new(ConnectionSlot::new(server, scripts, Some(changed)));
        let supervisor = ConnectionSupervisor { dialer, places, mailboxes, slot };
        Self::keep(supervisor, &config, None)
    }

    /// Connects and starts the supervisor.
    pub(crate) async fn open(
        endpoint: Endpoint,
        config: &RedisConfig,
        keyspace: Arc<Keyspace>,
        mailboxes: Arc<Mailboxes>,
        scripts: Scripts,
    ) -> Result<Self> {
        let slot = Arc::new(ConnectionSlot::new(config.address(), scripts, None));
        let mut supervisor = ConnectionSupervisor {
            dialer: Dialer::new(endpoint, config.clone()),
            places: Places::One(Arc::clone(&keyspace)),
            mailboxes,
            slot: Arc::clone(&slot),
        };
        let (handle, pushes) = supervisor.connect().await?;
        probe::probe(&handle, &slot.scripts, &keyspace, config).await?;
        slot.up(handle.clone());
        Ok(Self::keep(supervisor, config, Some((handle, pushes))))
    }

    fn keep(
        supervisor: ConnectionSupervisor,
        config: &RedisConfig,
        mut first: Option<(ConnectionHandle, Pushes)>,
    ) -> Self {
        let (slot, mailboxes) = (Arc::clone(&supervisor.slot), Arc::clone(&supervisor.mailboxes));
        let counter = (config.min_replicas > 0)
            .then(|| ReplicaCounter::start(supervisor.dialer.another(), config.min_replicas));
        let supervisor =
            Supervised::spawn("connection", move || supervisor.clone().run(first.take()));
        let turns = Arc::new(Semaphore::new(TURNS));
        let (timeout, answers) = (config.timeout, AtomicU64::new(0));
        Self { slot, mailboxes, timeout, turns, answers, counter, _supervisor: supervisor }
    }

    /// Returns `true` if this is the connection that there is.
    #[cfg(feature = "cluster")]
    pub(crate) fn is_current(&self, handle: &ConnectionHandle) -> bool {
        self.slot.open().is_some_and(|open| Arc::ptr_eq(&open.health, &handle.health))
    }

    /// The run of the server, if it is reached.
    pub(crate) fn run_of_server(&self) -> Option<Arc<str>> {
        self.slot.open().map(|handle| handle.run)
    }

    /// Counts replicas, where grants wait for them.
    pub(crate) const fn counter(&self) -> Option<&ReplicaCounter> {
        self.counter.as_ref()
    }

    /// The connection itself, if there is one.
    #[cfg(feature = "cluster")]
    pub(crate) fn open_handle(&self) -> Option<ConnectionHandle> {
        self.slot.open()
    }

    /// Fails unless the user may do all that is ever done.
    #[cfg(feature = "cluster")]
    pub(crate) async fn probe(
        &self,
        handle: &ConnectionHandle,
        keyspace: &Keyspace,
        config: &RedisConfig,
    ) -> Result<()> {
        probe::probe(handle, &self.slot.scripts, keyspace, config).await
    }

    /// Runs a script.
    pub(crate) async fn run(
        &self,
        operation: Operation,
        script: &'static Script,
        keys: &[impl AsRef<str>],
        args: &[Arg<'_>],
    ) -> Result<Value> {
        let scripts = &self.slot.scripts;
        let call =
            async |handle: &mut ConnectionHandle| handle.call(scripts, script, keys, args).await;
        self.within(operation, call).await.map_err(|failure| failure.error)
    }

    /// The present time of the store.
    pub(crate) async fn now(&self, operation: Operation) -> Result<Timestamp> {
        if let Some(steered) = self.slot.scripts.steered() {
            return Ok(steered);
        }
        let time = self.command(operation, &redis::cmd("TIME")).await?;
        let parts = reply::list(time);
        let number = |part: &Vec<u8>| str::from_utf8(part).ok()?.parse::<u64>().ok();
        let now = parts.and_then(|parts| match parts.as_slice() {
            [seconds, micros] => Some(number(seconds)? * 1_000_000 + number(micros)?),
            _ => None,
        });
        let corrupt = || error::corrupt(operation).with_server(Arc::clone(&self.slot.server));
        now.map(Timestamp::from_micros).ok_or_else(corrupt)
    }

    /// Runs a command.
    pub(crate) async fn command(&self, operation: Operation, command: &Cmd) -> Result<Value> {
        let send = async |handle: &mut ConnectionHandle| handle.send(command).await;
        self.within(operation, send).await.map_err(|failure| failure.error)
    }

    /// Does something on the connection, in time, and watches whether it answers.
    async fn within(
        &self,
        operation: Operation,
        send: impl AsyncFnOnce(&mut ConnectionHandle) -> redis::RedisResult<Value>,
    ) -> Result<Value, Failure> {
        let done = self.attempt(operation, send).await;
        done.map_err(|failure| failure.with_server(&self.slot.server))
    }

    async fn attempt(
        &self,
        operation: Operation,
        send: impl AsyncFnOnce(&mut ConnectionHandle) -> redis::RedisResult<Value>,
    ) -> Result<Value, Failure> {
        let unreachable = || self.unreachable(operation);
        let _turn = self.turn().await.ok_or_else(unreachable)?;
        let deadline = Instant::now() + self.timeout;
        let handle = timeout_at(deadline, self.slot.handle()).await.ok().flatten();
        self.on(handle.ok_or_else(unreachable)?, deadline, operation, send).await
    }

    /// The connection itself, as soon as there is one.
    pub(crate) async fn handle(&self) -> Option<ConnectionHandle> {
        self.slot.handle().await
    }

    /// Runs a script on a connection in the turn that the caller has.
    pub(crate) async fn run_on(
        &self,
        handle: ConnectionHandle,
        deadline: Instant,
        operation: Operation,
        script: &'static Script,
        keys: &[impl AsRef<str>],
        args: &[Arg<'_>],
    ) -> Result<Value, Failure> {
        let scripts = &self.slot.scripts;
        let call =
            async |handle: &mut ConnectionHandle| handle.call(scripts, script, keys, args).await;
        let done = self.on(handle, deadline, operation, call).await;
        done.map_err(|failure| failure.with_server(&self.slot.server))
    }

    /// Runs a command on a connection in the turn that the caller has.
    #[cfg(feature = "cluster")]
    pub(crate) async fn command_on(
        &self,
        handle: ConnectionHandle,
        deadline: Instant,
        operation: Operation,
        command: &Cmd,
    ) -> Result<Value, Failure> {
        let send = async |handle: &mut ConnectionHandle| handle.send(command).await;
        let done = self.on(handle, deadline, operation, send).await;
        done.map_err(|failure| failure.with_server(&self.slot.server))
    }

    /// The error of an operation that is not sent, as the server is not reached.
    pub(crate) fn unreachable(&self, operation: Operation) -> Error {
        let error = error::unreachable(operation, self.slot.cause());
        error.with_server(Arc::clone(&self.slot.server))
    }

    /// The error of an operation that was sent, and not answered in time.
    pub(crate) fn no_answer(&self, operation: Operation) -> Error {
        let error = error::no_answer(operation, self.timeout);
        error.with_server(Arc::clone(&self.slot.server))
    }

    /// Number of answers so far.
    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    async fn on(
        &self,
        mut handle: ConnectionHandle,
        deadline: Instant,
        operation: Operation,
        send: impl AsyncFnOnce(&mut ConnectionHandle) -> redis::RedisResult<Value>,
    ) -> Result<Value, Failure> {
        let health = Arc::clone(&handle.health);
        #[cfg(feature = "cluster")]
        let server = Arc::clone(&handle.address);
        let mut sent = SentCommand { health: &health, is_answered: false };
        let mut call = pin!(send(&mut handle));
        let early = deadline.min(Instant::now() + self.timeout / DOUBTED_AFTER);
        let answered = match timeout_at(early, &mut call).await {
            Ok(answer) => Ok(answer),
            Err(_) => {
                // However long its caller waits, a line that is dead is found out in time for others.
                health.doubted.notify_one();
                timeout_at(deadline, call).await
            }
        };
        match answered {
            Ok(answer) => {
                sent.is_answered = true;
                self.answers.fetch_add(1, Ordering::Relaxed);
                answer.map_err(|error| {
                    if is_over(&error) {
                        self.slot.give_up(&health, Some(error::said(&error)));
                    }
                    // Holders and waiters must know before a retry.
                    if error::is_token_missing(&error) {
                        self.mailboxes.tell_missed();
                    }
                    Failure {
                        error: error::failed(operation, &error),
                        #[cfg(feature = "cluster")]
                        redirect: Redirect::read(&error, &server),
                    }
                })
            }
            Err(_) => Err(self.no_answer(operation).into()),
        }
    }

    /// A turn that need not be waited for.
    pub(crate) fn free_turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.turns).try_acquire_owned().ok()
    }

    /// Number of turns that need not be waited for.
    pub(crate) fn free_turns(&self) -> usize {
        self.turns.available_permits()
    }

    /// The turn of an operation; `None` when no other was answered for as long as one may take.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let mut turn = pin!(Arc::clone(&self.turns).acquire_owned());
        loop {
            let answers = self.answers();
            match timeout(self.timeout, &mut turn).await {
                Ok(turn) => return turn.ok(),
                Err(_) if self.answers() == answers => return None,
                Err(_) => {}
            }
        }
    }
}
