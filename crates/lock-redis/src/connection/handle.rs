//! Handle of the command connection, shared by its users and its supervisor.

use std::sync::Arc;

use lock_redis_client::is_unknown_script;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ServerErrorKind, Value};
use tokio::sync::{Notify, watch};

use crate::script::{Arg, Form, Script, Scripts};

/// Slot of the current connection, shared by its users and its supervisor.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    state: watch::Sender<State>,
    /// Told when the connection is made or lost, if it is one of several.
    changed: Option<Arc<Notify>>,
    /// The server's address, for errors.
    pub(crate) server: Arc<str>,
    pub(crate) scripts: Scripts,
}

#[derive(Clone, Debug)]
enum State {
    /// No connection, with the cause.
    Down(Option<String>),
    Up(ConnectionHandle),
}

/// Handle of an open connection.
#[derive(Clone)]
pub(crate) struct ConnectionHandle {
    pub(crate) connection: MultiplexedConnection,
    pub(crate) form: Form,
    pub(crate) health: Arc<ConnectionHealth>,
    /// The server.
    pub(crate) address: Arc<str>,
    /// Its run, another after each start.
    pub(crate) run: Arc<str>,
    /// `true` for a command of a slot that another node is moving to this one.
    #[cfg(feature = "cluster")]
    pub(crate) asks: bool,
}

/// Health of a connection as observed by its users.
#[derive(Debug, Default)]
pub(crate) struct ConnectionHealth {
    /// Notified when a command got no answer.
    pub(crate) doubted: Notify,
    /// Notified when the connection is unusable.
    pub(crate) broken: Notify,
}

impl ConnectionSlot {
    pub(crate) fn new(server: Arc<str>, scripts: Scripts, changed: Option<Arc<Notify>>) -> Self {
        let (state, _) = watch::channel(State::Down(None));
        Self { state, changed, server, scripts }
    }

    fn change(&self) {
        if let Some(changed) = &self.changed {
            changed.notify_one();
        }
    }

    /// The connection, if there is one.
    pub(crate) fn open(&self) -> Option<ConnectionHandle> {
        match &*self.state.borrow() {
            State::Up(handle) => Some(handle.clone()),
            State::Down(_) => None,
        }
    }

    pub(crate) fn up(&self, handle: ConnectionHandle) {
        self.state.send_replace(State::Up(handle));
        self.change();
    }

    pub(crate) fn down(&self, cause: Option<String>) {
        self.state.send_replace(State::Down(cause));
    }

    /// Waits for a connection.
    pub(crate) async fn handle(&self) -> Option<ConnectionHandle> {
        if let Some(handle) = self.open() {
            return Some(handle);
        }
        let mut states = self.state.subscribe();
        let up = states.wait_for(|state| matches!(state, State::Up(_))).await.ok()?;
        match &*up {
            State::Up(handle) => Some(handle.clone()),
            State::Down(_) => None,
        }
    }

    /// Retires a connection, so that callers do not retry on it before its supervisor runs.
    pub(crate) fn give_up(&self, health: &Arc<ConnectionHealth>, cause: Option<String>) {
        self.state.send_if_modified(|state| {
            let is_used = matches!(state, State::Up(handle) if Arc::ptr_eq(&handle.health, health));
            if is_used {
                *state = State::Down(cause);
            }
            is_used
        });
        self.change();
        health.broken.notify_one();
    }

    pub(crate) fn cause(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down(cause) => cause.clone(),
            State::Up(_) => None,
        }
    }
}

impl ConnectionHandle {
    pub(crate) fn new(
        connection: MultiplexedConnection,
        form: Form,
        address: &str,
        run: Arc<str>,
    ) -> Self {
        Self {
            connection,
            form,
            health: Arc::default(),
            address: address.into(),
            run,
            #[cfg(feature = "cluster")]
            asks: false,
        }
    }

    /// Sends a command.
    pub(crate) async fn send(&mut self, command: &Cmd) -> redis::RedisResult<Value> {
        #[cfg(feature = "cluster")]
        if self.asks {
            let mut asking = redis::pipe();
            asking.cmd("ASKING").add_command(command.clone());
            let answers = self.connection.send_packed_commands(&asking, 1, 1).await?;
            return answers.into_iter().next().unwrap_or(Value::Nil).extract_error();
        }
        send(&mut self.connection, command).await
    }

    /// Calls a script, which is loaded if the server does not know it.
    pub(crate) async fn call(
        &mut self,
        scripts: &Scripts,
        script: &Script,
        keys: &[impl AsRef<str>],
        args: &[Arg<'_>],
    ) -> redis::RedisResult<Value> {
        let call = scripts.call(self.form, script, keys, args);
        match self.send(&call).await {
            Err(error) if is_unknown_script(&error) => {
                let load = scripts.load(self.form, script);
                let loaded = send(&mut self.connection, &load).await;
                match self.send(&call).await {
                    // Somebody else may have loaded it at the same time.
                    Err(error) if is_unknown_script(&error) => loaded.and(Err(error)),
                    answer => answer,
                }
            }
            answer => answer,
        }
    }
}

impl std::fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("pulse", &self.health).finish_non_exhaustive()
    }
}

/// Sends a command; what the server refuses is an error, which the driver alone leaves a value.
pub(crate) async fn send(
    connection: &mut MultiplexedConnection,
    command: &Cmd,
) -> redis::RedisResult<Value> {
    connection.send_packed_command(command).await?.extract_error()
}

/// Returns `true` if an error means that the connection is unusable.
pub(crate) fn is_over(error: &redis::RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly)
}
