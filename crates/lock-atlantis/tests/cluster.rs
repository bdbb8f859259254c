//! Atlantis' layout on a cluster of three servers.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::net::TcpListener;
use std::time::Duration;

use lock_atlantis::RedisDocuments;
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::LegacyBackend;
use lock_compat::conformance::{lock, pull};
use lock_compat::documents::{DocumentStore, Replacement};
use lock_compat::legacy::{CommandName, Outcome, ProjectResult, Timestamp, encode};
use lock_testkit_redis::server::{RedisServer, ServerConfig as Setup};
use tokio::time::{interval, timeout};

/// The longest time in which the servers find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// The slots of each server.
const SLOTS: [(u16, u16); 3] = [(0, 5460), (5461, 10_922), (10_923, 16_383)];

/// Starts three servers, each with a third of the slots, that know each other.
async fn cluster() -> Vec<RedisServer> {
    let mut servers: Vec<RedisServer> = Vec::new();
    for (first, last) in SLOTS {
        // Free a moment ago, and most likely still free.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).unwrap().port();
        let setup =
            Setup::new().with("cluster-enabled", "yes").with("cluster-port", &free.to_string());
        let server = RedisServer::start_with(setup).await;
        let range = ["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()];
        assert_eq!(server.command(&range).await, "OK");
        if let Some(met) = servers.first() {
            let (port, bus) = (server.port().to_string(), free.to_string());
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
            assert_eq!(met.command(&meet).await, "OK");
        }
        servers.push(server);
    }
    for server in &servers {
        let whole = timeout(PATIENCE, until_whole(server));
        whole.await.expect("the servers find each other");
    }
    servers
}

/// Polls until the server knows the others, of which it sends no notice.
async fn until_whole(server: &RedisServer) {
    let mut looks = interval(Duration::from_millis(10));
    loop {
        let info = server.command(&["CLUSTER", "INFO"]).await;
        if info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3") {
            break;
        }
        looks.tick().await;
    }
}

fn config(servers: &[RedisServer]) -> ServerConfig {
    // As in the configuration of Atlantis, or as URLs.
    let address = |server: &RedisServer| match server.port() % 2 {
        0 => format!(" {} ", server.addr()),
        _ => server.url(),
    };
    let addresses: Vec<_> = servers.iter().map(address).collect();
    ServerConfig::parse_cluster(addresses.iter().map(String::as_str).chain(["", " "])).unwrap()
}

#[tokio::test]
async fn locks_on_all_servers_are_seen() {
    if !RedisServer::has_functions() {
        // Before version 7 the port of a cluster's own traffic cannot be chosen.
        return;
    }
    let servers = cluster().await;
    let old = lock("owner/repo", "old/nested", "default", 5);
    let text = String::from_utf8(encode(&old)).unwrap();
    let key = "pr/owner/repo/old/nested/default";
    let mut kept = 0;
    for server in &servers {
        kept += usize::from(server.command(&["SET", key, &text]).await == "OK");
    }
    assert_eq!(kept, 1, "one server has the slot");
    let store = AtlantisRedis::connect(config(&servers)).await.unwrap();
    let mut held = vec![old];
    for number in 0..60 {
        let lock = lock("owner/repo", &format!("dir-{number}"), "default", 5);
        assert!(store.try_lock(lock.clone()).await.unwrap().0);
        held.push(lock);
    }
    for server in &servers {
        let count: usize = server.command(&["DBSIZE"]).await.parse().unwrap();
        assert!(count > 0, "every server has some");
    }
    for lock in &held {
        let seen = store.get_lock(&lock.project, "default").await.unwrap();
        assert_eq!(seen.as_ref(), Some(lock), "moved or locked");
        assert!(!store.try_lock(lock.clone()).await.unwrap().0);
    }
    assert_eq!(store.list().await.unwrap().locks.len(), 61);
    assert_eq!(store.unlock_by_pull("owner/repo", 5).await.unwrap().locks.len(), 61);
    assert!(store.list().await.unwrap().locks.is_empty());

    let plan = ProjectResult::new("default", ".", CommandName::Plan, Outcome::Success);
    let pull = pull("owner/repo", 5);
    let status = store.update_pull_with_results(&pull, &[plan]).await.unwrap();
    assert_eq!(store.get_pull_status(&pull).await.unwrap(), Some(status));
    let time = Timestamp::from_unix(7).unwrap();
    store.lock_command(CommandName::Apply, time).await.unwrap();
    assert!(store.lock_command(CommandName::Apply, time).await.is_err());
    store.unlock_command(CommandName::Apply).await.unwrap();

    let documents = RedisDocuments::connect(config(&servers), "documents").await.unwrap();
    for name in ["one", "two", "three"] {
        let written = documents.replace(name, None, Some(b"body")).await.unwrap();
        assert_eq!(written, Replacement::Done);
    }
    assert_eq!(documents.names("t").await.unwrap(), ["three", "two"]);
}
