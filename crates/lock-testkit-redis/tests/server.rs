//! The servers that tests start: alone, steerable, and gone when their owner is.

use std::io::{BufRead, BufReader, ErrorKind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use lock_testkit_redis::client::Client;
use lock_testkit_redis::server::{RedisServer, ServerConfig};
use tokio::time::{sleep, timeout};

/// Longer than any answer takes.
const LONG: Duration = Duration::from_millis(200);
/// Longer than anything takes.
const TOO_LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_server_starts_and_answers() {
    let server = RedisServer::start().await;
    assert_eq!(server.command(&["PING"]).await, "PONG");
    assert_eq!(server.command(&["GET", "none"]).await, "(nil)");
    assert_eq!(server.command(&["RPUSH", "list", "a b", ""]).await, "2");
    assert_eq!(server.command(&["LRANGE", "list", "0", "-1"]).await, "a b\n");
    assert!(server.command(&["NONSENSE"]).await.starts_with("(error) ERR unknown command"));
    assert_eq!(server.url(), format!("redis://127.0.0.1:{}/", server.port()));
    let path = server.unix_url();
    let path = Path::new(path.strip_prefix("redis+unix://").unwrap());
    let mut by_socket = Client::connect_unix(path).await.unwrap();
    assert_eq!(by_socket.command(&["LLEN", "list"]).await.unwrap(), "2");
    let mut by_port = Client::connect(server.addr()).await.unwrap();
    assert_eq!(by_port.command(&["LLEN", "list"]).await.unwrap(), "2");
    assert_eq!(server.info("process_id").await, Some(server.pid().to_string()));
    let version = server.version().await;
    assert!(version.starts_with("redis ") || version.starts_with("valkey "), "{version}");
}

#[tokio::test]
async fn two_servers_do_not_disturb_each_other() {
    let (one, other) = tokio::join!(RedisServer::start(), RedisServer::start());
    assert_ne!(one.port(), other.port());
    assert_eq!(one.command(&["SET", "key", "one"]).await, "OK");
    assert_eq!(other.command(&["GET", "key"]).await, "(nil)");
    one.kill().await;
    assert_eq!(other.command(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_killed_server_refuses_connections_and_restarts_empty() {
    let server = RedisServer::start().await;
    assert_eq!(server.command(&["SET", "key", "value"]).await, "OK");
    let mut client = Client::connect(server.addr()).await.unwrap();
    let first = server.pid();
    server.kill().await;
    assert_eq!(server.pid(), 0);
    assert!(!Path::new(&format!("/proc/{first}")).exists(), "it was reaped");
    client.command(&["PING"]).await.unwrap_err();
    let refusal = Client::connect(server.addr()).await.unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::ConnectionRefused);
    let port = server.port();
    server.restart().await;
    assert_eq!(server.port(), port);
    let mut client = Client::connect(server.addr()).await.unwrap();
    assert_eq!(client.command(&["GET", "key"]).await.unwrap(), "(nil)");
}

#[tokio::test]
async fn a_durable_server_restarts_with_its_data() {
    let server = RedisServer::start_with(ServerConfig::new().durable()).await;
    for round in 1..=3 {
        assert_eq!(server.command(&["INCR", "key"]).await, round.to_string());
        server.restart().await;
        assert_eq!(server.command(&["GET", "key"]).await, round.to_string());
    }
}

#[tokio::test]
async fn a_restarted_server_has_read_all_its_data_back() {
    // Each key takes a tenth of a millisecond, so that it answers long before it has read them all.
    let config = ServerConfig::new().durable().with("key-load-delay", "100");
    let server = RedisServer::start_with(config.with("requirepass", "secret")).await;
    let fill = "for i = 1, 5000 do redis.call('SET', i, i) end";
    assert_eq!(server.command(&["EVAL", fill, "0"]).await, "(nil)");
    server.restart().await;
    assert_eq!(server.command(&["GET", "5000"]).await, "5000");
}

#[tokio::test]
async fn a_running_server_is_restarted_as_another_process() {
    let server = RedisServer::start().await;
    let first = server.pid();
    server.restart().await;
    assert_ne!(server.pid(), first);
}

#[tokio::test]
async fn a_paused_server_is_silent_until_it_is_resumed() {
    let server = RedisServer::start().await;
    let mut client = Client::connect(server.addr()).await.unwrap();
    server.pause().await;
    client.send(&["PING"]).await.unwrap();
    timeout(LONG, Client::connect(server.addr())).await.unwrap().unwrap();
    let mut answer = Box::pin(client.receive());
    timeout(LONG, &mut answer).await.unwrap_err();
    server.resume();
    assert_eq!(timeout(TOO_LONG, answer).await.unwrap().unwrap(), "PONG");
}

#[tokio::test]
async fn a_paused_server_can_be_killed() {
    let server = RedisServer::start().await;
    server.pause().await;
    server.restart().await;
    assert_eq!(server.command(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn the_configuration_is_heeded() {
    let config = ServerConfig::new()
        .with("maxmemory", "2mb")
        .with("requirepass", "secret")
        .with("user", "alice on >hers ~only:* +get");
    let server = RedisServer::start_with(config).await;
    assert_eq!(server.command(&["CONFIG", "GET", "maxmemory"]).await, "maxmemory\n2097152");
    let mut client = Client::connect(server.addr()).await.unwrap();
    assert!(client.command(&["PING"]).await.unwrap().starts_with("(error) NOAUTH"));
    assert_eq!(client.command(&["AUTH", "alice", "hers"]).await.unwrap(), "OK");
    assert_eq!(client.command(&["GET", "only:this"]).await.unwrap(), "(nil)");
    assert!(client.command(&["GET", "other"]).await.unwrap().starts_with("(error) NOPERM"));
}

#[tokio::test]
async fn a_dropped_server_leaves_nothing() {
    let server = RedisServer::start().await;
    let pid = server.pid();
    let folder = server.command(&["CONFIG", "GET", "dir"]).await;
    let folder = Path::new(folder.lines().last().unwrap());
    assert!(folder.is_dir());
    drop(server);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_server_outlives_the_thread_that_started_it() {
    let start = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(RedisServer::start())
    };
    let server = std::thread::spawn(start).join().unwrap();
    assert_eq!(server.command(&["PING"]).await, "PONG");
}

#[tokio::test]
async fn a_server_dies_with_the_process_that_started_it() {
    const CHILD: &str = "LOCK_TESTKIT_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let server = RedisServer::start().await;
        let folder = server.command(&["CONFIG", "GET", "dir"]).await;
        println!("\nstarted {} {}", server.port(), folder.lines().last().unwrap());
        return std::future::pending().await;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_server_dies_with_the_process_that_started_it", "--nocapture"])
        .env(CHILD, "yes")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let started = lines.filter_map(|line| line.strip_prefix("started ").map(str::to_owned)).next();
    let started = started.unwrap();
    let (port, folder) = started.split_once(' ').unwrap();
    let addr = ([127, 0, 0, 1], port.parse().unwrap()).into();
    assert_eq!(Client::connect(addr).await.unwrap().command(&["PING"]).await.unwrap(), "PONG");
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = async {
        while Client::connect(addr).await.is_ok() || Path::new(folder).exists() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(TOO_LONG, gone).await.unwrap();
}
