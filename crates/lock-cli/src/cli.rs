//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use lock_core::{LockKey, OwnerId, Priority, Reason, RequestId, SessionId};

const EXIT_CODES: &str = "\
Exit codes:
  the command's own, or 128+N when signal N ended it
   64  wrong usage
   69  the store is unavailable, or the address of `serve` is taken
   74  the output cannot be written
   75  others hold the key, the wait was over, or there was a deadlock (-E changes it)
   77  not permitted
   78  wrong configuration: a foreign, damaged or newer file, or of `serve`
   79  the lock was lost; the command was ended
  126  the command cannot be executed
  127  the command was not found";

const RUN_HELP: &str = "\
When the lock is lost, the command gets SIGTERM, and SIGKILL at the latest when the lease ends. So does
everything that it started, in other sessions too, except what was started by `env -u LOCKCTL_RUN`.";

/// Take turns from any shell, on one machine with nothing installed or on many through Redis.
#[derive(Debug, Parser)]
#[command(name = "lockctl", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    /// The store: sqlite:PATH, redis://, rediss://, redis+unix://, redis+sentinel:// or
    /// redis+cluster://; a file of this user if not given
    #[arg(long, global = true, env = "LOCKCTL_URL", hide_env_values = true)]
    pub(crate) url: Option<String>,
    /// Print JSON, and errors as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Hold a key, or several, while a command runs
    #[command(after_help = format!("{RUN_HELP}\n\n{EXIT_CODES}"))]
    Run(RunArgs),
    /// Acquire a key and print the lease as JSON, for `renew` and `release`
    Acquire {
        #[arg(value_parser = key)]
        key: LockKey,
        #[command(flatten)]
        args: AcquireArgs,
    },
    /// Renew the lease on standard input and print it
    Renew,
    /// Release the lease on standard input
    Release,
    /// Hand the lease on standard input to another owner, past the queue, and print the new one
    Transfer {
        /// The new owner
        #[arg(long, value_parser = owner)]
        to: OwnerId,
    },
    /// List the leases that are alive
    Ls {
        /// Only keys that begin with this
        prefix: Option<String>,
    },
    /// Show who holds a key and who waits for it
    Show {
        #[arg(value_parser = key)]
        key: LockKey,
    },
    /// Wait until nobody holds a key
    Wait {
        #[arg(value_parser = key)]
        key: LockKey,
        /// Longest wait; for ever if not given
        #[arg(long, value_parser = humantime::parse_duration)]
        wait: Option<Duration>,
    },
    /// Print events as they happen
    Watch {
        /// Only keys that begin with this
        prefix: Option<String>,
    },
    /// End all leases of a key by force: the next is granted at once, while commands of `run` that held
    /// it still have their grace
    Break {
        #[arg(value_parser = key)]
        key: LockKey,
        /// Why, for the holder and for the events
        #[arg(long, value_parser = reason)]
        reason: Reason,
        /// In whose name
        #[arg(long, value_parser = owner)]
        owner: Option<OwnerId>,
    },
    /// Ask the holders of a key to release it, and wait for that; nothing is done to them
    RequestRelease {
        #[arg(value_parser = key)]
        key: LockKey,
        /// Why, for the holders
        #[arg(long, value_parser = reason)]
        reason: Reason,
        /// How long they have
        #[arg(long, value_parser = humantime::parse_duration, default_value = "5m")]
        within: Duration,
        /// In whose name
        #[arg(long, value_parser = owner)]
        owner: Option<OwnerId>,
    },
    /// Remove a waiter from the queue of a key
    Cancel {
        #[arg(value_parser = key)]
        key: LockKey,
        /// The request, as `show` prints it
        #[arg(value_parser = request)]
        request: RequestId,
        /// Why, for the waiter and for the events
        #[arg(long, value_parser = reason, default_value = "cancelled by lockctl")]
        reason: Reason,
    },
    /// Mend a key in Redis that lost a part, and say what was kept
    Repair {
        #[arg(value_parser = key)]
        key: LockKey,
    },
    /// Divide the store of one server among the masters of a cluster, while nobody uses it
    Divide {
        /// The Redis that has the store, in one shard; the cluster itself if not given
        #[arg(long)]
        from: Option<String>,
    },
    /// Examine the store: version, settings, clock, round trip, weak points
    Doctor,
    /// Work on the locks of Atlantis
    Atlantis {
        #[command(subcommand)]
        verb: AtlantisVerb,
    },
    /// Serve the store over HTTP, for any language
    #[cfg(feature = "serve")]
    Serve(Box<crate::serve::ServeArgs>),
    /// Print completions for a shell
    Completions { shell: Shell },
    /// Print the manual page
    Man,
    /// End a command whose lock is lost when `lockctl run` cannot
    #[command(name = "__guardian", hide = true)]
    Guardian { mark: String },
    /// Start a command as soon as its guardian knows of it
    #[command(name = "__gate", hide = true)]
    Gate {
        gate: i32,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

/// The options of an acquire.
#[derive(Args, Debug)]
pub(crate) struct AcquireArgs {
    /// Longest wait; for ever if not given, and 0 asks once
    #[arg(long, value_parser = wait)]
    pub(crate) wait: Option<Duration>,
    /// low, normal, high or critical: a head start in the queue
    #[arg(long, short)]
    pub(crate) priority: Option<Priority>,
    /// Length of the lease, at least 1s, which is renewed while it is held
    #[arg(long, value_parser = ttl, default_value = "30s")]
    pub(crate) ttl: Duration,
    /// Share the key with others that do so
    #[arg(long, conflicts_with = "permits")]
    pub(crate) shared: bool,
    /// Share the key with at most N in all that ask for one of N
    #[arg(long, value_name = "N")]
    pub(crate) permits: Option<u32>,
    /// Who holds it, for others to see; user@machine:process if not given
    #[arg(long, value_parser = owner)]
    pub(crate) owner: Option<OwnerId>,
    /// The line of work that holds other keys meanwhile, as `run` puts it into `LOCK_SESSION`: a deadlock
    /// between such lines is found, and one of them ends with 75
    #[arg(long, value_parser = session)]
    pub(crate) session: Option<SessionId>,
    /// Exit code when others hold the key or the wait is over
    #[arg(short = 'E', long, value_name = "CODE")]
    pub(crate) contended_exit: Option<u8>,
}

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    /// The keys; of several, none is held before all are
    #[arg(value_parser = key, required = true, value_name = "KEY")]
    pub(crate) keys: Vec<LockKey>,
    #[command(flatten)]
    pub(crate) acquire: AcquireArgs,
    /// What to do when others hold the key
    #[arg(long, value_enum, default_value_t = IfHeld::Wait)]
    pub(crate) if_held: IfHeld,
    /// Time between SIGTERM and SIGKILL when the lock is lost; at most half of the ttl
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5s")]
    pub(crate) grace: Duration,
    /// The command and its arguments
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfHeld {
    /// Wait, as long as --wait says
    Wait,
    /// End well, with nothing done
    Skip,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AtlantisVerb {
    /// Copy locks and statuses from one store to another
    Migrate {
        /// bolt:FILE or the redis:// of an Atlantis
        #[arg(long)]
        from: String,
        /// The redis:// of an Atlantis
        #[arg(long)]
        to: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Copy the locks and statuses of an Atlantis into the store at --url
    #[cfg(feature = "serve")]
    Import {
        /// The file or the redis:// of an Atlantis that is stopped
        #[arg(long)]
        from: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Move the locks and statuses in the store at --url into the Redis of an Atlantis
    #[cfg(feature = "serve")]
    Export {
        /// The redis:// of an Atlantis that is stopped, whose database has none
        #[arg(long)]
        to: String,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// List the project locks of the Atlantis at --url
    List,
    /// Unlock a project of the Atlantis at --url
    Unlock {
        /// The repository, as owner/name
        repo: String,
        /// The path of the project in it
        path: String,
        /// The workspace
        #[arg(long, default_value = "default")]
        workspace: String,
    },
    /// Show the pull requests that wait for projects locked in the store at --url
    Queues(QueuesArgs),
}

/// The queues to show; all if nothing is given.
#[derive(Args, Debug)]
pub(crate) struct QueuesArgs {
    /// Only those of projects of this repository, as owner/name
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) repo: Option<String>,
    /// Only the places of this pull request of the repository
    #[arg(long, value_name = "NUMBER", requires = "repo", conflicts_with = "path")]
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) pull: Option<i64>,
    /// Only that of the project in this path of the repository
    #[arg(long, requires = "repo")]
    pub(crate) path: Option<String>,
    /// The workspace of the project; `default` if not given
    #[arg(long, requires = "path")]
    pub(crate) workspace: Option<String>,
    /// The name of the project, if it has one
    #[arg(long, requires = "path")]
    pub(crate) name: Option<String>,
}

fn key(text: &str) -> Result<LockKey, String> {
    LockKey::parse(text).map_err(|error| error.to_string())
}

fn owner(text: &str) -> Result<OwnerId, String> {
    OwnerId::parse(text).map_err(|error| error.to_string())
}

fn reason(text: &str) -> Result<Reason, String> {
    Reason::parse(text).map_err(|error| error.to_string())
}

fn request(text: &str) -> Result<RequestId, String> {
    RequestId::parse(text).map_err(|error| error.to_string())
}

fn session(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text).map_err(|error| error.to_string())
}

/// A lease that is long enough to be renewed.
fn ttl(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text).map_err(|error| error.to_string())? {
        short if short < Duration::from_secs(1) => Err("it is less than 1s".to_owned()),
        ttl => Ok(ttl),
    }
}

/// A duration, for which 0 needs no unit.
pub(crate) fn wait(text: &str) -> Result<Duration, String> {
    match text {
        "0" => Ok(Duration::ZERO),
        text => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}
