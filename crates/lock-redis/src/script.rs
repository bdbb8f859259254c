//! The scripts, and how one is called.

use std::sync::LazyLock;

use redis::{Cmd, Script as Source, ToRedisArgs};

/// A script that runs on the server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    AcquireFree,
    Acquire,
    ReleaseAlone,
    Release,
    Renew,
    Cancel,
    Transfer,
    Evict,
    Inspect,
    Leases,
    Waiters,
    Listen,
    Probe,
}

const NOW: &str = include_str!("scripts/now.lua");
const PRELUDE: &str = include_str!("scripts/prelude.lua");

/// What a test puts in place of the server's clock: the last argument.
#[cfg(feature = "test-util")]
const STEERED_NOW: &str = "local call = redis.call\nlocal now = tonumber(ARGV[#ARGV])\n";

/// Each script as often as there are clocks.
struct Sources {
    on_server_time: Vec<Source>,
    #[cfg(feature = "test-util")]
    on_steered_time: Vec<Source>,
}

static SOURCES: LazyLock<Sources> = LazyLock::new(|| {
    let on = |now: &str| Script::ALL.iter().map(|it| Source::new(&it.text(now))).collect();
    Sources {
        on_server_time: on(NOW),
        #[cfg(feature = "test-util")]
        on_steered_time: on(STEERED_NOW),
    }
});

impl Script {
    pub(crate) const ALL: [Self; 13] = [
        Self::AcquireFree,
        Self::Acquire,
        Self::ReleaseAlone,
        Self::Release,
        Self::Renew,
        Self::Cancel,
        Self::Transfer,
        Self::Evict,
        Self::Inspect,
        Self::Leases,
        Self::Waiters,
        Self::Listen,
        Self::Probe,
    ];

    fn text(self, now: &str) -> String {
        let whole = |command: &str| format!("{now}{PRELUDE}{command}");
        let short = |command: &str| format!("{now}{command}");
        match self {
            Self::AcquireFree => short(include_str!("scripts/acquire_free.lua")),
            Self::Acquire => whole(include_str!("scripts/acquire.lua")),
            Self::ReleaseAlone => short(include_str!("scripts/release_alone.lua")),
            Self::Release => whole(include_str!("scripts/release.lua")),
            Self::Renew => whole(include_str!("scripts/renew.lua")),
            Self::Cancel => whole(include_str!("scripts/cancel.lua")),
            Self::Transfer => whole(include_str!("scripts/transfer.lua")),
            Self::Evict => whole(include_str!("scripts/evict.lua")),
            Self::Inspect => whole(include_str!("scripts/inspect.lua")),
            Self::Leases => whole(include_str!("scripts/leases.lua")),
            Self::Waiters => whole(include_str!("scripts/waiters.lua")),
            Self::Listen => whole(include_str!("scripts/listen.lua")),
            Self::Probe => short(include_str!("scripts/probe.lua")),
        }
    }
}

/// Where the scripts take the time from.
#[derive(Clone, Debug, Default)]
pub(crate) enum Time {
    /// The server's clock.
    #[default]
    Server,
    /// A clock that a test sets.
    #[cfg(feature = "test-util")]
    Steered(std::sync::Arc<lock_core::ManualClock>),
}

impl Time {
    fn source(&self, script: Script) -> &'static Source {
        match self {
            Self::Server => &SOURCES.on_server_time[script as usize],
            #[cfg(feature = "test-util")]
            Self::Steered(_) => &SOURCES.on_steered_time[script as usize],
        }
    }

    /// The command that calls a script by its hash.
    pub(crate) fn call(&self, script: Script, keys: &[String], args: &[Arg<'_>]) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(self.source(script).get_hash()).arg(keys.len()).arg(keys);
        for arg in args {
            call.arg(arg);
        }
        match self {
            Self::Server => {}
            #[cfg(feature = "test-util")]
            Self::Steered(clock) => {
                use lock_core::Clock as _;
                call.arg(clock.now().as_micros());
            }
        }
        call
    }

    /// The present time, when it is not the server's.
    pub(crate) fn steered(&self) -> Option<lock_core::Timestamp> {
        match self {
            Self::Server => None,
            #[cfg(feature = "test-util")]
            Self::Steered(clock) => Some(lock_core::Clock::now(&**clock)),
        }
    }

    /// The command that makes the server know a script.
    pub(crate) fn load(&self, script: Script) -> Cmd {
        let mut load = redis::cmd("SCRIPT");
        let now = match self {
            Self::Server => NOW,
            #[cfg(feature = "test-util")]
            Self::Steered(_) => STEERED_NOW,
        };
        load.arg("LOAD").arg(script.text(now));
        load
    }
}

/// An argument of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Number(u64),
}

impl ToRedisArgs for Arg<'_> {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        match self {
            Self::Text(text) => text.write_redis_args(out),
            Self::Bytes(bytes) => out.write_arg(bytes),
            Self::Number(number) => number.write_redis_args(out),
        }
    }
}
