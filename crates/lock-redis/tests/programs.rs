//! The random programs of the simulation, through real connections to a real server.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lock_core::LockStore;
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::simulation::{self, Site, Trouble};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;

/// The keys of one program, on a server that others use, too.
#[derive(Debug)]
struct OnRedis {
    prefix: String,
    lines: Vec<Proxy>,
}

impl OnRedis {
    async fn new(server: &RedisServer, seed: u64) -> Self {
        let mut lines = Vec::new();
        for _ in 0..simulation::PROCESSES {
            lines.push(Proxy::start(server.addr()).await);
        }
        Self { prefix: format!("program-{seed}"), lines }
    }
}

#[async_trait]
impl Site for OnRedis {
    async fn connect(&self, process: usize) -> Arc<dyn LockStore> {
        let line = &self.lines[process];
        loop {
            // The programs start without contention.
            line.heal();
            let config = RedisConfig::parse(&line.url()).expect("a URL");
            let config = config.with_prefix(&self.prefix).expect("a prefix");
            match RedisBackend::connect(config).await {
                Ok(store) => return Arc::new(store),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    }

    fn trouble(&self, process: usize, trouble: Trouble) {
        let line = &self.lines[process];
        line.heal();
        match trouble {
            Trouble::Slow(longest) | Trouble::DelaysNotices(longest) => line.delay(longest / 20),
            Trouble::LosesRequests => line.black_hole(),
            Trouble::LosesAnswers => line.swallow_replies(),
            Trouble::LosesNotices => line.stall(),
            Trouble::Refuses => {
                line.refuse();
                line.cut();
            }
            Trouble::Cut => line.cut(),
            other => unreachable!("a trouble that this line has not: {other:?}"),
        }
    }

    fn heal(&self, process: usize) {
        self.lines[process].heal();
    }

    fn slack(&self) -> Duration {
        // No timing of a busy machine decides.
        Duration::from_secs(20)
    }
}

#[tokio::test]
async fn programs_fit_together_on_a_real_server() {
    let server = RedisServer::start().await;
    simulation::check_programs(16, async |seed| OnRedis::new(&server, seed).await).await;
}
