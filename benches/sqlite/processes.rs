//! Other processes: this program again, with orders.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use lock_core::{LockManager, OwnerId};
use lock_sqlite::Synchronous;

use crate::alone::pair;
use crate::raw::Raw;
use crate::{figure, micros, open, quantile, runtime};

/// Orders of a child process: work, file and name.
const ORDERS: &str = "LOCK_SQLITE_BENCH";
/// Duration of the writes.
const WRITING: Duration = Duration::from_secs(1);
const HAND_OFFS: usize = 300;

pub(crate) fn is_child() -> bool {
    std::env::var_os(ORDERS).is_some()
}

/// Does what the orders say.
pub(crate) fn child() {
    let orders = std::env::var(ORDERS).expect("orders");
    let mut orders = orders.splitn(3, ' ');
    let mut next = || orders.next().expect("an order").to_owned();
    let (what, name, path) = (next(), next(), PathBuf::from(next()));
    match what.as_str() {
        "raw" => {
            let raw = Raw::open(&path.with_extension("raw"), Synchronous::Full);
            count(|| {
                raw.commit(&name);
                1
            });
        }
        "pairs" => {
            let (store, runtime) = (open(&path, Synchronous::Full), runtime());
            count(|| {
                runtime.block_on(pair(&store, &name));
                2
            });
        }
        "contend" => runtime().block_on(contend(&path, &name)),
        _ => runtime().block_on(take_turns(&path, &name)),
    }
}

/// Says how many commits a second it makes.
fn count(mut commits: impl FnMut() -> u32) {
    commits();
    println!("ready");
    wait_for_line();
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < WRITING {
        done += commits();
    }
    println!("{}", f64::from(done) / start.elapsed().as_secs_f64());
}

/// Takes turns on the key that all contend for; says how many a second, and how many seconds the
/// longest wait was.
async fn contend(path: &Path, name: &str) {
    let store = open(path, Synchronous::Full);
    let manager = LockManager::new(store, OwnerId::parse(name).expect("valid"));
    println!("ready");
    wait_for_line();
    let (start, mut turns, mut longest) = (Instant::now(), 0_u32, Duration::ZERO);
    while start.elapsed() < WRITING {
        let asked = Instant::now();
        let guard = manager.acquire("key").wait(Duration::from_secs(600)).await.expect("a turn");
        longest = longest.max(asked.elapsed());
        guard.release().await.expect("released");
        turns += 1;
    }
    println!("{}\n{}", f64::from(turns) / start.elapsed().as_secs_f64(), longest.as_secs_f64());
    // The first to end leaves no waiter behind.
    manager.shutdown().await;
}

fn wait_for_line() {
    if std::io::stdin().read_line(&mut String::new()).expect("its input") == 0 {
        // Whoever started it is gone.
        std::process::exit(1);
    }
}

/// Waits for the key and reports when it has it, repeatedly; it releases on command, and says when
/// that began.
async fn take_turns(path: &Path, name: &str) {
    let store = open(path, Synchronous::Full);
    let manager = LockManager::new(store, OwnerId::parse(name).expect("valid"));
    println!("ready");
    loop {
        wait_for_line();
        let wait = Duration::from_secs(600);
        let guard = manager.acquire("key").wait(wait).await.expect("a turn");
        println!("{}", now());
        wait_for_line();
        println!("{}", now());
        guard.release().await.expect("released");
    }
}

/// A point of time that all processes agree on, in nanoseconds.
fn now() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("a clock").as_nanos()
}

pub(crate) struct Child {
    process: std::process::Child,
    says: BufReader<ChildStdout>,
    hears: ChildStdin,
}

impl Child {
    /// Starts some, one after another: SQLite does not wait for its turn to make a file.
    pub(crate) fn start_all(count: usize, what: &str, path: &Path) -> Vec<Self> {
        let start = |number: usize| {
            let mut child = Self::start(what, path, &number.to_string());
            child.ready();
            child
        };
        (0..count).map(start).collect()
    }

    pub(crate) fn start(what: &str, path: &Path, name: &str) -> Self {
        let orders = format!("{what} {name} {}", path.display());
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.env(ORDERS, orders).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        let says = BufReader::new(process.stdout.take().expect("its output"));
        let hears = process.stdin.take().expect("its input");
        Self { process, says, hears }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("it says something");
        line.trim().to_owned()
    }

    pub(crate) fn ready(&mut self) {
        assert_eq!(self.line(), "ready");
    }

    pub(crate) fn go(&mut self) {
        self.hears.write_all(b"\n").expect("it hears");
    }

    pub(crate) fn number(&mut self) -> f64 {
        self.line().parse().expect("a number")
    }

    fn time(&mut self) -> u128 {
        self.line().parse().expect("a time")
    }

    /// Returns its CPU time.
    /// The time that its threads ran. The ticks of `stat` do not show it: a thread that a timer wakes
    /// runs when the tick comes, and is charged for the whole of it.
    fn used(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let nanos = |thread: std::io::Result<std::fs::DirEntry>| {
            let figures = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            figures.split(' ').next()?.parse::<u64>().ok()
        };
        threads.expect("its threads").filter_map(nanos).map(Duration::from_nanos).sum()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// From the release in one process to the guard in another.
pub(crate) fn hand_offs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locks.db");
    let mut two = ["one", "two"].map(|name| Child::start("turns", &path, name));
    two.iter_mut().for_each(Child::ready);
    let [holder, waiter] = &mut two;
    let (mut holder, mut waiter) = (holder, waiter);
    holder.go();
    holder.time();
    let raw = Raw::open(&folder.path().join("raw.db"), Synchronous::Full);
    let (mut spans, mut raws) = (Vec::new(), Vec::new());
    for _ in 0..HAND_OFFS {
        waiter.go();
        // It has joined the queue by then.
        pause(Duration::from_millis(10));
        // The cost of one commit now, of which a hand-off needs one.
        let start = Instant::now();
        raw.commit("key");
        raws.push(start.elapsed());
        holder.go();
        let (released, granted) = (holder.time(), waiter.time());
        let nanos = granted.saturating_sub(released);
        spans.push(Duration::from_nanos(nanos.try_into().expect("a short span")));
        std::mem::swap(&mut holder, &mut waiter);
    }
    let millis = |spans: &mut Vec<Duration>, percent| micros(quantile(spans, percent)) / 1e3;
    let (p50, p99) = (millis(&mut spans, 50), millis(&mut spans, 99));
    println!("hand-off between two processes: p50 {p50:.2} ms, p99 {p99:.2} ms");
    let (raw50, raw99) = (millis(&mut raws, 50), millis(&mut raws, 99));
    println!("one raw commit in between: p50 {raw50:.2} ms, p99 {raw99:.2} ms");
    figure("hand-off.p50-ms", p50, 5.0, true);
    figure("hand-off.p99-ms", p99, 25.0, true);
}

/// Cost of ten processes waiting for one key.
pub(crate) fn waiting() {
    const SPAN: Duration = Duration::from_secs(30);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("locks.db");
    let mut holder = Child::start("turns", &path, "holder");
    holder.ready();
    holder.go();
    holder.time();
    let mut waiters = Child::start_all(10, "turns", &path);
    waiters.iter_mut().for_each(Child::go);
    pause(Duration::from_secs(2));
    let used = |waiters: &[Child]| waiters.iter().map(Child::used).sum::<Duration>();
    let before = used(&waiters);
    pause(SPAN);
    let share = (used(&waiters) - before).as_secs_f64() / SPAN.as_secs_f64() * 100.0;
    println!("10 waiting processes: {share:.2} % of a core");
    figure("10-waiting.percent", share, 1.0, true);
}
