//! What keeps connections up: it connects, and connects anew with a pause that grows.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{Error, ErrorKind, MailboxId, Operation, Result};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisError, Value};
use tokio::sync::mpsc;

use crate::config::RedisConfig;
use crate::connection::{Link, Pulse, Shared, State, field, send, text};
use crate::error;
use crate::layout::Layout;
use crate::notify::Mailboxes;
use crate::script::{Arg, Form, Script};

/// The first and the longest pause between two attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The oldest server that has all commands.
const OLDEST: (u64, u64) = (6, 2);

pub(crate) type Pushes = mpsc::UnboundedReceiver<PushInfo>;

/// What makes one kind of connection.
pub(crate) trait Connect {
    /// A connection that is ready for its use.
    type Connected;

    /// Connects once.
    fn connect(&mut self) -> impl Future<Output = Result<Self::Connected>> + Send;

    /// Notes why there is no connection.
    fn note(&self, cause: Option<String>);
}

/// Tries until a connection is made.
pub(crate) async fn reconnect<C: Connect>(connector: &mut C) -> C::Connected {
    let (mut pause, longest) = PAUSES;
    loop {
        match connector.connect().await {
            Ok(connected) => return connected,
            Err(error) => connector.note(error.source().map(ToString::to_string)),
        }
        // Full jitter: many who lost one server do not come back at once.
        tokio::time::sleep(pause.mul_f64(rand::random())).await;
        pause = longest.min(pause * 2);
    }
}

/// Does what connecting takes, in time.
pub(crate) async fn within<T>(
    limit: Duration,
    attempt: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    tokio::time::timeout(limit, attempt).await.unwrap_or_else(|_| {
        let cause = format!("no answer within {limit:?}");
        Err(Error::new(ErrorKind::Unavailable, Operation::Connect).with_source(cause))
    })
}

/// Makes the connections of one kind, one after another.
pub(crate) struct Dialer {
    pub(crate) client: Client,
    pub(crate) config: RedisConfig,
    /// How the server names the last connection.
    last: Option<Peer>,
}

/// How the server names a connection: both together are hardly ever somebody else's.
#[derive(Debug)]
struct Peer {
    id: String,
    address: String,
}

impl Dialer {
    pub(crate) const fn new(client: Client, config: RedisConfig) -> Self {
        Self { client, config, last: None }
    }

    /// Makes a connection, and ends the last.
    pub(crate) async fn dial(&mut self) -> Result<(MultiplexedConnection, Pushes)> {
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
        Ok((connection, pushes))
    }
}

/// What keeps the connection of the commands up.
pub(crate) struct Keeper {
    pub(crate) dialer: Dialer,
    pub(crate) layout: Arc<Layout>,
    pub(crate) mailboxes: Arc<Mailboxes>,
    pub(crate) shared: Arc<Shared>,
}

impl Keeper {
    /// Keeps the connection up for ever.
    pub(crate) async fn keep(mut self, mut pulse: Arc<Pulse>, mut pushes: Pushes) {
        loop {
            broken(&pulse, pushes).await;
            tracing::warn!(server = %self.dialer.config.server.addr(), "the connection is lost");
            self.note(None);
            let link;
            (link, pushes) = reconnect(&mut self).await;
            pulse = Arc::clone(&link.pulse);
            self.shared.state.send_replace(State::Up(link));
            // The server may be another, or have lost what it had.
            self.mailboxes.tell_missed();
        }
    }

    /// Makes a connection that knows the scripts.
    async fn attempt(&mut self) -> Result<(Link, Pushes)> {
        let (connection, pushes) = self.dialer.dial().await?;
        let mut link = Link { connection, form: Form::Functions, pulse: Arc::default() };
        // Not all servers have functions, and not all users may load them.
        if let Err(error) = link.load(&self.shared.time, None).await {
            tracing::debug!(%error, "the commands are scripts, since functions are not loaded");
            link.form = Form::Scripts;
            link.load(&self.shared.time, None).await.map_err(|error| connect_failed(&error))?;
        }
        Ok((link, pushes))
    }

    /// Finds out whether the user may do all that the scripts do, and listen to a mailbox.
    pub(crate) async fn probe(&self, link: &Link) -> Result<()> {
        let mut connection = link.connection.clone();
        let time = &self.shared.time;
        let channel = self.layout.channel(MailboxId::from_bits(0));
        let (keys, args) = ([self.layout.probe()], [Arg::Bytes(&channel)]);
        let call = time.call(link.form, Script::Probe, &keys, &args);
        let limit = self.dialer.config.timeout;
        let probed = tokio::time::timeout(limit, async {
            send(&mut connection, &call).await?;
            send(&mut connection, &redis::cmd("PING")).await?;
            connection.subscribe(&channel[..]).await?;
            connection.unsubscribe(&channel[..]).await
        });
        match probed.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(connect_failed(&error)),
            Err(_) => Err(error::no_answer(Operation::Connect, limit)),
        }
    }
}

impl Connect for Keeper {
    type Connected = (Link, Pushes);

    async fn connect(&mut self) -> Result<(Link, Pushes)> {
        within(self.dialer.config.connect_timeout, self.attempt()).await
    }

    fn note(&self, cause: Option<String>) {
        self.shared.state.send_replace(State::Down(cause));
    }
}

/// Returns when the connection is of no use any more.
async fn broken(pulse: &Pulse, mut pushes: Pushes) {
    loop {
        let push = tokio::select! {
            push = pushes.recv() => push,
            () = pulse.broken.notified() => return,
        };
        if push.is_none_or(|push| push.kind == PushKind::Disconnection) {
            return;
        }
    }
}

/// Nothing that fails while connecting is an operation on a lock.
pub(crate) fn connect_failed(error: &RedisError) -> Error {
    Error::new(ErrorKind::Unavailable, Operation::Connect).with_source(error::said(error))
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
