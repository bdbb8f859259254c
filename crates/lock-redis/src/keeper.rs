//! What keeps a connection up: it connects, listens for grants, and begins anew when it breaks.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Error, ErrorKind, Operation, Result};
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, Value};
use tokio::sync::mpsc;

use crate::config::RedisConfig;
use crate::connection::{Link, Pulse, Shared, State, field, send, text};
use crate::error;
use crate::layout::Layout;
use crate::notify::Sleepers;
use crate::script::{Arg, Form, Script};

/// How long the first and the longest pause between two attempts to connect are.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The oldest server that has all commands.
const OLDEST: (u64, u64) = (6, 2);

/// What keeps the connection up.
pub(crate) struct Keeper {
    pub(crate) client: Client,
    pub(crate) config: RedisConfig,
    pub(crate) layout: Arc<Layout>,
    pub(crate) process: [u8; 8],
    pub(crate) sleepers: Arc<Sleepers>,
    pub(crate) shared: Arc<Shared>,
    /// How the server names the last connection.
    pub(crate) last: Option<Peer>,
}

/// How the server names a connection: both together are hardly ever somebody else's.
#[derive(Debug)]
pub(crate) struct Peer {
    id: String,
    address: String,
}

pub(crate) type Pushes = mpsc::UnboundedReceiver<PushInfo>;

impl Keeper {
    /// Keeps the connection up for ever.
    pub(crate) async fn keep(mut self, mut pulse: Arc<Pulse>, mut pushes: Pushes) {
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
    pub(crate) async fn connect(&mut self) -> Result<(Link, Pushes)> {
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
    pub(crate) async fn probe(&self, link: &Link) -> Result<()> {
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

/// Nothing that fails while connecting is an operation on a lock.
fn connect_failed(error: &redis::RedisError) -> Error {
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
