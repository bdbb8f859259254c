//! Where the server is and how it is used.

use std::fmt;
#[cfg(feature = "cluster")]
use std::num::NonZeroU16;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{InvalidInput, Violation};

use crate::topology::{Topology, url};

/// Where the server is and how it is used.
///
/// The URL may hold a password: it is in no [`Debug`](fmt::Debug) output and in no error.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), lock_core::InvalidInput> {
/// use std::time::Duration;
/// use lock_redis::RedisConfig;
///
/// let config = RedisConfig::parse("redis://127.0.0.1/")?
///     .with_prefix("deploys")?
///     .with_timeout(Duration::from_secs(2));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisConfig {
    pub(crate) topology: Topology,
    pub(crate) prefix: String,
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) journal: Option<NonZeroU32>,
    /// Number of replicas that must have a grant.
    pub(crate) min_replicas: u32,
    /// Number of shards of a store in a cluster.
    #[cfg(feature = "cluster")]
    pub(crate) shards: NonZeroU16,
    /// Time between two sweeps of a store, by any of its processes.
    pub(crate) sweep_interval: Duration,
    /// `true` if callers never send directly.
    #[cfg(feature = "test-util")]
    pub(crate) is_always_batched: bool,
}

impl RedisConfig {
    /// Default time-out of an operation: 2 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
    /// Default time-out of a connection attempt: 1 second.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
    /// The longest time that either may be: a day. Longer times count as this.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
    /// Default number of shards of a store in a cluster: 64.
    #[cfg(feature = "cluster")]
    pub const DEFAULT_SHARDS: NonZeroU16 = NonZeroU16::new(64).expect("not zero");
    /// The most shards that a store may have: 256.
    #[cfg(feature = "cluster")]
    pub const MAX_SHARDS: NonZeroU16 = NonZeroU16::new(256).expect("not zero");
    /// The most bytes that a prefix or a name may have.
    pub const MAX_NAME_BYTES: usize = 64;

    /// The servers at `url`:
    /// - one server: `redis://[user:password@]host[:port][/database]`, or
    ///   `redis+unix:///path/of/the/socket`;
    /// - the master that sentinels name, with the feature `sentinel`:
    ///   `redis+sentinel://[user:password@]host[:port],../NAME[/database]`, where the login is that
    ///   of the master, and `?sentinel_user=..&sentinel_password=..` is that of the sentinels;
    /// - the masters of a cluster, with the feature `cluster`:
    ///   `redis+cluster://[user:password@]host[:port],..`, where the hosts are those of some nodes.
    ///
    /// `rediss` in place of `redis` is TLS, with the feature `tls-rustls`.
    ///
    /// # Errors
    /// [`InvalidInput`] when the URL is invalid, or of a feature that this build lacks.
    pub fn parse(url: &str) -> Result<Self, InvalidInput> {
        Ok(Self::of(url::parse(url)?))
    }

    fn of(topology: Topology) -> Self {
        Self {
            topology,
            prefix: "lock".to_owned(),
            name: "lock".to_owned(),
            timeout: Self::DEFAULT_TIMEOUT,
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            journal: None,
            min_replicas: 0,
            #[cfg(feature = "cluster")]
            shards: Self::DEFAULT_SHARDS,
            sweep_interval: Duration::from_secs(45),
            #[cfg(feature = "test-util")]
            is_always_batched: false,
        }
    }

    /// The addresses of the servers, without user and password.
    pub(crate) fn address(&self) -> Arc<str> {
        self.topology.to_string().into()
    }

    /// The same, with all keys in the server below `prefix`, 1 to 64 bytes without braces, which
    /// would choose the slot in a cluster: stores of different prefixes know nothing of each other.
    ///
    /// # Errors
    /// [`InvalidInput`] when the prefix is empty or too long, or has braces, spaces or control
    /// characters.
    pub fn with_prefix(self, prefix: &str) -> Result<Self, InvalidInput> {
        Ok(Self { prefix: word("prefix", prefix)?, ..self })
    }

    /// The same, with connections that the server lists by `name`, 1 to 64 bytes.
    ///
    /// # Errors
    /// [`InvalidInput`] when the name is empty or too long, or has braces, spaces or control
    /// characters.
    pub fn with_name(self, name: &str) -> Result<Self, InvalidInput> {
        Ok(Self { name: word("name", name)?, ..self })
    }

    /// The same, with operations that take at most this long, reconnecting included.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.min(Self::MAX_TIMEOUT), ..self }
    }

    /// The same, with attempts to connect that take at most this long each.
    #[must_use]
    pub fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        Self { connect_timeout: connect_timeout.min(Self::MAX_TIMEOUT), ..self }
    }

    /// The same, with grants that count only when this many replicas have them: the default is none.
    ///
    /// The master is asked for at most 100 milliseconds. A grant that fewer replicas have by then is
    /// taken back, and the acquire fails with [`ErrorKind::Unavailable`]; where the master is another
    /// meanwhile, the outcome is unknown. A notice of a grant is only a hint then: the waiter asks, and
    /// the replicas are waited for. [`Lease::replicas`](lock_core::Lease::replicas) is their number.
    ///
    /// A failover to a replica that has the grant keeps it. A failover to another replica, and all of
    /// them where replicas keep nothing on disk and fail together, may still lose it. Renewals,
    /// releases and transfers are not waited for.
    ///
    /// [`ErrorKind::Unavailable`]: lock_core::ErrorKind::Unavailable
    #[must_use]
    pub fn with_min_replicas(self, replicas: u8) -> Self {
        Self { min_replicas: u32::from(replicas), ..self }
    }

    /// The same, keeping a journal of about this many events, which watching needs.
    ///
    /// All who use the store must keep the journal: what others do is not in it.
    #[must_use]
    pub fn with_journal(self, entries: NonZeroU32) -> Self {
        Self { journal: Some(entries), ..self }
    }

    /// The same, with a store in a cluster that has this many shards, at most
    /// [`MAX_SHARDS`](Self::MAX_SHARDS). The number is fixed when the store is first connected to:
    /// whoever connects with another is refused with
    /// [`ErrorKind::Unsupported`](lock_core::ErrorKind::Unsupported). Other topologies have one shard.
    ///
    /// # Errors
    /// [`InvalidInput`] when there are too many.
    #[cfg(feature = "cluster")]
    pub fn with_shards(self, shards: NonZeroU16) -> Result<Self, InvalidInput> {
        if shards > Self::MAX_SHARDS {
            let expected = "at most 256 shards";
            return Err(InvalidInput::new("shards", Violation::Malformed { expected }));
        }
        Ok(Self { shards, ..self })
    }

    /// The same, with short commands sent in batches even when nothing else is on its way.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn always_batched(self) -> Self {
        Self { is_always_batched: true, ..self }
    }

    /// The same, with what the dead left swept away this often, and not every 45 seconds.
    #[cfg(feature = "test-util")]
    #[must_use]
    pub fn with_sweeps_every(self, interval: Duration) -> Self {
        Self { sweep_interval: interval, ..self }
    }
}

/// A text that stands in names of keys and of connections.
fn word(field: &'static str, text: &str) -> Result<String, InvalidInput> {
    let limit = RedisConfig::MAX_NAME_BYTES;
    let invalid = |problem| Err(InvalidInput::new(field, problem));
    match text.len() {
        0 => return invalid(Violation::Empty { limit }),
        length if length > limit => return invalid(Violation::TooLong { length, limit }),
        _ => {}
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '{' | '}')) {
        let expected = "a word without braces, spaces and control characters";
        return invalid(Violation::Malformed { expected });
    }
    Ok(text.to_owned())
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("server", &format_args!("{}", self.topology))
            .field("prefix", &self.prefix)
            .field("name", &self.name)
            .field("timeout", &self.timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("journal", &self.journal)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_an_end() {
        let config = RedisConfig::parse("redis://localhost/").unwrap();
        let config = config.with_timeout(Duration::MAX).with_connect_timeout(Duration::MAX);
        assert_eq!(config.timeout, RedisConfig::MAX_TIMEOUT);
        assert_eq!(config.connect_timeout, RedisConfig::MAX_TIMEOUT);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unacknowledged_data_closes_the_connection() {
        let Topology::Server(server) = url::parse("redis://localhost/").unwrap() else {
            panic!("one server");
        };
        assert!(server.tcp_settings().user_timeout().is_some());
    }
}
