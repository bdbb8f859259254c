//! Counters of the server.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, IntoConnectionInfo};

/// Commands that clients send, and not scripts.
const SENT: [&str; 2] = ["evalsha", "fcall"];
/// Commands that have nothing to do with locks: those of this meter, and those of a new connection.
const APART: [&str; 12] = [
    "client",
    "command",
    "config",
    "eval",
    "function",
    "hello",
    "info",
    "keys",
    "memory",
    "ping",
    "script",
    "subscribe",
];

/// Asks the server over a connection of its own.
#[derive(Clone)]
pub(crate) struct Meter(MultiplexedConnection);

/// Counters of the server since its start, or between two readings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Scripts and functions that clients called.
    pub(crate) commands: f64,
    /// Calls made by them.
    pub(crate) calls: f64,
    /// Of these the messages.
    pub(crate) messages: f64,
    /// Microseconds inside of scripts and functions.
    pub(crate) script_time: f64,
    /// Microseconds that the thread which runs all commands was busy.
    pub(crate) cpu: f64,
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    // As this project does: otherwise the system may hold a command back for a round trip.
    let tcp = TcpSettings::default().set_nodelay(true);
    let server = url.into_connection_info().expect("a valid URL").set_tcp_settings(tcp);
    let client = Client::open(server).expect("a valid URL");
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(30)));
    let connection = client.get_multiplexed_async_connection_with_config(&config).await;
    connection.expect("the server answers")
}

impl Meter {
    pub(crate) async fn connect(url: &str) -> Self {
        Self(connect(url).await)
    }

    /// Sends one command of these words.
    pub(crate) async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.0).await.expect("the server answers")
    }

    /// A section of the server's `INFO`.
    pub(crate) async fn info(&mut self, section: &str) -> BTreeMap<String, String> {
        let text: String = self.ask(&["INFO", section]).await;
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    pub(crate) async fn read(&mut self) -> Reading {
        let mut reading = Reading::default();
        for (name, fields) in self.info("commandstats").await {
            let Some(name) = name.strip_prefix("cmdstat_") else { continue };
            let (calls, time) = (field(&fields, "calls"), field(&fields, "usec"));
            let family = name.split('|').next().unwrap_or(name);
            if SENT.contains(&name) {
                reading.commands += calls;
                reading.script_time += time;
            } else if !APART.contains(&family) {
                reading.calls += calls;
            }
            if name == "publish" {
                reading.messages += calls;
            }
        }
        let cpu = self.info("cpu").await;
        for name in ["used_cpu_user_main_thread", "used_cpu_sys_main_thread"] {
            reading.cpu += number(cpu.get(name)) * 1e6;
        }
        reading
    }

    /// The keys of the server that only exist because of the locks of a prefix.
    pub(crate) async fn keys_of(&mut self, prefix: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.ask(&["KEYS", &format!("{{{prefix}:*")]).await;
        keys.retain(|key| !key.ends_with(":token") && !key.ends_with(":layout"));
        keys
    }

    /// The bytes that these keys take with their names and all of their values.
    pub(crate) async fn memory_of(&mut self, keys: &[String]) -> f64 {
        let mut bytes = 0;
        for some in keys.chunks(1_000) {
            let mut line = redis::pipe();
            for key in some {
                line.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0);
            }
            let own: Vec<Option<u64>> =
                line.query_async(&mut self.0).await.expect("the server answers");
            bytes += own.into_iter().flatten().sum::<u64>();
        }
        bytes as f64
    }

    /// Takes these keys away, so that nothing that is measured next includes them.
    pub(crate) async fn forget(&mut self, keys: &[String]) {
        for some in keys.chunks(1_000) {
            let mut words = vec!["DEL"];
            words.extend(some.iter().map(String::as_str));
            let _: u64 = self.ask(&words).await;
        }
    }
}

impl Reading {
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            commands: self.commands - before.commands,
            calls: self.calls - before.calls,
            messages: self.messages - before.messages,
            script_time: self.script_time - before.script_time,
            cpu: self.cpu - before.cpu,
        }
    }
}

fn field(fields: &str, name: &str) -> f64 {
    let mut fields = fields.split(',').filter_map(|field| field.split_once('='));
    fields.find(|(key, _)| *key == name).map_or(0.0, |(_, value)| value.parse().unwrap_or(0.0))
}

fn number(text: Option<&String>) -> f64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(f64::NAN)
}
