//! Supervisor of the command connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{MailboxId, Operation, Result};
use redis::{Cmd, PushKind, RedisResult, ServerErrorKind, Value};

use crate::connection::dialer::{Backoff, Connect, Dialed, Dialer, Pushes, connect_failed, within};
use crate::connection::handle::{ConnectionHandle, ConnectionSlot, is_over, send};
use crate::error;
use crate::keyspace::Keyspace;
use crate::notify::Mailboxes;
use crate::record::LAYOUT_VERSION;
use crate::script::{Arg, Form, Script};
use crate::telemetry;

pub(crate) static CONNECT: Script =
    Script::short("connect", include_str!("../scripts/connect.lua"));
pub(crate) static PROBE: Script =
    Script::short("probe", include_str!("../scripts/probe.lua")).taking_memory();

/// Supervisor of the command connection.
#[derive(Clone)]
pub(crate) struct ConnectionSupervisor {
    pub(crate) dialer: Dialer,
    pub(crate) keyspace: Arc<Keyspace>,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) slot: Arc<ConnectionSlot>,
}

impl ConnectionSupervisor {
    /// Keeps the connection open, starting with an existing one if given.
    pub(crate) async fn run(mut self, mut made: Option<(ConnectionHandle, Pushes)>) {
        let reconnects = telemetry::reconnects("commands");
        let mut backoff = if made.is_some() { Backoff::connected() } else { Backoff::default() };
        loop {
            let was_made = made.is_some();
            if let Some((handle, pushes)) = made.take() {
                let cause = self.broken(handle, pushes).await;
                let server = &self.slot.server;
                tracing::warn!(%server, cause, "the connection is lost");
            }
            let (handle, pushes) = backoff.reconnect(&mut self).await;
            if was_made {
                reconnects.increment(1);
            }
            self.slot.up(handle.clone());
            // The server may be another, or have lost what it had.
            self.mailboxes.tell_missed();
            made = Some((handle, pushes));
        }
    }

    /// Waits until the connection is unusable, retires it, and returns the cause.
    async fn broken(&self, handle: ConnectionHandle, mut pushes: Pushes) -> Option<String> {
        let limit = self.dialer.config.timeout;
        let mut left = pin!(self.dialer.left(&handle.address, handle.connection.clone()));
        loop {
            let cause = tokio::select! {
                push = pushes.recv() => match push {
                    Some(push) if push.kind != PushKind::Disconnection => continue,
                    _ => None,
                },
                cause = &mut left => Some(cause),
                () = handle.health.broken.notified() => return self.slot.cause(),
                () = handle.health.doubted.notified() => tokio::select! {
                    answers = answers(handle.clone(), limit) => match answers {
                        true => continue,
                        false => Some(format!("no answer within {limit:?}")),
                    },
                    () = handle.health.broken.notified() => return self.slot.cause(),
                },
            };
            self.slot.give_up(&handle.health, cause.clone());
            return cause;
        }
    }

    /// Makes a connection to a store that is there.
    async fn attempt(&mut self) -> Result<(ConnectionHandle, Pushes)> {
        let Dialed { connection, pushes, has_functions, address } = self.dialer.dial().await?;
        let mut handle = ConnectionHandle::new(connection, Form::Scripts, &address);
        if has_functions && may_load_functions(&mut handle).await {
            handle.form = Form::Functions;
        }
        let mut entered = self.enter(&mut handle).await;
        if handle.form == Form::Functions && entered.as_ref().is_err_and(is_forbidden) {
            handle.form = Form::Scripts;
            entered = self.enter(&mut handle).await;
        }
        tracing::debug!(form = ?handle.form, "the commands are known");
        match entered {
            // A replica can be asked how it is, and may be the master soon.
            Err(error) if is_read_only(&error) && self.dialer.takes_replicas() => {}
            entered => drop(entered.map_err(|error| connect_failed(&error))?),
        }
        Ok((handle, pushes))
    }

    /// Finds the store as it should be, or begins it.
    async fn enter(&self, handle: &mut ConnectionHandle) -> RedisResult<Value> {
        let keys = [self.keyspace.token(), self.keyspace.layout()];
        let channel = self.keyspace.store_channel();
        let args = [Arg::Text(LAYOUT_VERSION), Arg::Bytes(&channel)];
        handle.call(&self.slot.scripts, &CONNECT, &keys, &args).await
    }

    /// Finds out whether the user may do all that is ever done, and listen to a mailbox.
    pub(crate) async fn probe(&self, handle: &ConnectionHandle) -> Result<()> {
        let mut handle = handle.clone();
        let channel = self.keyspace.channel(MailboxId::from_bits(0));
        let (keys, args) = ([self.keyspace.probe()], [Arg::Bytes(&channel)]);
        let limit = self.dialer.config.timeout;
        let probed = tokio::time::timeout(limit, async {
            handle.call(&self.slot.scripts, &PROBE, &keys, &args).await?;
            let mut connection = handle.connection;
            if handle.form == Form::Scripts {
                // Later, one that the server has forgotten is loaded when it is called.
                for load in self.slot.scripts.load_all() {
                    send(&mut connection, &load).await?;
                }
            }
            for command in self.commands() {
                send(&mut connection, &command).await?;
            }
            connection.subscribe(&channel[..]).await?;
            connection.unsubscribe(&channel[..]).await
        });
        match probed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(connect_failed(&error)),
            Err(_) => Err(error::no_answer(Operation::Connect, limit)),
        }
    }

    /// The commands that are sent as they are, in a form that does nothing.
    fn commands(&self) -> Vec<Cmd> {
        let command = |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            command
        };
        let (probe, waits) = (&*self.keyspace.probe(), &*self.keyspace.waits());
        let states = self.keyspace.states("");
        let mut commands = vec![
            command(&["PING"]),
            command(&["SCAN", "0", "MATCH", &states, "COUNT", "1"]),
            command(&["ZRANGEBYLEX", waits, "[", "[", "LIMIT", "0", "1"]),
            command(&["SET", probe, "", "NX", "PX", "1"]),
        ];
        if self.dialer.config.journal.is_some() {
            let journal = &*self.keyspace.journal();
            commands.push(command(&["XRANGE", journal, "+", "-", "COUNT", "1"]));
            commands.push(command(&["XREVRANGE", journal, "-", "+", "COUNT", "1"]));
            commands.push(command(&["XREAD", "COUNT", "1", "STREAMS", journal, "$"]));
        }
        commands
    }
}

impl Connect for ConnectionSupervisor {
    type Connected = (ConnectionHandle, Pushes);

    async fn connect(&mut self) -> Result<(ConnectionHandle, Pushes)> {
        within(self.dialer.config.connect_timeout, self.attempt()).await
    }

    fn note(&self, cause: Option<String>) {
        self.slot.down(cause);
    }
}

/// Returns `true` if the connection answers a probe; the time-out of a caller may have been short.
async fn answers(mut handle: ConnectionHandle, limit: Duration) -> bool {
    let ping = redis::cmd("PING");
    let answer = tokio::time::timeout(limit, send(&mut handle.connection, &ping)).await;
    answer.is_ok_and(|answer| answer.err().is_none_or(|error| !is_over(&error)))
}

/// Returns `true` if the user may load functions, even if another user has loaded them. A missing
/// library is an error as well.
async fn may_load_functions(handle: &mut ConnectionHandle) -> bool {
    let loaded = send(&mut handle.connection, redis::cmd("FUNCTION").arg("LOAD").arg("")).await;
    !loaded.as_ref().is_err_and(is_forbidden)
}

fn is_read_only(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::ReadOnly)
}

fn is_forbidden(error: &redis::RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(ServerErrorKind::NoPerm)
}
