//! The way of the commands of a shard to the server that has it.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Error, Operation, Result, Timestamp};
use redis::{Cmd, Value};
use tokio::time::Instant;
#[cfg(feature = "cluster")]
use tokio::time::timeout_at;

use crate::connection::Connection;
#[cfg(feature = "cluster")]
use crate::connection::Failure;
use crate::connection::handle::ConnectionHandle;
#[cfg(feature = "cluster")]
use crate::error;
use crate::script::{Arg, Script};
#[cfg(feature = "cluster")]
use crate::topology::cluster::{Cluster, no_master};
#[cfg(feature = "cluster")]
use crate::topology::cluster_view::Redirect;

/// The way of the commands of a shard.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// To the only server.
    Server(Arc<Connection>),
    /// To the master that has the slot of the shard.
    #[cfg(feature = "cluster")]
    Slot(Slot),
}

/// The way to the master that has a slot.
#[cfg(feature = "cluster")]
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) shard: usize,
    pub(crate) timeout: Duration,
    pub(crate) server: Arc<str>,
}

/// What is done in a cluster is boxed, so that the futures of one server are no larger for it.
impl Route {
    /// The connection to the only server, where there is one.
    pub(crate) const fn only_server(&self) -> Option<&Arc<Connection>> {
        match self {
            Self::Server(connection) => Some(connection),
            #[cfg(feature = "cluster")]
            Self::Slot(_) => None,
        }
    }

    /// Runs a script.
    pub(crate) async fn run(
        &self,
        operation: Operation,
        script: &'static Script,
        keys: &[impl AsRef<str>],
        args: &[Arg<'_>],
    ) -> Result<Value> {
        match self {
            Self::Server(connection) => connection.run(operation, script, keys, args).await,
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => {
                Box::pin(slot.send(operation, &Message::Script(script, keys, args))).await
            }
        }
    }

    /// Runs a command.
    pub(crate) async fn command(&self, operation: Operation, command: &Cmd) -> Result<Value> {
        match self {
            Self::Server(connection) => connection.command(operation, command).await,
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => {
                Box::pin(slot.send(operation, &Message::<String>::Command(command))).await
            }
        }
    }

    /// The present time of the server.
    pub(crate) async fn now(&self, operation: Operation) -> Result<Timestamp> {
        match self {
            Self::Server(connection) => connection.now(operation).await,
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => {
                let deadline = Instant::now() + slot.timeout;
                Box::pin(slot.now(deadline, operation)).await
            }
        }
    }

    /// The run of the server, if it is reached.
    pub(crate) fn run_of_master(&self) -> Option<Arc<str>> {
        match self {
            Self::Server(connection) => connection.run_of_server(),
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => slot.cluster.owner(slot.shard)?.run_of_server(),
        }
    }

    /// Time-out of an operation.
    pub(crate) fn timeout(&self) -> Duration {
        match self {
            Self::Server(connection) => connection.timeout,
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => slot.timeout,
        }
    }

    /// The connection, up or not, as soon as it is known.
    #[cfg_attr(
        not(feature = "cluster"),
        expect(clippy::unused_async, reason = "only an owner of a slot is waited for")
    )]
    pub(crate) async fn connection(&self) -> Option<Arc<Connection>> {
        match self {
            Self::Server(connection) => Some(Arc::clone(connection)),
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => match slot.cluster.owner(slot.shard) {
                Some(connection) => Some(connection),
                None => Box::pin(slot.ready()).await.map(|(connection, _)| connection),
            },
        }
    }

    /// The connection as soon as it is up.
    pub(crate) async fn ready(&self) -> Option<(Arc<Connection>, ConnectionHandle)> {
        match self {
            Self::Server(connection) => {
                let handle = connection.handle().await?;
                Some((Arc::clone(connection), handle))
            }
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => Box::pin(slot.ready()).await,
        }
    }

    /// Runs a script on a connection in the turn that the caller has, and once more where the
    /// server says that it belongs.
    pub(crate) async fn run_on(
        &self,
        (connection, handle): (&Connection, ConnectionHandle),
        deadline: Instant,
        operation: Operation,
        script: &'static Script,
        keys: &[impl AsRef<str>],
        args: &[Arg<'_>],
    ) -> Result<Value> {
        let answer = connection.run_on(handle, deadline, operation, script, keys, args).await;
        match self {
            Self::Server(_) => answer.map_err(|failure| failure.error),
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => {
                let message = Message::Script(script, keys, args);
                Box::pin(slot.follow(answer, deadline, operation, &message)).await
            }
        }
    }

    /// Number of answers so far.
    pub(crate) fn answers(&self) -> u64 {
        match self {
            Self::Server(connection) => connection.answers(),
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => slot.cluster.owner(slot.shard).map_or(0, |it| it.answers()),
        }
    }

    /// The error of an operation that is not sent, as the server is not reached.
    pub(crate) fn unreachable(&self, operation: Operation) -> Error {
        match self {
            Self::Server(connection) => connection.unreachable(operation),
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => slot.unreachable(operation),
        }
    }

    /// The error of an operation that was sent, and not answered in time.
    pub(crate) fn no_answer(&self, operation: Operation) -> Error {
        match self {
            Self::Server(connection) => connection.no_answer(operation),
            #[cfg(feature = "cluster")]
            Self::Slot(slot) => {
                let error = error::no_answer(operation, slot.timeout);
                error.with_server(Arc::clone(&slot.server))
            }
        }
    }
}

/// What is sent.
#[cfg(feature = "cluster")]
enum Message<'a, K> {
    Script(&'static Script, &'a [K], &'a [Arg<'a>]),
    Command(&'a Cmd),
}

#[cfg(feature = "cluster")]
impl<K: AsRef<str>> Message<'_, K> {
    async fn send(
        &self,
        connection: &Connection,
        handle: ConnectionHandle,
        deadline: Instant,
        operation: Operation,
    ) -> Result<Value, Failure> {
        match self {
            Self::Script(script, keys, args) => {
                connection.run_on(handle, deadline, operation, script, keys, args).await
            }
            Self::Command(command) => {
                connection.command_on(handle, deadline, operation, command).await
            }
        }
    }
}

#[cfg(feature = "cluster")]
impl Slot {
    /// The connection to the owner as soon as it is up. Meanwhile the owner may be another.
    async fn ready(&self) -> Option<(Arc<Connection>, ConnectionHandle)> {
        if let Some(owner) = self.cluster.owner(self.shard)
            && let Some(handle) = owner.open_handle()
        {
            return Some((owner, handle));
        }
        let mut owners = self.cluster.owners();
        self.cluster.doubt();
        loop {
            owners.mark_unchanged();
            let Some(owner) = self.cluster.owner(self.shard) else {
                owners.changed().await.ok()?;
                continue;
            };
            tokio::select! {
                handle = owner.handle() => return handle.map(|handle| (owner, handle)),
                changed = owners.changed() => changed.ok()?,
            }
        }
    }

    async fn now(&self, deadline: Instant, operation: Operation) -> Result<Timestamp> {
        self.ready_by(deadline, operation).await?.0.now(operation).await
    }

    async fn ready_by(
        &self,
        deadline: Instant,
        operation: Operation,
    ) -> Result<(Arc<Connection>, ConnectionHandle)> {
        let ready = timeout_at(deadline, self.ready()).await.ok().flatten();
        ready.ok_or_else(|| self.unreachable(operation))
    }

    /// Sends a command, and once more where the node says that it belongs.
    async fn send<K: AsRef<str>>(
        &self,
        operation: Operation,
        message: &Message<'_, K>,
    ) -> Result<Value> {
        let begun = Instant::now();
        let (mut connection, mut handle) = self.ready_by(begun + self.timeout, operation).await?;
        let _turn = connection.turn().await.ok_or_else(|| self.unreachable(operation))?;
        let deadline = Instant::now() + self.timeout;
        if !connection.is_current(&handle) {
            (connection, handle) = self.ready_by(deadline, operation).await?;
        }
        let answer = message.send(&connection, handle, deadline, operation).await;
        self.follow(answer, deadline, operation, message).await
    }

    /// The answer, or that of the node which is said to have the slot: what was answered so did not
    /// happen.
    async fn follow<K: AsRef<str>>(
        &self,
        answer: Result<Value, Failure>,
        deadline: Instant,
        operation: Operation,
        message: &Message<'_, K>,
    ) -> Result<Value> {
        let failure = match answer {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let Some(Redirect { node, is_ask }) = failure.redirect else {
            // The slot may have another owner, where this one does not answer or does not serve.
            self.cluster.doubt();
            return Err(failure.error);
        };
        let (connection, handle) = if is_ask {
            let connection = self.cluster.connection(&node)?;
            let handle = timeout_at(deadline, connection.handle()).await.ok().flatten();
            let handle = handle.ok_or_else(|| self.unreachable(operation))?;
            (connection, ConnectionHandle { asks: true, ..handle })
        } else {
            self.cluster.moved(self.shard, &node)?;
            self.ready_by(deadline, operation).await?
        };
        let answer = message.send(&connection, handle, deadline, operation).await;
        answer.map_err(|failure| failure.error)
    }

    fn unreachable(&self, operation: Operation) -> Error {
        match self.cluster.owner(self.shard) {
            Some(owner) => owner.unreachable(operation),
            None => no_master(operation).with_server(Arc::clone(&self.server)),
        }
    }
}
