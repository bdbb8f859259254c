//! Processes that take turns on a real Redis while faults strike: `cargo xtask soak`.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, LockKey, LockStore, OwnerId, ReleaseRequest, RequestId, Result,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::soak::{self, Target, Trouble};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::time::sleep;

mod topologies;

/// The variable that names the servers: `sentinel` or `cluster`, or one where it is not set.
const TOPOLOGY: &str = "LOCK_SOAK_TOPOLOGY";

fn main() -> ExitCode {
    match std::env::var(TOPOLOGY).as_deref() {
        Ok("sentinel") => soak::main::<topologies::Sentinel>(),
        Ok("cluster") => soak::main::<topologies::Cluster>(),
        _ => soak::main::<Redis>(),
    }
}

/// A server, and a proxy for each process.
struct Redis {
    server: RedisServer,
    lines: Vec<Proxy>,
}

#[async_trait]
impl Target for Redis {
    const TROUBLES: &'static [Trouble] = &Trouble::OF_SERVERS;
    const SIZE: Option<(usize, usize)> = None;

    async fn start(lines: usize, is_durable: bool) -> Self {
        let config = ServerConfig::new();
        let config = if is_durable { config.durable() } else { config };
        let server = RedisServer::start_with(config).await;
        let mut proxies = Vec::new();
        for _ in 0..lines {
            proxies.push(Proxy::start(server.addr()).await);
        }
        Self { server, lines: proxies }
    }

    fn url(&self, line: usize) -> String {
        self.lines[line].url()
    }

    fn direct_url(&self) -> String {
        self.server.url()
    }

    async fn connect(url: &str) -> Result<Arc<dyn LockStore>> {
        let config = RedisConfig::parse(url).expect("a valid URL");
        Ok(Arc::new(RedisBackend::connect(config).await?))
    }

    async fn inflict(&self, trouble: Trouble, line: usize, span: Duration) {
        let line = &self.lines[line];
        match trouble {
            Trouble::Restart => self.server.restart().await,
            Trouble::HangUp => {
                for kind in ["normal", "pubsub"] {
                    self.server.command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]).await;
                }
            }
            Trouble::Cut => line.cut(),
            Trouble::HalfOpen => line.half_open(),
            Trouble::Stall => {
                line.stall();
                sleep(span).await;
                line.heal();
            }
            Trouble::BlackHole => {
                line.black_hole();
                sleep(span).await;
                // Bytes lost on a connection are lost with the connection.
                line.cut();
                line.heal();
            }
            Trouble::LoseReply => {
                line.lose_replies_and_cut(b"");
                sleep(span).await;
                line.heal();
            }
            Trouble::Slow => {
                line.delay(Duration::from_millis(10));
                sleep(span).await;
                line.heal();
            }
            _ => unreachable!("a trouble that is not offered"),
        }
    }

    async fn leftovers(&self, keys: &[LockKey]) -> Vec<String> {
        let store = Self::connect(&self.direct_url()).await.expect("the server answers");
        take_all(&*store, keys).await;
        let names = self.server.command(&["KEYS", "*"]).await;
        let size = self.server.command(&["DBSIZE"]).await;
        let names: BTreeSet<&str> = names.lines().collect();
        let left: Vec<_> = names.iter().filter(|name| !stays(name, &names)).collect();
        let size = size.trim_start_matches("(integer) ").parse();
        if left.is_empty() && size != Ok(names.len()) {
            return vec![format!("DBSIZE is {size:?}, and there are {names:?}")];
        }
        left.into_iter().map(|name| (*name).to_owned()).collect()
    }
}

/// Takes and releases each key: expired leases are dropped at the next turn.
async fn take_all(store: &dyn LockStore, keys: &[LockKey]) {
    for key in keys {
        let owner = OwnerId::parse("cleaner").expect("a valid owner");
        let request = AcquireRequest::new(RequestId::random(), key.clone(), owner);
        // A server that just became the master may not answer yet; the caller looks again.
        let Ok(answer) = store.acquire(&request).await else { continue };
        if let Acquisition::Granted(lease) = answer.value {
            drop(store.release(&ReleaseRequest::new(lease.name())).await);
        }
    }
}

/// Returns `true` if a key in the server has nothing to do with what is held or waited for: the
/// last token, the version of the layout, and for some minutes the marks of what was ended, with
/// the letter in the state that tells of them.
fn stays(name: &str, all: &BTreeSet<&str>) -> bool {
    let is_of_store =
        [":token", ":layout", ":sweep", ":probe"].iter().any(|end| name.ends_with(end));
    let is_mark = name.contains("}:marks:") || name.contains("}:fading:");
    let marks = name.replacen("}:state:", "}:marks:", 1);
    is_of_store || is_mark || marks != name && all.contains(marks.as_str())
}
