//! Supervisor of the command connection.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lock_core::Result;
use redis::{PushKind, RedisResult, ServerErrorKind, Value};

use crate::connection::Places;
use crate::connection::dialer::{Backoff, Connect, Dialed, Dialer, Pushes, connect_failed, within};
use crate::connection::handle::{ConnectionHandle, ConnectionSlot, is_over, send};
use crate::keyspace::Keyspace;
use crate::notify::Mailboxes;
use crate::record::LAYOUT_VERSION;
use crate::script::{Arg, Form, Script};
use crate::telemetry;

pub(crate) static CONNECT: Script =
    Script::short("connect", include_str!("../scripts/connect.lua"));

/// Supervisor of the command connection.
#[derive(Clone)]
pub(crate) struct ConnectionSupervisor {
    pub(crate) dialer: Dialer,
    pub(crate) places: Places,
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
        let dialed = self.dialer.dial().await?;
        let Dialed { connection, pushes, has_functions, address, run } = dialed;
        let mut handle = ConnectionHandle::new(connection, Form::Scripts, &address, run);
        if has_functions && may_load_functions(&mut handle).await {
            handle.form = Form::Functions;
        }
        for keyspace in self.places() {
            self.enter(&mut handle, &keyspace).await?;
        }
        tracing::debug!(form = ?handle.form, "the commands are known");
        Ok((handle, pushes))
    }

    /// The keyspaces that the server has.
    fn places(&self) -> Vec<Arc<Keyspace>> {
        match &self.places {
            Places::One(keyspace) => vec![Arc::clone(keyspace)],
            #[cfg(feature = "cluster")]
            Places::OfNode(cluster, node) => {
                cluster.upgrade().map(|cluster| cluster.keyspaces_of(node)).unwrap_or_default()
            }
        }
    }

    /// Finds a shard as it should be, or begins it.
    async fn enter(&self, handle: &mut ConnectionHandle, keyspace: &Keyspace) -> Result<()> {
        let mut entered = self.call(handle, keyspace).await;
        if handle.form == Form::Functions && entered.as_ref().is_err_and(is_forbidden) {
            handle.form = Form::Scripts;
            entered = self.call(handle, keyspace).await;
        }
        match entered {
            // A replica can be asked how it is, and may be the master soon.
            Err(error) if is_read_only(&error) && self.dialer.takes_replicas() => Ok(()),
            // The slot is elsewhere by now, or the node serves none for a while: commands say so.
            #[cfg(feature = "cluster")]
            Err(error) if matches!(self.places, Places::OfNode(..)) && is_of_cluster(&error) => {
                Ok(())
            }
            entered => entered.map(drop).map_err(|error| connect_failed(&error)),
        }
    }

    async fn call(&self, handle: &mut ConnectionHandle, keyspace: &Keyspace) -> RedisResult<Value> {
        let keys = [keyspace.token(), keyspace.layout()];
        let channel = keyspace.store_channel();
        let args = [Arg::Text(LAYOUT_VERSION), Arg::Bytes(&channel)];
        handle.call(&self.slot.scripts, &CONNECT, &keys, &args).await
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

/// Returns `true` if a node of a cluster does not serve the slot of a command.
#[cfg(feature = "cluster")]
fn is_of_cluster(error: &redis::RedisError) -> bool {
    let kinds = [
        ServerErrorKind::Moved,
        ServerErrorKind::Ask,
        ServerErrorKind::TryAgain,
        ServerErrorKind::ClusterDown,
        ServerErrorKind::MasterDown,
    ];
    kinds.iter().any(|kind| error.kind() == redis::ErrorKind::Server(*kind))
}
