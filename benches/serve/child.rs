//! The server, in a process of its own.

use std::env;
use std::fs;
use std::future::pending;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::routing::post;
use lock_core::LockStore;
use lock_memory::MemoryBackend;
use lock_server::{Service, ServiceConfig};
use lock_sqlite::{SqliteConfig, Synchronous};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;

/// Makes the benchmark a server: `empty`, `memory` or the path of an SQLite file.
const VARIABLE: &str = "LOCK_BENCH_SERVE";

pub(crate) fn is_child() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Serves until it is killed, or its parent ends.
pub(crate) fn serve() {
    let what = env::var(VARIABLE).expect("what to serve");
    std::thread::spawn(|| {
        // The parent holds the other end.
        let _ = std::io::stdin().lines().next();
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        println!("{}", listener.local_addr().expect("it has an address"));
        let store: Arc<dyn LockStore> = match what.as_str() {
            "empty" => {
                let router = Router::new().route("/v1/acquire", post(async || "{}"));
                axum::serve(listener, router).await.expect("it serves");
                return;
            }
            "memory" => Arc::new(MemoryBackend::new()),
            path => {
                let config = SqliteConfig::new(path).with_synchronous(Synchronous::Normal);
                Arc::new(config.open().expect("the file opens"))
            }
        };
        let config = ServiceConfig::new().with_connections(20_000);
        Service::new(store, config).serve(listener, pending()).await;
    });
}

/// A server in a process of its own, killed with the value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(what: &str) -> Self {
        raise_open_files();
        let program = env::current_exe().expect("the path of this program");
        let mut command = Command::new(program);
        command.env(VARIABLE, what).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("it was piped"));
        let mut address = String::new();
        stdout.read_line(&mut address).expect("it says where it listens");
        Self { child, address: address.trim().to_owned(), _stdout: stdout }
    }

    /// Resident bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = self.status("statm");
        let pages: u64 = status.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("pages");
        pages * rustix::param::page_size() as u64
    }

    /// Nanoseconds of processor time.
    pub(crate) fn processor(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("its threads");
        let used = |path: std::path::PathBuf| {
            let text = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|it| it.parse::<u64>().ok()).unwrap_or_default()
        };
        tasks.flatten().map(|task| used(task.path())).sum()
    }

    fn status(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("it runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many open files as the system allows; a child inherits that.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit");
}
