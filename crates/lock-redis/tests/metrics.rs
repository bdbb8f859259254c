//! The metrics of the connections, on a real server, and their table.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use lock_core::{AcquireRequest, LockBackend, LockKey, MailboxId, OwnerId, RequestId};
use lock_redis::{METRICS, RedisBackend, RedisConfig};
use lock_testkit::telemetry::{Figures, differences, documented};
use lock_testkit_redis::proxy::Proxy;
use lock_testkit_redis::server::RedisServer;
use metrics_util::debugging::DebuggingRecorder;
use tokio::task::JoinSet;

const DOCUMENT: &str = include_str!("../../../docs/metrics.md");

fn request(key: usize) -> AcquireRequest {
    let key = LockKey::parse(format!("key-{key}")).unwrap();
    AcquireRequest::new(RequestId::random(), key, OwnerId::parse("alice").unwrap())
}

/// All tasks run on this thread, whose recorder this is.
#[tokio::test]
async fn batches_and_reconnects_are_counted_as_the_table_says() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recorder = metrics::set_default_local_recorder(&recorder);
    let server = RedisServer::start().await;
    let proxy = Proxy::start(server.addr()).await;
    let store = RedisBackend::connect(RedisConfig::parse(&proxy.url()).unwrap()).await.unwrap();
    let _notices = store.listen(MailboxId::random()).await.unwrap();
    let mut sent = JoinSet::new();
    for key in 0..10 {
        let store = store.clone();
        sent.spawn(async move { store.acquire(&request(key)).await.map(drop) });
    }
    for answer in sent.join_all().await {
        answer.unwrap();
    }
    // The server is no cluster, which a look finds.
    let cluster = RedisConfig::parse(&format!("redis+cluster://{}", server.addr())).unwrap();
    RedisBackend::connect(cluster).await.unwrap_err();
    let figures = Figures::take(&snapshotter);
    let sizes = figures.values("lock_redis_batch_size", &[]);
    // The first goes by itself.
    assert_eq!(sizes.iter().sum::<f64>(), 9.0, "{sizes:?}");
    assert_eq!(figures.sum("lock_redis_reconnects_total", &[]), 0.0);
    let (table, recorded) = (documented(DOCUMENT, "lock-redis"), figures.rows("lock_redis_"));
    let differences = differences(&table, &recorded, &[]);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(METRICS.iter().all(|metric| table.contains_key(metric.name)));
    proxy.cut();
    proxy.heal();
    let reconnected = async {
        let (mut commands, mut notices) = (0.0, 0.0);
        while commands == 0.0 || notices == 0.0 {
            tokio::task::yield_now().await;
            let figures = Figures::take(&snapshotter);
            let count = |of| figures.sum("lock_redis_reconnects_total", &[("connection", of)]);
            commands += count("commands");
            notices += count("notices");
        }
        (commands, notices)
    };
    let counts = tokio::time::timeout(Duration::from_secs(10), reconnected).await;
    assert_eq!(counts.expect("both are connected again"), (1.0, 1.0));
}
