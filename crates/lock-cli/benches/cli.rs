//! The cost of `lockctl`, compared with `flock` on the same machine.
//!
//! Wall times are medians of interleaved rounds. `LOCK_BENCH_ROUNDS` is their number, 41 if not
//! given.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "whole programs are measured, in real time")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const LOCKCTL: &str = env!("CARGO_BIN_EXE_lockctl");
/// The number of simultaneous waiters; their use of resources is measured for `SPAN`.
const WAITERS: usize = 50;
const SPAN: Duration = Duration::from_secs(20);

fn main() {
    // Without this word it is a test run, which is not about time.
    if !env::args().any(|word| word == "--bench") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let rounds = env::var("LOCK_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
    pairs(folder.path(), rounds.unwrap_or(41));
    size(folder.path());
    waiters(folder.path());
}

fn figure(name: &str, value: f64, target: f64) {
    let verdict = if value <= target { "ok" } else { "short" };
    println!("figure {name} {value:.3} {target:.3} {verdict}");
}

fn lockctl(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(LOCKCTL);
    command.args(words).env_remove("LOCKCTL_URL").env("XDG_STATE_HOME", folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Milliseconds that a program takes.
fn time(command: &mut Command) -> f64 {
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    assert!(status.success(), "{command:?}: {status}");
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn pairs(folder: &Path, rounds: usize) {
    let file = folder.join("flock");
    let (mut flocks, mut runs, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        flocks.push(time(Command::new("flock").arg(&file).arg("true")));
        runs.push(time(&mut lockctl(folder, &["run", "deploy", "--", "true"])));
        starts.push(time(&mut lockctl(folder, &["--version"])));
    }
    let (flock, run, start) = (median(flocks), median(runs), median(starts));
    println!("| program | ms, median of {rounds} |\n|---|---:|");
    println!("| `flock FILE true` | {flock:.2} |\n| `lockctl run deploy -- true` | {run:.2} |");
    println!("| `lockctl --version` | {start:.2} |");
    figure("run.ms.beyond-twice-flock", run - 2.0 * flock, 10.0);
    figure("start.ms", start, 15.0);
}

fn size(folder: &Path) {
    let stripped = folder.join("stripped");
    let done = Command::new("strip").arg("-o").arg(&stripped).arg(LOCKCTL).status();
    assert!(done.is_ok_and(|status| status.success()), "the program can be stripped");
    let bytes = fs::metadata(stripped).expect("a file").len();
    figure("binary.mib", bytes as f64 / f64::from(1 << 20), 12.0);
}

/// Processes that end with this.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for program in &mut self.0 {
            let _ = Command::new("kill").arg(program.id().to_string()).status();
        }
        for program in &mut self.0 {
            let _ = program.wait();
        }
    }
}

/// Seconds of a processor that the threads of a process have used.
fn used(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let nanoseconds = |thread: fs::DirEntry| {
        let text =
            fs::read_to_string(thread.path().join("schedstat")).expect("a thread that stays");
        text.split_whitespace()
            .next()
            .and_then(|field| field.parse::<f64>().ok())
            .expect("a number")
    };
    threads.map(|thread| nanoseconds(thread.expect("an entry"))).sum::<f64>() / 1e9
}

fn waiters(folder: &Path) {
    let start =
        |_| lockctl(folder, &["run", "queue", "--", "sleep", "600"]).spawn().expect("starts");
    let programs = Programs((0..=WAITERS).map(start).collect());
    sleep(Duration::from_secs(5));
    let all = || programs.0.iter().map(|program| used(program.id())).sum::<f64>();
    let before = all();
    sleep(SPAN);
    let part = (all() - before) / SPAN.as_secs_f64();
    figure("waiting-50.percent-of-a-core", part * 100.0, 1.0);
}
