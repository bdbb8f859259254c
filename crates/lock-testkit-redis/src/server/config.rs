//! Options of a server.

use std::fmt::Write;
use std::path::Path;

/// Options of a server; by default it keeps nothing on disk.
///
/// # Examples
/// ```no_run
/// use lock_testkit_redis::server::{RedisServer, ServerConfig};
/// # async fn example() {
/// let config = ServerConfig::new().durable().with("maxmemory", "2mb");
/// let server = RedisServer::start_with(config).await;
/// assert_eq!(server.command(&["PING"]).await, "PONG");
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServerConfig {
    lines: Vec<(String, String)>,
    is_durable: bool,
    is_sentinel: bool,
    is_in_cluster: bool,
    pub(super) is_tls: bool,
}

impl ServerConfig {
    /// The default.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a line to the server's configuration file, such as `with("save", "900 1")` or
    /// `with("user", "alice on >secret ~* &* +@all")`.
    ///
    /// [`RedisServer::command`](super::RedisServer::command) gives a `requirepass` of this.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes each command to the disk before it is answered, so that a restart loses nothing.
    #[must_use]
    pub fn durable(mut self) -> Self {
        self.is_durable = true;
        self
    }

    /// Makes the server a sentinel.
    #[must_use]
    pub(crate) fn sentinel(mut self) -> Self {
        self.is_sentinel = true;
        self
    }

    /// Makes the server a node of a cluster, whose bus is at the port 10,000 above its own.
    #[must_use]
    pub(crate) fn in_cluster(mut self) -> Self {
        self.is_in_cluster = true;
        self
    }

    pub(super) const fn is_sentinel(&self) -> bool {
        self.is_sentinel
    }

    pub(super) const fn is_in_cluster(&self) -> bool {
        self.is_in_cluster
    }

    /// The password of the ordinary user.
    pub(super) fn password(&self) -> Option<&str> {
        let mut lines = self.lines.iter().rev();
        lines.find(|(name, _)| name == "requirepass").map(|(_, password)| password.as_str())
    }

    /// The text of the configuration file.
    pub(super) fn render(&self, port: u16, socket: &Path, folder: &Path) -> String {
        let ports = match self.is_tls {
            true => format!("port 0\ntls-port {port}"),
            false => format!("port {port}"),
        };
        let mut text = format!(
            "bind 127.0.0.1\n{ports}\nunixsocket \"{}\"\ndir \"{}\"\nsave \"\"\n",
            socket.display(),
            folder.display(),
        );
        if self.is_durable {
            // Rewriting would leave a child that outlives a killed server.
            text += "appendonly yes\nappendfsync always\nauto-aof-rewrite-percentage 0\n";
        }
        if self.is_in_cluster {
            text += "cluster-enabled yes\n";
            text += if self.is_tls { "tls-cluster yes\n" } else { "" };
        }
        for (name, value) in &self.lines {
            let value = if value.is_empty() { "\"\"" } else { value };
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}
