//! The commands that run on the server, as functions of a library or as scripts.

use std::fmt::Write as _;
use std::sync::LazyLock;

use redis::{Cmd, Script as Source, ToRedisArgs};

use crate::record::constants;

/// How the server is told which command is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a function of the library: what all commands share is made once.
    Functions,
    /// As a script, which makes it at every call; all that a server before version 7 knows, and a
    /// user who may not load libraries.
    Scripts,
}

/// Makes the list of commands, each with its source.
macro_rules! scripts {
    ($($script:ident $word:literal $source:expr,)*) => {
        /// A command that runs on the server.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Script {
            $($script,)*
        }

        impl Script {
            pub(crate) const ALL: &[Self] = &[$(Self::$script,)*];

            const fn source(self) -> (&'static str, &'static str) {
                match self {
                    $(Self::$script => ($word, $source),)*
                }
            }
        }
    };
}

scripts! {
    Acquire "acquire" include_str!("scripts/acquire.lua"),
    AcquireFree "acquire_free" include_str!("scripts/acquire_free.lua"),
    Cancel "cancel" include_str!("scripts/cancel.lua"),
    Connect "connect" include_str!("scripts/connect.lua"),
    Evict "evict" include_str!("scripts/evict.lua"),
    Hear "hear" include_str!("scripts/hear.lua"),
    Inspect "inspect" include_str!("scripts/inspect.lua"),
    Leases "leases" include_str!("scripts/leases.lua"),
    Probe "probe" include_str!("scripts/probe.lua"),
    Release "release" include_str!("scripts/release.lua"),
    ReleaseAlone "release_alone" include_str!("scripts/release_alone.lua"),
    Renew "renew" include_str!("scripts/renew.lua"),
    Repair "repair" include_str!("scripts/repair.lua"),
    Settle "settle" include_str!("scripts/settle.lua"),
    States "states" include_str!("scripts/states.lua"),
    Transfer "transfer" include_str!("scripts/transfer.lua"),
    Waiters "waiters" include_str!("scripts/waiters.lua"),
}

const NOW: &str = include_str!("scripts/now.lua");
/// What all commands share but the short ones.
const PRELUDE: &str = concat!(
    include_str!("scripts/prelude.lua"),
    include_str!("scripts/prelude/leases.lua"),
    include_str!("scripts/prelude/queue.lua"),
    include_str!("scripts/prelude/marks.lua"),
    include_str!("scripts/prelude/settle.lua"),
    include_str!("scripts/prelude/repair.lua"),
);

/// What a test puts in place of the server's clock: the last argument.
#[cfg(feature = "test-util")]
const STEERED_NOW: &str = "now = tonumber(ARGV[#ARGV])\n";

/// All commands, on one clock.
struct Sources {
    scripts: Vec<Source>,
    texts: Vec<String>,
    library: String,
    /// The name of the library, which is another for every text: so versions live side by side.
    name: String,
}

static ON_SERVER_TIME: LazyLock<Sources> = LazyLock::new(|| Sources::new(NOW));
#[cfg(feature = "test-util")]
static ON_STEERED_TIME: LazyLock<Sources> = LazyLock::new(|| Sources::new(STEERED_NOW));

impl Sources {
    fn new(now: &str) -> Self {
        let texts: Vec<_> = Script::ALL.iter().map(|it| it.text(now)).collect();
        let scripts: Vec<_> = texts.iter().map(|text| Source::new(text)).collect();
        let body = |name: &str| library(name, now);
        let name = format!("lock_{}", &Source::new(&body("lock")).get_hash()[..16]);
        Self { scripts, texts, library: body(&name), name }
    }
}

/// The library that has all commands.
fn library(name: &str, now: &str) -> String {
    let constants = constants();
    let mut text =
        format!("#!lua name={name}\nlocal call, sub, now, KEYS, ARGV\n{constants}{PRELUDE}");
    for script in Script::ALL {
        let (word, command) = script.source();
        let flags = if script.succeeds_without_memory() { "'allow-oom'" } else { "" };
        let run = if script.is_whole() { "return guarded(run)" } else { "return run()" };
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "do\nlocal function run()\n{command}end\n\
             redis.register_function{{function_name = '{name}_{word}', flags = {{{flags}}},\n\
             callback = function(keys, args)\n\
             call, sub, KEYS, ARGV = redis.call, string.sub, keys, args\n{now}{run} end}}\nend\n"
        );
    }
    text
}

impl Script {
    /// Whether the command needs what most of them share.
    const fn is_whole(self) -> bool {
        !matches!(
            self,
            Self::AcquireFree | Self::ReleaseAlone | Self::Probe | Self::Connect | Self::States
        )
    }

    /// Whether the command runs although the server has no memory left: all but those that take
    /// more.
    const fn succeeds_without_memory(self) -> bool {
        !matches!(self, Self::AcquireFree | Self::Acquire | Self::Transfer | Self::Probe)
    }

    /// The command as a script.
    fn text(self, now: &str) -> String {
        let constants = constants();
        let (_, command) = self.source();
        let head = format!("local call, sub, now = redis.call, string.sub\n{now}{constants}");
        if !self.is_whole() {
            return format!("{head}{command}");
        }
        // A script that has written is not asked for memory any more: here, nothing is changed.
        let writes = if self.succeeds_without_memory() { "call('PERSIST', KEYS[1])\n" } else { "" };
        format!("{head}{PRELUDE}local function run()\n{writes}{command}end\nreturn guarded(run)\n")
    }
}

/// Where the commands take the time from.
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
    fn sources(&self) -> &'static Sources {
        match self {
            Self::Server => &ON_SERVER_TIME,
            #[cfg(feature = "test-util")]
            Self::Steered(_) => &ON_STEERED_TIME,
        }
    }

    /// The call of a command.
    pub(crate) fn call(
        &self,
        form: Form,
        script: Script,
        keys: &[String],
        args: &[Arg<'_>],
    ) -> Cmd {
        let sources = self.sources();
        let mut call = match form {
            Form::Functions => {
                let mut call = redis::cmd("FCALL");
                call.arg(format!("{}_{}", sources.name, script.source().0));
                call
            }
            Form::Scripts => {
                let mut call = redis::cmd("EVALSHA");
                call.arg(sources.scripts[script as usize].get_hash());
                call
            }
        };
        call.arg(keys.len()).arg(keys).arg(args);
        if let Some(now) = self.steered() {
            call.arg(now.as_micros());
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

    /// Makes the server know a command in this form.
    pub(crate) fn load(&self, form: Form, script: Script) -> Cmd {
        let sources = self.sources();
        let (command, text) = match form {
            Form::Functions => ("FUNCTION", &sources.library),
            Form::Scripts => ("SCRIPT", &sources.texts[script as usize]),
        };
        let mut load = redis::cmd(command);
        load.arg("LOAD").arg(text);
        load
    }
}

/// An argument of a command.
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
