//! Holders and waiters that are processes of their own, stopped and killed.

use std::process::Stdio;

use lock_core::LockManager;
use lock_testkit_redis::server::RedisServer;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::Instant;

use crate::scene::{PATIENCE, manager, millis, secs, until_clean, waiter, within};

/// Where the process finds the server, and the ttl and the keep-alive in milliseconds.
const ORDERS: &str = "LOCK_REDIS_TEST_PROCESS";

/// Entry of another process: it acquires the key, reports it, and releases it when it is lost or on
/// command.
#[tokio::test]
async fn process_holds_until_it_is_ended() {
    // In an ordinary run there is nothing to do.
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let mut orders = orders.split(' ');
    let url = orders.next().unwrap();
    let mut span = || millis(orders.next().unwrap().parse().unwrap());
    let (ttl, keep_alive) = (span(), span());
    let me = manager(url, "process").await;
    // It does not outlive who started it.
    let (sender, mut end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(std::io::stdin().read_line(&mut String::new())));
    let guard = tokio::select! {
        guard = me.acquire("key").ttl(ttl).keep_alive(keep_alive) => guard.unwrap(),
        _ = &mut end => return,
    };
    println!("\n@granted {}", guard.token().get());
    tokio::select! {
        reason = guard.lost() => println!("\n@lost {reason:?}"),
        _ = end => {}
    }
    println!("\n@release {:?}", guard.release().await.map_err(|error| error.kind()));
}

struct Process {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(server: &RedisServer, ttl: u64, keep_alive: u64) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "processes::process_holds_until_it_is_ended"]);
        command.args(["--nocapture", "--test-threads=1"]);
        command.env(ORDERS, format!("{} {ttl} {keep_alive}", server.url()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, says }
    }

    /// The next thing that it says.
    async fn says(&mut self) -> String {
        let line = async {
            loop {
                let line = self.says.next_line().await.unwrap().expect("it says more");
                if let Some(said) = line.strip_prefix('@') {
                    return said.to_owned();
                }
            }
        };
        within("it says something", PATIENCE, line).await
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().expect("it runs")).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// Waits until that many wait for the key.
async fn until_waiting(manager: &LockManager, count: u64) {
    let waiting = async || manager.inspect("key").await.is_ok_and(|it| it.value.waiting == count);
    crate::scene::until("they wait", waiting).await;
}

#[tokio::test]
async fn stopped_holder_learns_of_its_loss_when_it_wakes_and_changes_nothing() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    let mut process = Process::start(&server, 1000, 10_000);
    let granted = process.says().await;
    let token: u64 = granted.strip_prefix("granted ").unwrap().parse().unwrap();
    let next = waiter(&alice, "key", secs(30), secs(10)).await;
    let third = waiter(&bob, "key", secs(30), secs(10)).await;
    process.signal(Signal::STOP);
    let held = within("the next proceeds", secs(5), next).await.unwrap().unwrap();
    assert!(held.token().get() > token);
    process.signal(Signal::CONT);
    assert!(process.says().await.starts_with("lost "));
    assert_eq!(process.says().await, "release Err(NotHeld)");
    let seen = bob.inspect("key").await.unwrap().value;
    assert_eq!(seen.leases.iter().map(|it| it.token).collect::<Vec<_>>(), [held.token()]);
    assert_eq!(seen.waiting, 1);
    held.release().await.unwrap();
    let third = within("the third proceeds", secs(5), third).await.unwrap().unwrap();
    third.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn waiters_proceed_when_a_holding_process_is_killed() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let mut process = Process::start(&server, 1500, 10_000);
    let _granted = process.says().await;
    let next = waiter(&alice, "key", secs(30), secs(10)).await;
    process.kill().await;
    let start = Instant::now();
    let held = within("the next proceeds", PATIENCE, next).await.unwrap().unwrap();
    assert!(start.elapsed() < millis(1500) + secs(2), "{:?}", start.elapsed());
    held.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn waiters_proceed_when_a_waiting_process_is_killed() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let bob = manager(&server.url(), "bob").await;
    let held = alice.acquire("key").await.unwrap();
    let process = Process::start(&server, 30_000, 1500);
    until_waiting(&alice, 1).await;
    let next = waiter(&bob, "key", secs(30), secs(10)).await;
    process.kill().await;
    // It goes to the dead, for the claim window.
    held.release().await.unwrap();
    let start = Instant::now();
    let next = within("the next proceeds", PATIENCE, next).await.unwrap().unwrap();
    assert!(start.elapsed() < millis(1500) + secs(2), "{:?}", start.elapsed());
    next.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}

#[tokio::test]
async fn place_of_a_killed_process_lapses() {
    let server = RedisServer::start().await;
    let alice = manager(&server.url(), "alice").await;
    let held = alice.acquire("key").await.unwrap();
    let process = Process::start(&server, 30_000, 1000);
    until_waiting(&alice, 1).await;
    process.kill().await;
    let start = Instant::now();
    until_waiting(&alice, 0).await;
    assert!(start.elapsed() < secs(3), "{:?}", start.elapsed());
    held.release().await.unwrap();
    until_clean(&server, &["key"]).await;
}
