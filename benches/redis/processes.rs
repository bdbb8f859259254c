//! Processes that want one lock, each with a manager and a connection of its own.

use std::env;
use std::io::{Read, stdin};
use std::process::Stdio;
use std::time::Duration;

use lock_core::LockManager;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::Instant;

use crate::contention::SPAN_OF_FEW;
use crate::meter::Meter;
use crate::samples::{Samples, Times};
use crate::store::{backend, owner};

pub(crate) const PROCESSES: [usize; 3] = [2, 3, 8];
/// Tells a process which server and which key to use.
const ORDERS: &str = "LOCK_BENCH_PROCESS";
const PREFIX: &str = "processes";
const WARM_UP: Duration = Duration::from_millis(200);

/// Does the work of one of the processes, if this is one.
pub(crate) async fn work_if_told() -> bool {
    let Ok(orders) = env::var(ORDERS) else { return false };
    let (url, key) = orders.split_once(' ').expect("a URL and a key");
    let manager = LockManager::new(backend(url, PREFIX).await, owner());
    println!("ready");
    // It has nothing else to do meanwhile.
    stdin().read_exact(&mut [0]).expect("it is told when to begin");
    let mut turns = Vec::new();
    let start = Instant::now();
    while start.elapsed() < WARM_UP + SPAN_OF_FEW {
        let since = Instant::now();
        let guard = manager.acquire(key).await.expect("granted");
        let (wait, token) = (since.elapsed(), guard.token().get());
        guard.release().await.expect("held until released");
        if since.duration_since(start) >= WARM_UP {
            turns.push((token, wait.as_nanos()));
        }
    }
    for (token, nanos) in turns {
        println!("{token} {nanos}");
    }
    manager.shutdown().await;
    true
}

/// A process that waits for its beginning.
struct Process {
    child: Child,
    orders: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Process {
    async fn start(url: &str, key: &str) -> Self {
        let mut command = Command::new(env::current_exe().expect("the program has a path"));
        command.arg("--bench").env(ORDERS, format!("{url} {key}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the program starts again");
        let orders = child.stdin.take().expect("it is piped");
        let mut says = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        says.read_line(&mut line).await.expect("it speaks");
        assert_eq!(line, "ready\n", "it connects");
        Self { child, orders, says }
    }

    /// The turns that it had: token and wait.
    async fn turns(mut self) -> Vec<(u64, u64)> {
        let mut text = String::new();
        self.says.read_to_string(&mut text).await.expect("it speaks");
        assert!(self.child.wait().await.expect("it ends").success(), "it had all its turns");
        let turn = |line: &str| {
            let (token, nanos) = line.split_once(' ')?;
            Some((token.parse().ok()?, nanos.parse().ok()?))
        };
        text.lines().map(|line| turn(line).expect("a token and a wait")).collect()
    }
}

pub(crate) async fn measure(url: &str, meter: &mut Meter, samples: &mut Samples, rounds: usize) {
    for round in 0..rounds {
        for count in PROCESSES {
            let key = format!("processes/{count}-{round}");
            let mut processes = Vec::new();
            for _ in 0..count {
                processes.push(Process::start(url, &key).await);
            }
            let before = meter.read().await;
            for process in &mut processes {
                process.orders.write_all(b"!").await.expect("it listens");
            }
            let (mut turns, mut waits) = (Vec::new(), Times::default());
            for (number, process) in processes.into_iter().enumerate() {
                for (token, nanos) in process.turns().await {
                    turns.push((token, number));
                    waits.push(nanos);
                }
            }
            let work = meter.read().await.since(before);
            turns.sort_unstable();
            let handoffs = turns.windows(2).filter(|pair| pair[0].1 != pair[1].1).count() as f64;
            let span = SPAN_OF_FEW.as_secs_f64();
            let mut push =
                |what: &str, value| samples.push(format!("processes/{count}/{what}"), value);
            push("acquisitions", turns.len() as f64 / span);
            push("handoffs", handoffs / span);
            push("wait", waits.percentile(99.0));
            push("wait-p999", waits.percentile(99.9));
            push("wait-longest", waits.percentile(100.0));
            // The server counts the warm-up, too.
            let share = span / (span + WARM_UP.as_secs_f64());
            push("commands", work.commands * share / handoffs);
            push("messages", work.messages * share / handoffs);
        }
    }
}
