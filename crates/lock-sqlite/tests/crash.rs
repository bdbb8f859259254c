//! Holders, waiters and writers that are processes of their own, killed without warning.
//!
//! `LOCK_SQLITE_CRASH_ROUNDS` says how many of each, 20 unless set.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test panics")]
#![expect(clippy::print_stdout, reason = "it is how processes tell what they do")]
#![expect(clippy::disallowed_methods, reason = "processes live in real time")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use lock_core::{
    AcquireRequest, Acquisition, KeepAlive, Lease, ListQuery, LockBackend, LockInspector, LockKey,
    LockManager, OwnerId, ReleaseRequest, RenewRequest, Renewal, RequestId, Timestamp, Ttl,
};
use lock_sqlite::{SqliteBackend, SqliteConfig};
use lock_testkit::Skipped;
use rusqlite::Connection;
use rustix::fs::{FlockOperation, fcntl_lock};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Orders of the process: work and file.
const ORDERS: &str = "LOCK_SQLITE_TEST_PROCESS";
/// Ttl and keep-alive of killed processes.
const SPAN: Duration = Duration::from_millis(400);
/// Allowed delay on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

fn rounds() -> usize {
    let rounds = std::env::var("LOCK_SQLITE_CRASH_ROUNDS");
    rounds.ok().and_then(|rounds| rounds.trim().parse().ok()).unwrap_or(20)
}

fn open(path: &Path) -> SqliteBackend {
    SqliteConfig::new(path).open().unwrap()
}

fn request(key: &str, owner: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse(owner).unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

/// Entry of another process until it is killed.
#[tokio::test]
async fn process_follows_its_orders() {
    // In an ordinary run there is nothing to do.
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let (what, path) = orders.split_once(' ').unwrap();
    if what == "visit" {
        return visit(Path::new(path));
    }
    let store = open(Path::new(path));
    if what == "write" {
        return write(&store).await;
    }
    let manager = LockManager::new(store, OwnerId::parse("process").unwrap());
    let acquire = manager.acquire("key").ttl(SPAN).wait(Duration::from_secs(600));
    if what == "wait" {
        println!("\n@waits");
    }
    let guard = acquire.keep_alive(SPAN).await.unwrap();
    println!("\n@holds {}", guard.token());
    std::future::pending::<()>().await;
}

/// Asks for the lock on the file that the last who closes it has before it removes the log.
fn visit(path: &Path) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let locked = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive);
    println!("\n@sees that it is the {}", if locked.is_ok() { "last" } else { "second" });
}

/// Takes more and more leases for ever, and releases some, as fast as it can.
async fn write(store: &SqliteBackend) {
    let me = std::process::id();
    for number in 0.. {
        let request = request(&format!("{me}/{number}"), "process").with_ttl(Ttl::Never);
        let granted = store.acquire(&request).await.unwrap().value;
        let Acquisition::Granted(lease) = granted else { panic!("{granted:?}") };
        println!("\n@granted {} {}", lease.key, lease.token);
        if number % 3 == 0 {
            println!("\n@releasing {}", lease.key);
            let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
        }
    }
}

struct Process {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(what: &str, path: &Path) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), what, path)
    }

    /// Starts it by a command that ends in the path of this program.
    fn start_by(mut command: Command, what: &str, path: &Path) -> Self {
        command.args(["--exact", "process_follows_its_orders", "--nocapture"]);
        command.env(ORDERS, format!("{what} {}", path.display()));
        command.stdout(Stdio::piped()).stderr(Stdio::null()).stdin(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// The next thing that it says; `None` when it is dead and has said all.
    async fn says(&mut self) -> Option<String> {
        loop {
            let line = self.says.next_line().await.unwrap()?;
            if let Some(said) = line.strip_prefix('@') {
                return Some(said.to_owned());
            }
        }
    }

    /// SIGKILL, and what it said that was not read yet.
    async fn kill(mut self) -> Vec<String> {
        self.child.kill().await.unwrap();
        let mut said = Vec::new();
        while let Some(line) = self.says().await {
            said.push(line);
        }
        said
    }
}

/// Asks until the key is granted, for as long as it may take.
async fn granted_within(store: &SqliteBackend, limit: Duration) -> Lease {
    let waiter = request("key", "tester");
    let waiter = waiter.queueing(KeepAlive::parse(Duration::from_secs(60)).unwrap());
    let start = Instant::now();
    loop {
        if let Acquisition::Granted(lease) = store.acquire(&waiter).await.unwrap().value {
            return lease;
        }
        assert!(start.elapsed() < limit, "not granted within {limit:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn release(store: &SqliteBackend, lease: &Lease) {
    let _ = store.release(&ReleaseRequest::new(lease.name())).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_is_killed_holds_until_its_ttl() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let store = open(&path);
    let mut last = 0;
    for round in 0..rounds() {
        let mut holder = Process::start("hold", &path);
        let said = holder.says().await.unwrap();
        let token: u64 = said.strip_prefix("holds ").unwrap().parse().unwrap();
        assert!(token > last, "round {round}: {token} after {last}");
        holder.kill().await;
        let seen = store.list(&ListQuery::all()).await.unwrap();
        let over = seen.value.items.first().and_then(|lease| lease.remaining(seen.observed_at));
        let lease = granted_within(&store, over.unwrap_or_default() + SLACK).await;
        assert!(lease.token.get() > token, "round {round}");
        last = lease.token.get();
        release(&store, &lease).await;
    }
}

/// The last who closes a file removes its log: a process that has it open is known by its lock on it,
/// which is lost when the process closes the file in any other way than by SQLite.
#[tokio::test]
async fn a_process_that_has_the_file_open_is_seen_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let mut seen = Vec::new();
    let store = open(&path);
    seen.extend(Process::start("visit", &path).says().await);
    drop(open(&path));
    seen.extend(Process::start("visit", &path).says().await);
    let _ = store.health().await.unwrap();
    seen.extend(Process::start("visit", &path).says().await);
    assert_eq!(seen, ["sees that it is the second"; 3]);
}

#[tokio::test]
async fn a_waiter_that_is_killed_costs_its_keep_alive_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let store = open(&path);
    for _ in 0..rounds() {
        let lease = granted_within(&store, SLACK).await;
        let mut waiter = Process::start("wait", &path);
        assert_eq!(waiter.says().await.unwrap(), "waits");
        let query = lock_core::InspectQuery::new(lease.key.clone());
        while store.inspect(&query).await.unwrap().value.waiting == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waiter.kill().await;
        release(&store, &lease).await;
        let lease = granted_within(&store, 2 * SPAN + SLACK).await;
        release(&store, &lease).await;
    }
}

/// Every answered change is there, every other is whole or absent, and no process has to wait for
/// the dead.
#[tokio::test]
async fn a_writer_that_is_killed_loses_nothing_that_it_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let store = open(&path);
    let mut answered = 0;
    for round in 0..rounds() {
        let mut writer = Process::start("write", &path);
        let mut said = vec![writer.says().await.unwrap()];
        tokio::time::sleep(Duration::from_millis(round as u64 * 7 % 40)).await;
        said.extend(writer.kill().await);
        let mut held = BTreeMap::new();
        let mut last_released = None;
        for line in &said {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["granted", key, token] => drop(held.insert(key, token)),
                // It was killed before or after that took effect.
                ["releasing", key] => last_released = held.remove_entry(key),
                _ => {} // The line that it was killed in.
            }
        }
        answered += said.len();
        let mut query = ListQuery::all().with_limit(1000.try_into().unwrap());
        let mut found = BTreeMap::new();
        loop {
            let page = store.list(&query).await.unwrap().value;
            found.extend(page.items.into_iter().map(|lease| (lease.key.to_string(), lease)));
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        for (key, token) in &held {
            let lease = found.get(*key).unwrap_or_else(|| panic!("round {round}: {key} is lost"));
            assert_eq!(lease.token.to_string(), **token);
        }
        // One more may have been granted, and the last release may not have happened.
        assert!(found.len() <= held.len() + 1 + usize::from(last_released.is_some()));
        for lease in found.values() {
            release(&store, lease).await;
        }
        let checker = Connection::open(&path).unwrap();
        let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        assert_eq!(checker.query_row("PRAGMA integrity_check", [], check).unwrap(), "ok");
    }
    assert!(answered > rounds(), "it answered {answered} commands in all");
}

/// A process whose clock is an hour later, as after a suspension of the machine in which the clock of
/// the others stood still.
fn after_an_hour(path: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--time", "--boottime", "3600", "--"]).arg(path);
    command
}

#[tokio::test]
async fn a_lease_ends_while_the_machine_is_suspended() {
    let uptime = |text: &str| text.split(' ').next()?.parse::<f64>().ok();
    let mut look = after_an_hour(Path::new("cat"));
    let look = look.arg("/proc/uptime").stderr(Stdio::null()).output().await;
    let later = look.ok().and_then(|look| uptime(&String::from_utf8_lossy(&look.stdout)));
    let now = uptime(&std::fs::read_to_string("/proc/uptime").unwrap()).unwrap();
    if later.is_none_or(|later| later < now + 3000.0) {
        let reason = Skipped::because("no process may have a clock of its own");
        return reason.tell("a_lease_ends_while_the_machine_is_suspended");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("locks.db");
    let store = open(&path);
    let half_an_hour = Ttl::parse(Duration::from_secs(1800)).unwrap();
    let held = store.acquire(&request("key", "tester").with_ttl(half_an_hour)).await.unwrap().value;
    let Acquisition::Granted(held) = held else { panic!("{held:?}") };
    let next = after_an_hour(&std::env::current_exe().unwrap());
    let mut next = Process::start_by(next, "hold", &path);
    let said = tokio::time::timeout(SLACK, next.says()).await.unwrap().unwrap();
    let token: u64 = said.strip_prefix("holds ").unwrap().parse().unwrap();
    assert!(token > held.token.get(), "{token} after {}", held.token);
    let renewal = [RenewRequest::new(held.name(), half_an_hour)];
    let renewed = store.renew(&renewal).await.remove(0).unwrap().value;
    assert_eq!(renewed, Renewal::NotHeld);
    next.kill().await;
}

/// The clock of the file goes on as it was set by the first use of the file.
#[tokio::test]
async fn a_wall_clock_that_jumps_ends_no_lease_and_delays_none() {
    const DAY: i64 = 24 * 60 * 60 * 1_000_000;
    for jump in [DAY, -DAY] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks.db");
        let first = open(&path);
        let before = first.list(&ListQuery::all()).await.unwrap().observed_at;
        // The wall clock, by which that was set, was another then.
        let editor = Connection::open(&path).unwrap();
        let set = "UPDATE meta SET value = value - ?1 WHERE name = 'started'";
        assert_eq!(editor.execute(set, [jump]).unwrap(), 1);
        let (one, other) = (open(&path), open(&path));
        let lease = granted_within(&one, SLACK).await;
        let seen = other.list(&ListQuery::all()).await.unwrap();
        assert_eq!(seen.value.items, std::slice::from_ref(&lease));
        let micros = |time: Timestamp| time.as_micros().cast_signed();
        let behind = micros(before) - micros(seen.observed_at);
        assert!((behind - jump).abs() < DAY / 2, "{behind} of {jump}");
        assert!(lease.remaining(seen.observed_at).unwrap() <= lease.ttl.span().unwrap());
        release(&other, &lease).await;
    }
}
