//! Plans and applies of many pull requests take turns on the keys of their projects:
//! `plan_queue [--speed N] [FILE]`.
//!
//! It reads a workload, lets every request of it contend for its key as a task of its own, tells
//! who was granted what, when, and behind whom, and checks at the end that the locks were kept.
//! `README.md` beside this file says more.

mod args;
mod check;
mod failure;
mod fields;
mod refusal;
mod report;
mod rows;
mod run;
mod speed;
mod timeline;
mod workload;

use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use tokio::runtime::Runtime;

use crate::args::Command;
use crate::check::Turn;
use crate::failure::Failure;
use crate::speed::Speed;
use crate::timeline::Timeline;
use crate::workload::Request;

fn main() -> ExitCode {
    let done = args::parse(std::env::args_os().skip(1)).map_err(Failure::Usage).and_then(obey);
    let Err(failure) = done else { return ExitCode::SUCCESS };
    if !failure.is_broken_pipe() {
        // If this cannot be written, the reader is gone.
        drop(writeln!(io::stderr(), "{failure}"));
    }
    failure.exit_code()
}

fn obey(command: Command) -> Result<(), Failure> {
    let mut out = io::stdout();
    match command {
        Command::Help => Ok(out.write_all(args::USAGE.as_bytes())?),
        Command::Run { file, speed } => play(file.as_deref(), speed, &mut out),
    }
}

fn play(file: Option<&Path>, speed: Speed, out: &mut impl Write) -> Result<(), Failure> {
    let requests = workload::load(file).map_err(Failure::Workload)?;
    write_head(&requests, speed, out)?;
    let (turns, timeline) = Runtime::new()?.block_on(run::run(requests, speed, out))?;
    write_report(&turns, &timeline, speed, out)?;

    let problems = check::problems(&turns);
    if !problems.is_empty() {
        return Err(Failure::Check(problems));
    }
    let leases = turns.len();
    let kept = "no two of one key overlapped, tokens of every key increased";
    Ok(writeln!(out, "check: {leases} leases, {kept}")?)
}

fn write_head(requests: &[Request], speed: Speed, out: &mut impl Write) -> io::Result<()> {
    let owners: HashSet<_> = requests.iter().map(|request| &request.owner).collect();
    let keys: HashSet<_> = requests.iter().map(|request| &request.key).collect();
    let step = run::AGEING_STEP.as_secs();
    writeln!(
        out,
        "{} requests of {} pull requests for {} keys, {speed} times faster than the file's times\n\
         one level of priority ranks {step} s earlier; all times are seconds of the file's time\n",
        requests.len(),
        owners.len(),
        keys.len(),
    )
}

fn write_report(
    turns: &[Turn],
    timeline: &Timeline,
    speed: Speed,
    out: &mut impl Write,
) -> io::Result<()> {
    let wait = |turn: &Turn| (turn.priority, speed.in_the_file(turn.waited()));
    let waits: Vec<_> = turns.iter().map(wait).collect();
    writeln!(out, "\n{}\n", report::table(&waits))?;
    let waited = timeline.waited();
    write!(out, "{} granted at once, {waited} from the queue", turns.len() - waited)?;
    match timeline.longest_queue() {
        Some((length, key)) => writeln!(out, "; the longest queue: {length} for `{key}`"),
        None => writeln!(out),
    }
}
