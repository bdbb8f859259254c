//! The rights of a user beyond one server: those that `docs/redis.md` names suffice, and each is
//! needed.

use std::error::Error as _;

use lock_core::{
    AcquireRequest, Acquisition, ErrorKind, KeepAlive, ListQuery, LockBackend, LockInspector,
    LockKey, MailboxId, OwnerId, ReleaseRequest, RequestId, WaitsQuery,
};
use lock_redis::{RedisBackend, RedisConfig};
use lock_testkit::Skipped;
use lock_testkit_redis::cluster::RedisCluster;
use lock_testkit_redis::sentinel::SentinelSet;
use lock_testkit_redis::server::{Authority, RedisServer, ServerConfig};
use redis::{Client, TlsCertificates};

const GUIDE: &str = include_str!("../../../../docs/redis.md");

/// The rules of a user that the guide gives, by the line that begins with this word.
fn rules(begins: &str) -> Vec<&'static str> {
    let line = GUIDE.lines().find_map(|line| line.strip_prefix(begins)).expect(begins);
    line.split_whitespace().collect()
}

fn common() -> Vec<&'static str> {
    let functions = RedisServer::has_functions();
    let form = if functions { "# as functions: " } else { "# as scripts: " };
    [rules("ACL SETUSER locks on >secret "), rules(form), rules("# with min_replicas: ")].concat()
}

async fn connect(
    nodes: &[RedisServer],
    url: &str,
    rules: &[&str],
) -> lock_core::Result<RedisBackend> {
    for node in nodes {
        let set = ["ACL", "SETUSER", "locks", "reset", "on", ">secret"];
        assert_eq!(node.command(&[&set[..], rules].concat()).await, "OK", "{rules:?}");
    }
    let url = url.replacen("://", "://locks:secret@", 1);
    RedisBackend::connect(RedisConfig::parse(&url).unwrap().with_min_replicas(1)).await
}

fn request(key: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse("alice").unwrap());
    AcquireRequest::new(RequestId::random(), key, owner).queueing(KeepAlive::default())
}

/// Does what differs by topology.
async fn use_store(store: &RedisBackend) -> lock_core::Result<()> {
    let _notices = store.listen(MailboxId::random()).await?;
    for number in 0..20 {
        let key = format!("key-{number}");
        let Acquisition::Granted(lease) = store.acquire(&request(&key)).await?.value else {
            panic!("{key} is free");
        };
        assert!(matches!(store.acquire(&request(&key)).await?.value, Acquisition::Queued(_)));
        if number % 2 == 0 {
            let _ = store.release(&ReleaseRequest::new(lease.name())).await?;
        }
    }
    assert_eq!(store.list(&ListQuery::all()).await?.value.items.len(), 20);
    let waits = WaitsQuery::new(OwnerId::parse("alice").unwrap());
    assert_eq!(store.waits_of(&waits).await?.value.items.len(), 10);
    let _ = (store.health().await?, store.weak_points().await?);
    Ok(())
}

async fn suffice_and_are_needed(nodes: &[RedisServer], url: &str, line: &str) {
    let own = rules(line);
    let all = [common(), own.clone()].concat();
    let store = connect(nodes, url, &all).await.unwrap();
    use_store(&store).await.unwrap_or_else(|error| panic!("{all:?}: {error:?}"));
    for node in nodes {
        let refused = node.command(&["ACL", "LOG"]).await;
        // The driver tells its name, which it may leave, and weak points are fewer without limits.
        let lines: Vec<_> = refused.lines().collect();
        let named = lines.windows(2).filter(|pair| pair[0] == "object").map(|pair| pair[1]);
        let unknown: Vec<_> =
            named.filter(|it| !["client|setinfo", "client", "config|get"].contains(it)).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    for lacking in own.iter().copied().chain(["+wait"]) {
        let others: Vec<_> = all.iter().copied().filter(|rule| *rule != lacking).collect();
        let Err(error) = connect(nodes, url, &others).await else {
            panic!("it connects without {lacking}");
        };
        let kind = (error.kind(), error.is_unknown());
        assert_eq!(kind, (ErrorKind::Unavailable, false), "{lacking}: {:?}", error.source());
    }
}

#[tokio::test]
async fn rights_that_are_named_suffice_and_each_is_needed() {
    let (set, cluster) = tokio::join!(SentinelSet::start(), RedisCluster::start());
    let (sentinel, cluster_url) = (set.url(), cluster.url());
    tokio::join!(
        suffice_and_are_needed(set.nodes(), &sentinel, "# behind sentinels: "),
        suffice_and_are_needed(cluster.nodes(), &cluster_url, "# in a cluster: "),
    );
}

/// Connects by TLS with the certificate of an authority.
async fn by_tls(url: &str, node: &RedisServer, authority: &Authority) -> RedisBackend {
    let config = RedisConfig::parse(url).unwrap();
    let stranger = RedisBackend::connect(config.clone()).await.expect_err("nobody vouches for it");
    assert_eq!(stranger.kind(), ErrorKind::Unavailable);
    let root_cert = Some(authority.pem.clone().into_bytes());
    let server = format!("rediss://127.0.0.1:{}/", node.port());
    let client = Client::build_with_tls(server, TlsCertificates { client_tls: None, root_cert });
    RedisBackend::from_client(&client.unwrap(), config).await.unwrap()
}

#[tokio::test]
async fn topologies_are_reached_by_tls() {
    if RedisServer::start().await.with_tls().await.is_none() {
        let test = "rights::topologies_are_reached_by_tls";
        return Skipped::because("the server has no TLS").tell(test);
    }
    let authority = Authority::create();
    let config = ServerConfig::new().over_tls(&authority);
    let (set, cluster) = tokio::join!(
        SentinelSet::start_with(config.clone(), config.clone()),
        RedisCluster::start_with(config.clone()),
    );
    use_store(&by_tls(&set.url(), &set.nodes()[0], &authority).await).await.unwrap();
    use_store(&by_tls(&cluster.url(), &cluster.nodes()[0], &authority).await).await.unwrap();
}
