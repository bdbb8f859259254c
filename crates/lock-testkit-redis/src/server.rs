//! A server of Redis or Valkey for one test.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a test fails by panicking")]

mod config;
mod process;
#[cfg(feature = "tls")]
mod tls;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep, timeout};

use crate::client::Client;
pub use config::ServerConfig;
use process::Process;
#[cfg(feature = "tls")]
pub use tls::{Authority, Tls};

/// The longest that a server may take to start, stop or answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// Polling interval.
pub(crate) const GLANCE: Duration = Duration::from_millis(2);

/// A server of Redis or Valkey with a folder, a port and a unix socket of its own.
///
/// The server is the one that the environment variable `LOCK_REDIS_SERVER` names, or else
/// `redis-server`, or else `valkey-server`. It ends when this is dropped, and also when the
/// process is killed. Everything here panics when it fails, or takes longer than 20 seconds; none
/// of it works on a paused clock.
#[derive(Debug)]
pub struct RedisServer {
    // Declared before the folder, as it must end before the folder goes.
    process: Mutex<Option<Process>>,
    folder: TempDir,
    port: Port,
    password: Option<String>,
    is_sentinel: bool,
    is_tls: bool,
}

/// A reserved port, whether the server runs or not.
#[derive(Debug)]
struct Port {
    number: u16,
    // Bound but not listening: the system does not choose the port for others, while the server,
    // which asks for it by number and allows sharing, may have it.
    _reserved: Vec<TcpSocket>,
}

/// The number of ports between that of a node of a cluster and that of its bus.
const BUS: u16 = 10_000;

impl Port {
    fn free() -> io::Result<Self> {
        let reserved = reserve(0)?;
        Ok(Self { number: reserved.local_addr()?.port(), _reserved: vec![reserved] })
    }

    /// A port whose bus is free as well.
    fn with_bus() -> io::Result<Self> {
        let chosen = Self::free()?.number % BUS + BUS;
        for number in (chosen..2 * BUS).chain(BUS..chosen) {
            if let (Ok(own), Ok(bus)) = (reserve(number), reserve(number + BUS)) {
                return Ok(Self { number, _reserved: vec![own, bus] });
            }
        }
        Err(io::ErrorKind::AddrInUse.into())
    }
}

fn reserve(port: u16) -> io::Result<TcpSocket> {
    let reserved = TcpSocket::new_v4()?;
    reserved.set_reuseaddr(true)?;
    reserved.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(reserved)
}

impl RedisServer {
    /// Returns `true` if the server that tests are run with has functions, and commands and
    /// settings that came with them: Redis has since version 7, and Valkey always had.
    #[must_use]
    pub fn has_functions() -> bool {
        let said = process::version().expect("the server tells its version");
        let (_, version) = said.split_once("v=").expect("there is a version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        major.expect("the version begins with a number") >= 7
    }

    /// Starts an empty server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(ServerConfig::new()).await
    }

    /// Starts an empty server with this configuration.
    pub async fn start_with(config: ServerConfig) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let server = Self::prepare(&config).expect("a folder and a port are made");
            match server.launch().await {
                // Somebody asked for just this port by its number.
                Err(log) if is_clash(&log) && Instant::now() < deadline => {}
                started => {
                    started.unwrap_or_else(|log| panic!("the server does not start: {log}"));
                    return server;
                }
            }
        }
    }

    fn prepare(config: &ServerConfig) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("lock-testkit-").tempdir()?;
        let port = if config.is_in_cluster() { Port::with_bus()? } else { Port::free()? };
        let password = config.password().map(str::to_owned);
        let is_sentinel = config.is_sentinel();
        let is_tls = config.is_tls;
        let process = Mutex::default();
        let server = Self { process, folder, port, password, is_sentinel, is_tls };
        let text = config.render(server.port(), &server.socket(), server.folder.path());
        std::fs::write(server.file("redis.conf"), text)?;
        Ok(server)
    }

    /// Starts the process, and waits until it answers and has read its data back; the error is what
    /// it said.
    async fn launch(&self) -> Result<(), String> {
        let config = self.file("redis.conf");
        let started = Process::start(self.folder.path(), &config, self.is_sentinel);
        *self.process() = Some(started.map_err(|error| error.to_string())?);
        let deadline = Instant::now() + PATIENCE;
        loop {
            // The unix socket is in our folder, so the answer is not that of another server that
            // has taken the port. It is opened after the port.
            if let Ok(Ok(answer)) = timeout(PATIENCE, self.ping()).await
                && !answer.starts_with("(error) LOADING")
            {
                return Ok(());
            }
            let has_ended = match self.process().as_mut() {
                Some(process) => process.has_ended().expect("the process can be asked"),
                None => return Err("it was killed meanwhile".to_owned()),
            };
            if has_ended || Instant::now() > deadline {
                drop(self.process().take());
                return Err(std::fs::read_to_string(self.file("log")).unwrap_or_default());
            }
            sleep(GLANCE).await;
        }
    }

    /// The address for clients that connect by TCP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port())
    }

    /// The address for clients that connect by the unix socket.
    #[must_use]
    pub fn unix_url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Where the server listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port()).into()
    }

    /// The port, which stays the same over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Returns `true` if it speaks TLS alone.
    pub(crate) const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The process's number; 0 if it was killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process().as_ref().map_or(0, Process::pid)
    }

    /// Output of the server.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// Kills the server, as `kill -9` does, and returns when it is gone; [`restart`](Self::restart)
    /// starts it again.
    ///
    /// # Cancel safety
    /// The server is killed all the same.
    pub async fn kill(&self) {
        let process = self.process().take();
        let reaped = tokio::task::spawn_blocking(move || drop(process)).await;
        reaped.expect("the process ends");
    }

    /// Kills the server if it runs, starts it again on the same port with the same folder, and
    /// returns when it answers and has read its data back.
    ///
    /// # Cancel safety
    /// The server may or may not run; restart it again.
    pub async fn restart(&self) {
        self.kill().await;
        let deadline = Instant::now() + PATIENCE;
        while let Err(log) = self.launch().await {
            assert!(is_clash(&log) && Instant::now() < deadline, "it does not start again: {log}");
            sleep(GLANCE).await;
        }
    }

    /// Stops the server as if its machine hung: connections stay, nothing is answered.
    pub async fn pause(&self) {
        self.signal(Signal::STOP);
        until!("the server is stopped", self.state() == Some('T'));
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends one command on a connection of its own, and returns the answer as
    /// [`Client::command`] does. `DEBUG` needs `.with("enable-debug-command", "yes")`.
    ///
    /// # Cancel safety
    /// The command may or may not happen.
    pub async fn command(&self, words: &[&str]) -> String {
        let answer = timeout(PATIENCE, async { self.client().await?.command(words).await });
        let answer = answer.await.unwrap_or_else(|_| panic!("no answer to {words:?}"));
        answer.unwrap_or_else(|error| panic!("no answer to {words:?}: {error}"))
    }

    /// Connects, by the unix socket and with the password if there is one.
    ///
    /// # Errors
    /// If the server is down.
    pub async fn client(&self) -> io::Result<Client> {
        let mut client = Client::connect_unix(&self.socket()).await?;
        if let Some(password) = &self.password {
            client.command(&["AUTH", password]).await?;
        }
        Ok(client)
    }

    /// A field of the server's `INFO`.
    pub async fn info(&self, field: &str) -> Option<String> {
        let info = self.command(&["INFO", "all"]).await;
        let value = |line: &str| Some(line.strip_prefix(field)?.strip_prefix(':')?.to_owned());
        info.lines().find_map(value)
    }

    /// The server's name and version, such as `redis 7.0.15` or `valkey 9.1.2`.
    pub async fn version(&self) -> String {
        if let Some(version) = self.info("valkey_version").await {
            return format!("valkey {version}");
        }
        format!("redis {}", self.info("redis_version").await.expect("a server has a version"))
    }

    async fn ping(&self) -> io::Result<String> {
        self.client().await?.command(&["PING"]).await
    }

    fn signal(&self, signal: Signal) {
        let process = self.process();
        let process = process.as_ref().expect("the server was not killed");
        process.signal(signal).expect("the server runs");
    }

    fn state(&self) -> Option<char> {
        self.process().as_ref()?.state().ok()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn socket(&self) -> PathBuf {
        self.file("socket")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn is_clash(log: &str) -> bool {
    log.contains("Address already in use")
}
