//! Processes that take turns on a real Redis while faults strike: `cargo xtask soak`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::{InspectQuery, LockInspector, LockKey, LockStore, Result};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::proxy::Proxy;
use lock_testkit::server::{RedisServer, ServerConfig};
use lock_testkit::soak::{self, Target, Trouble};
use tokio::time::sleep;

fn main() -> ExitCode {
    soak::main::<Redis>()
}

/// A server, and a proxy for each process.
struct Redis {
    server: RedisServer,
    lines: Vec<Proxy>,
}

#[async_trait]
impl Target for Redis {
    const TROUBLES: &'static [Trouble] = &Trouble::ALL;

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
                // What is lost on a connection is lost with the connection.
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
        let store =
            RedisBackend::connect(RedisConfig::parse(&self.direct_url()).expect("a valid URL"));
        let store = store.await.expect("the server answers");
        for key in keys {
            // What is over goes when somebody looks at it.
            let _ =
                store.inspect(&InspectQuery::new(key.clone())).await.expect("the server answers");
        }
        // A server has its last token and the version of the layout; marks last for minutes.
        let left = self.server.command(&["KEYS", "*"]).await;
        let stays = |name: &&str| {
            [":token", ":layout", ":sweep"].iter().any(|end| name.ends_with(end))
                || name.contains("}:marks:")
        };
        let size = self.server.command(&["DBSIZE"]).await;
        let (stay, left): (Vec<_>, Vec<_>) = left.lines().partition(stays);
        let left: Vec<_> = left.into_iter().map(str::to_owned).collect();
        if left.is_empty() && size.trim_start_matches("(integer) ").parse() != Ok(stay.len()) {
            return vec![format!("DBSIZE {size}, of which {stay:?}")];
        }
        left
    }
}
