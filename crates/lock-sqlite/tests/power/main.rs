//! Losses of power: processes are traced while they use a file, and what a disk may have at each moment
//! is opened and compared with what they were answered.
//!
//! `LOCK_SQLITE_POWER_CUTS` says how many losses, 240 unless set, and `LOCK_SQLITE_POWER_SEED` which.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![expect(clippy::disallowed_methods, reason = "processes live in real time")]

mod disk;
mod judge;
mod trace;
mod workload;

use std::path::Path;
use std::process::{Command, Stdio};

use lock_sqlite::Synchronous;
use lock_testkit::Skipped;
use tempfile::TempDir;

use crate::disk::{Disk, Event, Luck, Random};
use crate::judge::{Answers, Fault};

/// Orders of a process: its name, the durability, the file, and where it says what it does.
const ORDERS: &str = "LOCK_SQLITE_TEST_POWER";
/// How often each process does everything.
const ROUNDS: usize = 64;

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok().and_then(|number| number.trim().parse().ok())
}

/// In memory where there is such a folder: the trace says what was synced.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Entry of another process. The first starts the second, and both work at the same time.
#[tokio::test]
async fn process_follows_its_orders() {
    // In an ordinary run there is nothing to do.
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let [name, synchronous, path, said] = orders.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{orders}")
    };
    let durability = if synchronous == "full" { Synchronous::Full } else { Synchronous::Normal };
    let (path, said) = (Path::new(path), Path::new(said));
    let mut process = workload::Process::start(name, path, said, durability).await;
    if name == "second" {
        return process.work(ROUNDS).await;
    }
    let mut second = order("second", synchronous, path, said, &std::env::current_exe().unwrap());
    let mut second = second.spawn().unwrap();
    process.work(ROUNDS).await;
    assert!(second.wait().unwrap().success());
}

fn order(name: &str, synchronous: &str, path: &Path, said: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    give(&mut command, name, synchronous, path, said);
    command
}

fn give(command: &mut Command, name: &str, synchronous: &str, path: &Path, said: &Path) {
    command.args(["--exact", "process_follows_its_orders", "--nocapture"]);
    let orders = format!("{name} {synchronous} {} {}", path.display(), said.display());
    command.env(ORDERS, orders).stdin(Stdio::null()).stdout(Stdio::null());
}

/// What two processes did to a file, and said.
fn record(synchronous: &str) -> Vec<Event> {
    let base = folder();
    let store = base.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let (said, traced) = (base.path().join("said"), base.path().join("trace"));
    let mut strace = trace::traced(&std::env::current_exe().unwrap(), &traced);
    give(&mut strace, "first", synchronous, &store.join("locks.db"), &said);
    let ended = strace.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    trace::read(&traced, &store, "locks.db", &said)
}

/// The moments of losses: after answers, around what a checkpoint does, and anywhere.
fn moments(events: &[Event], count: usize, random: &mut Random) -> Vec<usize> {
    let at = |is_meant: fn(&Event) -> bool| -> Vec<usize> {
        let meant = events.iter().enumerate().filter(|(_, event)| is_meant(event));
        meant.map(|(index, _)| index + 1).collect()
    };
    let answers = at(|event| matches!(event, Event::Said(_)));
    let checkpoints = at(|event| match event {
        Event::Write { file, offset, .. } => file == "locks.db" || *offset == 0,
        Event::SyncBegins { file, .. } => file.as_deref() == Some("locks.db"),
        Event::Unlink(_) | Event::Open(_) => true,
        _ => false,
    });
    let mut moments: Vec<usize> = (0..count)
        .map(|number| match number % 4 {
            0 | 1 => answers[random.below(answers.len())],
            2 => checkpoints[random.below(checkpoints.len())],
            _ => random.below(events.len() + 1),
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// Loses power so often, and returns the faults of each loss that has some.
async fn lose_power(events: &[Event], count: usize) -> Vec<(usize, Vec<Fault>)> {
    let seed = number("LOCK_SQLITE_POWER_SEED").unwrap_or(1);
    let mut random = Random(seed as u64);
    let base = folder();
    let (mut disk, mut answers, mut done) = (Disk::new(), Answers::default(), 0);
    let mut faults = Vec::new();
    for (number, moment) in moments(events, count, &mut random).into_iter().enumerate() {
        for event in &events[done..moment] {
            disk.apply(event);
            if let Event::Said(said) = event {
                answers.add(said);
            }
        }
        done = moment;
        let mut luck = match number % 5 {
            0 => Luck::LosesAll,
            1 => Luck::KeepsAll,
            _ => Luck::Random(Random(random.below(usize::MAX) as u64)),
        };
        let folder = TempDir::new_in(base.path()).unwrap();
        let found = answers.judge(&disk.cut(&mut luck), folder.path()).await;
        if !found.is_empty() {
            faults.push((moment, found));
        }
    }
    faults
}

fn count() -> usize {
    number("LOCK_SQLITE_POWER_CUTS").unwrap_or(240)
}

/// How often the log began anew: its header was written.
fn restarts(events: &[Event]) -> usize {
    let is_header = |event: &&Event| matches!(event, Event::Write { file, offset: 0, .. } if file == "locks.db-wal");
    events.iter().filter(is_header).count()
}

/// Every command that was answered before a loss of power is there after it.
#[tokio::test]
async fn a_loss_of_power_undoes_nothing_that_was_answered() {
    if let Some(reason) = trace::missing() {
        return Skipped::because(reason).tell("a_loss_of_power_undoes_nothing_that_was_answered");
    }
    let events = record("full");
    assert!(restarts(&events) > 2, "{} restarts of the log", restarts(&events));
    let faults = lose_power(&events, count()).await;
    assert!(faults.is_empty(), "{} losses, the first: {:?}", faults.len(), faults[0]);
}

/// With `Normal` the last commands may be undone, and never a part of one.
#[tokio::test]
async fn a_loss_of_power_with_normal_undoes_whole_commands() {
    if let Some(reason) = trace::missing() {
        return Skipped::because(reason).tell("a_loss_of_power_with_normal_undoes_whole_commands");
    }
    let events = record("normal");
    let faults = lose_power(&events, count()).await;
    assert!(!faults.is_empty(), "nothing was lost");
    for (moment, faults) in faults {
        for fault in faults {
            assert!(matches!(fault, Fault::Lost(_)), "after event {moment}: {fault:?}");
        }
    }
}
