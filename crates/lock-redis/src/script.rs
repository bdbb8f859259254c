//! The commands that run on the server, as functions of a library or as scripts.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;

use redis::{Cmd, Script as Source, ToRedisArgs};

use crate::record::fill;

/// Form in which commands are invoked on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a function of the library: what all commands share is made once.
    Functions,
    /// As a script, which makes it at every call; all that a server before version 7 knows, and a
    /// user who may not load libraries.
    Scripts,
}

/// A command that runs on the server.
#[derive(Debug)]
pub(crate) struct Script {
    name: &'static str,
    text: &'static str,
    /// `true` if the command needs the prelude.
    is_whole: bool,
    /// `true` if the server refuses the command when it is out of memory: only commands that
    /// allocate.
    takes_memory: bool,
}

impl Script {
    /// A command that needs what most of them share.
    pub(crate) const fn whole(name: &'static str, text: &'static str) -> Self {
        Self { name, text, is_whole: true, takes_memory: false }
    }

    /// A command that stands alone.
    pub(crate) const fn short(name: &'static str, text: &'static str) -> Self {
        Self { name, text, is_whole: false, takes_memory: false }
    }

    /// The same, to be refused when the server has no memory left.
    pub(crate) const fn taking_memory(self) -> Self {
        Self { takes_memory: true, ..self }
    }

    #[cfg(test)]
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// The command as a script.
    fn source(&self, now: &str) -> String {
        let head = format!("local call, sub, now = redis.call, string.sub\n{now}");
        let command = fill(self.text);
        if !self.is_whole {
            return format!("{head}{command}");
        }
        let prelude = fill(PRELUDE);
        // A script that has written is not asked for memory any more: here, nothing is changed.
        let writes = if self.takes_memory { "" } else { "call('PERSIST', KEYS[1])\n" };
        format!("{head}{prelude}local function run()\n{writes}{command}end\nreturn guarded(run)\n")
    }

    /// The command as a function of a library.
    fn function(&self, library: &str, now: &str) -> String {
        let (name, command) = (self.name, fill(self.text));
        let flags = if self.takes_memory { "" } else { "'allow-oom'" };
        let run = if self.is_whole { "return guarded(run)" } else { "return run()" };
        format!(
            "do\nlocal function run()\n{command}end\n\
             redis.register_function{{function_name = '{library}_{name}', flags = {{{flags}}},\n\
             callback = function(keys, args)\n\
             call, sub, KEYS, ARGV = redis.call, string.sub, keys, args\n{now}{run} end}}\nend\n"
        )
    }
}

const NOW: &str = include_str!("scripts/now.lua");
/// Prelude of all commands except the short ones.
const PRELUDE: &str = concat!(
    include_str!("scripts/prelude.lua"),
    include_str!("scripts/prelude/leases.lua"),
    include_str!("scripts/prelude/queue.lua"),
    include_str!("scripts/prelude/marks.lua"),
    include_str!("scripts/prelude/settle.lua"),
    include_str!("scripts/prelude/repair.lua"),
);

/// Clock of a test, passed as the last argument.
#[cfg(feature = "test-util")]
const STEERED_NOW: &str = "now = tonumber(ARGV[#ARGV])\n";

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
    const fn now(&self) -> &'static str {
        match self {
            Self::Server => NOW,
            #[cfg(feature = "test-util")]
            Self::Steered(_) => STEERED_NOW,
        }
    }
}

/// A command in both forms.
#[derive(Debug)]
struct Command {
    function: String,
    hash: String,
    text: String,
}

/// All commands, on one kind of clock.
#[derive(Debug)]
pub(crate) struct Library {
    commands: HashMap<&'static str, Command>,
    text: String,
}

impl Library {
    pub(crate) fn new(scripts: &[&'static Script], time: &Time) -> Self {
        let now = time.now();
        let body = |name: &str| {
            let prelude = fill(PRELUDE);
            let mut text =
                format!("#!lua name={name}\nlocal call, sub, now, KEYS, ARGV\n{prelude}");
            for script in scripts {
                // Writing to a string does not fail.
                let _ = text.write_str(&script.function(name, now));
            }
            text
        };
        // The name is another for every text: so versions live side by side.
        let name = format!("lock_{}", &Source::new(&body("lock")).get_hash()[..16]);
        let command = |script: &&'static Script| {
            let text = script.source(now);
            let hash = Source::new(&text).get_hash().to_owned();
            (script.name, Command { function: format!("{name}_{}", script.name), hash, text })
        };
        Self { commands: scripts.iter().map(command).collect(), text: body(&name) }
    }
}

/// The commands as a store calls them.
#[derive(Clone, Debug)]
pub(crate) struct Scripts {
    library: &'static Library,
    time: Time,
}

impl Scripts {
    pub(crate) const fn new(library: &'static Library, time: Time) -> Self {
        Self { library, time }
    }

    /// The call of a command.
    pub(crate) fn call(
        &self,
        form: Form,
        script: &Script,
        keys: &[impl AsRef<str>],
        args: &[Arg<'_>],
    ) -> Cmd {
        let command = &self.library.commands[script.name];
        let (verb, name) = match form {
            Form::Functions => ("FCALL", &command.function),
            Form::Scripts => ("EVALSHA", &command.hash),
        };
        let mut call = redis::cmd(verb);
        call.arg(name).arg(keys.len());
        for key in keys {
            call.arg(key.as_ref());
        }
        call.arg(args);
        if let Some(now) = self.steered() {
            call.arg(now.as_micros());
        }
        call
    }

    /// The present time, when it is not the server's.
    pub(crate) fn steered(&self) -> Option<lock_core::Timestamp> {
        match &self.time {
            Time::Server => None,
            #[cfg(feature = "test-util")]
            Time::Steered(clock) => Some(lock_core::Clock::now(&**clock)),
        }
    }

    /// Makes the server know a command in this form.
    pub(crate) fn load(&self, form: Form, script: &Script) -> Cmd {
        match form {
            Form::Functions => load("FUNCTION", &self.library.text),
            Form::Scripts => load("SCRIPT", &self.library.commands[script.name].text),
        }
    }

    /// Makes the server know each command as a script.
    pub(crate) fn load_all(&self) -> impl Iterator<Item = Cmd> {
        self.library.commands.values().map(|command| load("SCRIPT", &command.text))
    }
}

fn load(command: &str, text: &str) -> Cmd {
    let mut load = redis::cmd(command);
    load.arg("LOAD").arg(text);
    load
}

/// An argument of a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Number(u64),
}

/// Arguments that are kept until they are sent, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Packed {
    pub(crate) fn new(args: &[Arg<'_>]) -> Self {
        let mut packed =
            Self { bytes: Vec::with_capacity(128), ends: Vec::with_capacity(args.len()) };
        for arg in args {
            match arg {
                Arg::Text(text) => packed.bytes.extend_from_slice(text.as_bytes()),
                Arg::Bytes(bytes) => packed.bytes.extend_from_slice(bytes),
                // Writing to memory does not fail.
                Arg::Number(number) => drop(write!(packed.bytes, "{number}")),
            }
            packed.ends.push(packed.bytes.len());
        }
        packed
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
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
