//! Three processes and two servers that are killed, stopped and cut at random: never two holders,
//! no status lost, and every lock accounted for.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed test panics, and each process says what it did"
)]

mod judge;
mod process;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until};

/// Number of processes.
const PROCESSES: u64 = 3;
/// The time for which the servers are disturbed, in seconds, unless `LOCK_FAILOVER_SECONDS` is set.
const SECONDS: u64 = 12;

/// Repeats a run from its seed, as far as the system allows.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// A server, and the line of each process to it.
struct Site {
    server: RedisServer,
    lines: Vec<Proxy>,
}

impl Site {
    async fn start() -> Self {
        let server = RedisServer::start_with(ServerConfig::new().durable()).await;
        let mut lines = Vec::new();
        for _ in 0..PROCESSES {
            lines.push(Proxy::start(server.addr()).await);
        }
        Self { server, lines }
    }

    /// Disturbs the server or a line to it, for this long.
    async fn disturb(&self, dice: &mut Dice, span: Duration) {
        let line = &self.lines[dice.below(PROCESSES) as usize];
        let end = Instant::now() + span;
        match dice.below(6) {
            0 => {
                self.server.kill().await;
                sleep_until(end).await;
                self.server.restart().await;
            }
            1 => {
                self.server.pause().await;
                sleep_until(end).await;
                self.server.resume();
            }
            2 => {
                self.lines.iter().for_each(Proxy::stall);
                sleep_until(end).await;
                self.lines.iter().for_each(Proxy::heal);
            }
            3 => {
                line.stall();
                sleep_until(end).await;
                line.heal();
            }
            4 => {
                line.swallow_replies();
                sleep_until(end).await;
                line.heal();
                line.cut();
            }
            _ => {
                line.refuse();
                line.cut();
                sleep_until(end).await;
                line.heal();
            }
        }
    }
}

fn spawn(sites: &[Site; 2], number: u64, seed: u64, folder: &std::path::Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "process::process_locks_and_unlocks_until_it_is_ended"]);
    command.args(["--nocapture", "--test-threads=1"]);
    let [primary, mirror] = sites.each_ref().map(|site| site.lines[number as usize].url());
    let orders = format!("{primary} {mirror} {number} {seed} {}", folder.display());
    command.env(process::ORDERS, orders);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_never_hold_the_same_and_lose_nothing() {
    let seed = number("LOCK_FAILOVER_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let seconds = number("LOCK_FAILOVER_SECONDS").unwrap_or(SECONDS);
    let mut dice = Dice::new(seed);
    let sites = [Site::start().await, Site::start().await];
    let folder = tempfile::tempdir().unwrap();
    let mut children: Vec<_> =
        (0..PROCESSES).map(|number| spawn(&sites, number, seed, folder.path())).collect();
    let readers: Vec<_> = children
        .iter_mut()
        .map(|child| {
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
            tokio::spawn(async move {
                let mut said = Vec::new();
                while let Some(line) = lines.next_line().await.unwrap() {
                    said.extend(line.strip_prefix('@').map(str::to_owned));
                }
                said
            })
        })
        .collect();

    let end = Instant::now() + Duration::from_secs(seconds);
    let mut faults = BTreeMap::from([("primary", 0), ("mirror", 0)]);
    while Instant::now() < end {
        let is_mirror = dice.below(3) == 0;
        let span = Duration::from_millis(50 + dice.below(450));
        sites[usize::from(is_mirror)].disturb(&mut dice, span).await;
        *faults.get_mut(if is_mirror { "mirror" } else { "primary" }).unwrap() += 1;
        sleep_until(Instant::now() + Duration::from_millis(dice.below(400))).await;
    }
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"end\n").await.unwrap();
    }
    let mut said = Vec::new();
    for reader in readers {
        said.push(reader.await.unwrap());
    }
    for child in &mut children {
        assert!(child.wait().await.unwrap().success(), "seed {seed}: a process failed");
    }
    let verdict = judge::judge(&sites[0].server, &sites[1].server, &said).await;
    println!("seed {seed}: {faults:?}, {verdict}");
    assert!(verdict.is_right(), "seed {seed}: {verdict}");
}
