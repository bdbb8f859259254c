//! Contenders that take turns on one key: a turn costs few commands, and nobody waits for a
//! heartbeat.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the turns a second are part of the result")]

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, InspectQuery, LeaseName, LockBackend, LockInspector, LockKey,
    LockManager, OwnerId, ReleaseRequest, RequestId,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// The longest that all turns of a case may take, however slow the machine is: a waiter that is not
/// told stands still for three seconds, again and again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The number of turns of each contender.
const TURNS: usize = 300;
/// The number of times that the connection of the mailboxes is cut. Each costs a heartbeat of three
/// seconds if nothing heals it.
const CUTS: usize = 20;
/// Where a process of its own finds the server.
const ORDERS: &str = "LOCK_REDIS_TEST_TURNS";

fn key() -> LockKey {
    LockKey::parse("key").unwrap()
}

async fn store(url: &str) -> RedisBackend {
    RedisBackend::connect(RedisConfig::parse(url).unwrap()).await.expect("the server is up")
}

async fn manager(url: &str, name: &str) -> LockManager {
    LockManager::new(store(url).await, OwnerId::parse(name).unwrap())
}

/// A server, the line to it on which commands are counted, and a gate: a lease that is held until
/// all contenders wait.
struct Arena {
    server: RedisServer,
    proxy: Proxy,
    keeper: RedisBackend,
    gate: LeaseName,
    turns: Arc<Turns>,
}

/// The turns that were taken, and the number of those who hold the key now.
#[derive(Debug, Default)]
struct Turns {
    taken: AtomicUsize,
    inside: AtomicUsize,
}

/// The commands that all turns of a case took.
#[derive(Clone, Copy, Debug)]
struct Counted {
    turns: usize,
    commands: usize,
    hears: usize,
}

impl Turns {
    async fn take(&self, manager: &LockManager, turns: usize) {
        for _ in 0..turns {
            let guard = manager.acquire("key").await.unwrap();
            assert_eq!(self.inside.fetch_add(1, Ordering::SeqCst), 0, "two hold it");
            tokio::task::yield_now().await;
            self.taken.fetch_add(1, Ordering::SeqCst);
            assert_eq!(self.inside.fetch_sub(1, Ordering::SeqCst), 1, "two held it");
            guard.release().await.unwrap();
        }
    }
}

impl Arena {
    async fn open() -> Self {
        let user = if RedisServer::has_functions() { " -function -fcall" } else { "" };
        let scripts = format!("scripts on >secret ~* &* +@all{user}");
        let server = RedisServer::start_with(ServerConfig::new().with("user", &scripts)).await;
        let proxy = Proxy::start(server.addr()).await;
        let keeper = store(&server.url()).await;
        let owner = OwnerId::parse("keeper").unwrap();
        let request = AcquireRequest::new(RequestId::random(), key(), owner);
        let acquired = keeper.acquire(&request).await.unwrap().value;
        let Acquisition::Granted(lease) = acquired else { panic!("{acquired:?}") };
        Self { server, proxy, keeper, gate: lease.name(), turns: Arc::default() }
    }

    /// A manager with a connection of its own.
    async fn manager(&self, name: &str) -> LockManager {
        manager(&self.proxy.url(), name).await
    }

    /// One contender for each of the managers given.
    fn enter(&self, managers: impl IntoIterator<Item = LockManager>) -> JoinSet<()> {
        let mut contenders = JoinSet::new();
        for manager in managers {
            let turns = Arc::clone(&self.turns);
            contenders.spawn(async move { turns.take(&manager, TURNS).await });
        }
        contenders
    }

    /// Opens the gate when that many wait, and counts until the race is over.
    async fn race(&self, what: &str, count: usize, over: impl Future<Output = ()>) -> Counted {
        let query = InspectQuery::new(key());
        let waiting = async || self.keeper.inspect(&query).await.unwrap().value.waiting;
        let all_wait = async {
            while waiting().await != count as u64 {
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, all_wait).await.expect("all wait");
        let before = (self.commands().await, self.hears());
        let start = Instant::now();
        let _ = self.keeper.release(&ReleaseRequest::new(self.gate.clone())).await.unwrap();
        let over = timeout(PATIENCE, over).await;
        over.unwrap_or_else(|_| panic!("{what}: they stand still: {:?}", self.turns));
        let took = start.elapsed();
        let turns = count * TURNS;
        let (commands, hears) = (self.commands().await - before.0, self.hears() - before.1);
        let counted = Counted { turns, commands, hears };
        println!("{what}: {:.0} turns a second, {counted:?}", turns as f64 / took.as_secs_f64());
        counted
    }

    /// The number of commands of ours that the server has run, in whatever form.
    async fn commands(&self) -> usize {
        let mut count = 0;
        for form in ["cmdstat_fcall", "cmdstat_evalsha"] {
            if let Some(stat) = self.server.info(form).await {
                let calls = stat.split(',').find_map(|field| field.strip_prefix("calls="));
                count += calls.unwrap().parse::<usize>().unwrap();
            }
        }
        count
    }

    /// The number of times that a waiter asked. Scripts have no names to count them by: of those
    /// only the whole is bounded, and the time.
    fn hears(&self) -> usize {
        self.proxy.requests_containing(b"_hear\r\n")
    }
}

/// Looks again and again until something holds.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}

async fn all(mut contenders: JoinSet<()>) {
    while let Some(ended) = contenders.join_next().await {
        ended.unwrap();
    }
}

impl Counted {
    /// Every turn is a request and a release, each of which may try the short command first; and no
    /// more than this had to be asked for.
    fn assert_bounded(self, hears: usize) {
        assert!(self.commands <= 4 * self.turns, "{self:?}");
        assert!(self.hears <= hears, "{self:?}");
    }
}

/// Tasks of one manager, which share its connection.
async fn tasks(count: usize) {
    let arena = Arena::open().await;
    let alice = arena.manager("alice").await;
    let contenders = arena.enter(std::iter::repeat_n(alice, count));
    arena.race(&format!("{count} tasks"), count, all(contenders)).await.assert_bounded(0);
}

#[tokio::test]
async fn one_task_takes_its_turns() {
    tasks(1).await;
}

#[tokio::test]
async fn two_tasks_take_turns() {
    tasks(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_take_turns_on_two_threads() {
    tasks(2).await;
}

#[tokio::test]
async fn three_tasks_take_turns() {
    tasks(3).await;
}

#[tokio::test]
async fn ten_tasks_take_turns() {
    tasks(10).await;
}

#[tokio::test]
async fn two_tasks_take_turns_by_scripts() {
    let arena = Arena::open().await;
    let url = arena.proxy.url().replace("redis://", "redis://scripts:secret@");
    let contenders = arena.enter(std::iter::repeat_n(manager(&url, "alice").await, 2));
    arena.race("2 tasks by scripts", 2, all(contenders)).await.assert_bounded(0);
}

#[tokio::test]
async fn tasks_take_turns_while_the_connection_of_the_mailbox_is_cut() {
    let arena = Arena::open().await;
    let alice = arena.manager("alice").await;
    let contenders = arena.enter(std::iter::repeat_n(alice, 3));
    let (turns, mut killer) = (Arc::clone(&arena.turns), arena.server.client().await.unwrap());
    let cut = async move {
        for cut in 0..CUTS {
            until(|| turns.taken.load(Ordering::SeqCst) > cut * 3 * TURNS / CUTS).await;
            // It may still be on its way back from the cut before.
            while killer.command(&["CLIENT", "KILL", "TYPE", "pubsub"]).await.unwrap() != "1" {
                sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let over = async {
        let ((), ()) = tokio::join!(cut, all(contenders));
    };
    let counted = arena.race("3 tasks that are cut", 3, over).await;
    // After each cut, each that waits asks once.
    counted.assert_bounded(3 * CUTS);
    // Calls of scripts have no names.
    let is_counted = RedisServer::has_functions();
    assert!(counted.hears > 0 || !is_counted, "nobody missed anything: {counted:?}");
}

/// Managers with a connection each.
async fn managers(count: usize) {
    let arena = Arena::open().await;
    let mut managers = Vec::new();
    for number in 0..count {
        managers.push(arena.manager(&format!("manager-{number}")).await);
    }
    let contenders = arena.enter(managers);
    arena.race(&format!("{count} managers"), count, all(contenders)).await.assert_bounded(0);
}

#[tokio::test]
async fn two_managers_take_turns() {
    managers(2).await;
}

#[tokio::test]
async fn three_managers_take_turns() {
    managers(3).await;
}

/// Entry of another process.
#[tokio::test]
async fn process_takes_its_turns() {
    // In an ordinary run there is nothing to do.
    let Ok(url) = std::env::var(ORDERS) else { return };
    Turns::default().take(&manager(&url, "process").await, TURNS).await;
}

fn process(url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process_takes_its_turns", "--test-threads=1"]);
    command.env(ORDERS, url).stdin(Stdio::null()).stdout(Stdio::null());
    command.kill_on_drop(true).spawn().unwrap()
}

#[tokio::test]
async fn three_processes_take_turns() {
    let arena = Arena::open().await;
    let processes: Vec<_> = (0..3).map(|_| process(&arena.proxy.url())).collect();
    let over = async {
        for mut process in processes {
            assert!(process.wait().await.unwrap().success());
        }
    };
    arena.race("3 processes", 3, over).await.assert_bounded(0);
}
