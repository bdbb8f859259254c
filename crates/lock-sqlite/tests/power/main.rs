//! Losses of power: processes are traced while they use a file, and what a disk may have at each moment
//! is opened and compared with what they were answered.
//!
//! `LOCK_SQLITE_POWER_CUTS` says how many losses, 160 unless set, and `LOCK_SQLITE_POWER_SEED` which.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]

mod disk;
mod judge;
mod trace;
mod workload;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use lock_sqlite::Synchronous;
use lock_testkit::Skipped;
use tempfile::TempDir;

use crate::disk::{Disk, Event, Luck, Random};
use crate::judge::{Answers, Fault};

/// Orders of a process: its name, the durability, the file, and where it says what it does.
const ORDERS: &str = "LOCK_SQLITE_TEST_POWER";
const FILE: &str = "locks.db";
const LOG: &str = "locks.db-wal";
/// How often the log begins anew while the processes work.
const RESTARTS: u32 = 2;

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
    if name == "first" {
        // It makes the file and the log, closes the file, which deletes the log, and goes on.
        workload::Process::start("before", path, said, durability).await.acquire("before").await;
        while std::fs::exists(path.with_file_name(LOG)).unwrap() {
            tokio::task::yield_now().await;
        }
    }
    let mut process = workload::Process::start(name, path, said, durability).await;
    if name == "second" {
        return process.work(&path.with_file_name(LOG), RESTARTS).await;
    }
    let mut second = order("second", synchronous, path, said, &std::env::current_exe().unwrap());
    let mut second = second.spawn().unwrap();
    process.work(&path.with_file_name(LOG), RESTARTS).await;
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
    give(&mut strace, "first", synchronous, &store.join(FILE), &said);
    let ended = strace.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    trace::read(&traced, &store, FILE, &said)
}

/// The moments of losses: after answers, around what a checkpoint does, at the making of the file, and
/// anywhere.
fn moments(events: &[Event], count: usize, random: &mut Random) -> Vec<usize> {
    let at = |is_meant: fn(&Event) -> bool| -> Vec<usize> {
        let meant = events.iter().enumerate().filter(|(_, event)| is_meant(event));
        meant.map(|(index, _)| index + 1).collect()
    };
    let answers = at(|event| matches!(event, Event::Said(_)));
    let races = at(|event| matches!(event, Event::Said(said) if said.contains(" races/")));
    let checkpoints = at(|event| match event {
        Event::Write { file, offset, .. } => file == FILE || *offset == 0,
        Event::SyncBegins { file, .. } => file.as_deref() == Some(FILE),
        Event::Unlink(_) | Event::Open(_) => true,
        _ => false,
    });
    let mut moments: Vec<usize> = (0..count)
        .map(|number| match number % 5 {
            0 => answers[random.below(answers.len())],
            1 => races[random.below(races.len())],
            2 => checkpoints[random.below(checkpoints.len())],
            3 => random.below(answers[4]),
            _ => random.below(events.len() + 1),
        })
        .collect();
    moments.sort_unstable();
    moments
}

/// Loses power so often, or until there are faults, and returns those of each loss that has some.
async fn lose_power(events: &[Event], count: usize, most: usize) -> Vec<(usize, Vec<Fault>)> {
    let mut random = Random(number("LOCK_SQLITE_POWER_SEED").unwrap_or(1) as u64);
    let base = folder();
    let (mut disk, mut answers, mut done) = (Disk::new(), Answers::default(), 0);
    let mut faults = Vec::new();
    for moment in moments(events, count, &mut random) {
        for event in &events[done..moment] {
            disk.apply(event);
            if let Event::Said(said) = event {
                answers.add(said);
            }
        }
        done = moment;
        let mut luck = match random.below(8) {
            0 => Luck::KeepsAll,
            1..4 => Luck::LosesAll,
            _ => Luck::Random(Random(random.below(usize::MAX) as u64)),
        };
        let folder = TempDir::new_in(base.path()).unwrap();
        let found = answers.judge(&disk.cut(&mut luck), folder.path()).await;
        if !found.is_empty() {
            faults.push((moment, found));
        }
        if faults.len() == most {
            break;
        }
    }
    faults
}

fn count() -> usize {
    number("LOCK_SQLITE_POWER_CUTS").unwrap_or(160)
}

/// Says that the test is skipped where nothing can be traced.
fn is_skipped(test: &str) -> bool {
    trace::missing().map(|reason| Skipped::because(reason).tell(test)).is_some()
}

/// Every command that was answered before a loss of power is there after it.
#[tokio::test]
async fn a_loss_of_power_undoes_nothing_that_was_answered() {
    if is_skipped("a_loss_of_power_undoes_nothing_that_was_answered") {
        return;
    }
    assert_eq!(lose_power(&record("full"), count(), 1).await, []);
}

/// With `Normal` the last commands may be undone, and never a part of one.
#[tokio::test]
async fn a_loss_of_power_with_normal_undoes_whole_commands() {
    if is_skipped("a_loss_of_power_with_normal_undoes_whole_commands") {
        return;
    }
    let faults = lose_power(&record("normal"), count() / 2, usize::MAX).await;
    assert!(!faults.is_empty(), "nothing was lost");
    for (moment, faults) in faults {
        let is_whole = faults.iter().all(|fault| matches!(fault, Fault::Lost(_)));
        assert!(is_whole, "after event {moment}: {faults:?}");
    }
}

/// The same processes without some of their syncs lose answers, or the file.
#[tokio::test]
async fn a_sync_that_is_missing_is_found() {
    if is_skipped("a_sync_that_is_missing_is_found") {
        return;
    }
    let events = record("full");
    let of_releases = without_syncs_of_releases(&events);
    assert_ne!(lose_power(&of_releases, count(), 1).await, [], "the syncs of releases");
    let begins = events.iter().position(|event| matches!(event, Event::Said(_))).unwrap();
    let is_kept = |(index, event): &(usize, &Event)| {
        *index < begins
            || !matches!(event, Event::SyncBegins { file: Some(file), .. } if file == FILE)
    };
    let of_checkpoints: Vec<_> =
        events.iter().enumerate().filter(is_kept).map(|(_, event)| event.clone()).collect();
    assert_ne!(lose_power(&of_checkpoints, count(), 1).await, [], "the syncs of checkpoints");
}

/// Leaves out syncs of the log while a release is to be answered.
fn without_syncs_of_releases(events: &[Event]) -> Vec<Event> {
    let said = |event: &Event| match event {
        Event::Said(said) => Some(said.clone()),
        _ => None,
    };
    let released: BTreeSet<String> = events
        .iter()
        .filter_map(said)
        .filter_map(|said| {
            said.strip_prefix("ended ")?.strip_suffix(" by release").map(str::to_owned)
        })
        .collect();
    let mut releasing = 0;
    let mut kept = Vec::new();
    for event in events {
        if let Event::Said(said) = event {
            let begins = said.strip_prefix("ends ").is_some_and(|lease| released.contains(lease));
            releasing += usize::from(begins);
            releasing -= usize::from(said.ends_with(" by release"));
        }
        let is_sync = matches!(event, Event::SyncBegins { file: Some(file), .. } if file == LOG);
        if releasing == 0 || !is_sync {
            kept.push(event.clone());
        }
    }
    kept
}
