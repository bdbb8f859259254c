//! The URLs of topologies.

use std::time::Duration;

use lock_core::{InvalidInput, Violation};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use crate::topology::Topology;

/// The forms of a URL.
const EXPECTED: &str = "a redis://, rediss://, redis+unix://, redis+sentinel:// or \
                        redis+cluster:// URL";

fn invalid(expected: &'static str) -> InvalidInput {
    InvalidInput::new("url", Violation::Malformed { expected })
}

/// The servers that a URL names.
pub(crate) fn parse(url: &str) -> Result<Topology, InvalidInput> {
    match url.split_once("://") {
        #[cfg(feature = "sentinel")]
        Some(("redis+sentinel", rest)) => sentinel("redis", rest),
        #[cfg(feature = "sentinel")]
        Some(("rediss+sentinel", rest)) => sentinel("rediss", rest),
        #[cfg(not(feature = "sentinel"))]
        Some(("redis+sentinel" | "rediss+sentinel", _)) => {
            Err(invalid("a URL that this build knows: it lacks the feature `sentinel`"))
        }
        #[cfg(feature = "cluster")]
        Some(("redis+cluster", rest)) => cluster("redis", rest),
        #[cfg(feature = "cluster")]
        Some(("rediss+cluster", rest)) => cluster("rediss", rest),
        #[cfg(not(feature = "cluster"))]
        Some(("redis+cluster" | "rediss+cluster", _)) => {
            Err(invalid("a URL that this build knows: it lacks the feature `cluster`"))
        }
        _ => Ok(Topology::Server(info(url)?)),
    }
}

fn info(url: &str) -> Result<ConnectionInfo, InvalidInput> {
    url.into_connection_info().map(tuned).map_err(|_| invalid(EXPECTED))
}

/// The connection with our settings.
pub(crate) fn tuned(server: ConnectionInfo) -> ConnectionInfo {
    // A peer that is gone without a word is noticed here within seconds, too.
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(5)).with_interval(Duration::from_secs(2));
    let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    // While something is sent, the keep-alive is silent.
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    let tcp = tcp.set_user_timeout(Duration::from_secs(10));
    let settings = server.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    server.set_tcp_settings(tcp).set_redis_settings(settings)
}

/// The parts of a URL with several hosts: `[user:password@]host[:port],..[/path][?query]`.
#[cfg(any(feature = "sentinel", feature = "cluster"))]
struct Parts<'a> {
    /// With `@` at the end, if there is one.
    login: &'a str,
    hosts: Vec<String>,
    path: Vec<&'a str>,
    query: Vec<(&'a str, &'a str)>,
}

#[cfg(any(feature = "sentinel", feature = "cluster"))]
impl<'a> Parts<'a> {
    fn of(rest: &'a str, default_port: u16) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let host = |host: &'a str| {
            // The address of IPv6 is in brackets.
            let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
            if has_port { host.to_owned() } else { format!("{host}:{default_port}") }
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
        let hosts: Vec<_> = hosts.split(',').collect();
        if hosts.iter().any(|host| host.is_empty()) {
            return None;
        }
        let path = path.split('/').filter(|part| !part.is_empty()).collect();
        Some(Self { login, hosts: hosts.into_iter().map(host).collect(), path, query })
    }

    /// The value of an option; an unknown one is an error.
    #[cfg(feature = "sentinel")]
    fn options<const N: usize>(&self, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
        let mut values = [None; N];
        for (name, value) in &self.query {
            let at = names.iter().position(|known| known == name)?;
            values[at] = Some(*value);
        }
        Some(values)
    }
}

/// `[user:password@]host[:port],../NAME[/database][?sentinel_user=..&sentinel_password=..]`.
#[cfg(feature = "sentinel")]
fn sentinel(scheme: &str, rest: &str) -> Result<Topology, InvalidInput> {
    const EXPECTED: &str = "redis+sentinel://HOST:PORT,HOST:PORT/NAME";
    const PORT: u16 = 26_379;
    let parts = Parts::of(rest, PORT).ok_or_else(|| invalid(EXPECTED))?;
    let (name, database) = match parts.path[..] {
        [name] => (name, "0"),
        [name, database] => (name, database),
        _ => return Err(invalid(EXPECTED)),
    };
    let options = parts.options(["sentinel_user", "sentinel_password"]);
    let [user, password] = options.ok_or_else(|| invalid(EXPECTED))?;
    let login = match (user, password) {
        (user, Some(password)) => format!("{}:{password}@", user.unwrap_or_default()),
        (None, None) => String::new(),
        (Some(_), None) => return Err(invalid(EXPECTED)),
    };
    let sentinel = |host: &String| info(&format!("{scheme}://{login}{host}"));
    let sentinels = parts.hosts.iter().map(sentinel).collect::<Result<_, _>>()?;
    let node = info(&format!("{scheme}://{}{}/{database}", parts.login, parts.hosts[0]))?;
    let name = name.to_owned();
    Ok(Topology::Sentinel(crate::topology::sentinel::Sentinels { sentinels, name, node }))
}

/// `[user:password@]host[:port],..`.
#[cfg(feature = "cluster")]
fn cluster(scheme: &str, rest: &str) -> Result<Topology, InvalidInput> {
    const EXPECTED: &str = "redis+cluster://HOST:PORT,HOST:PORT";
    const PORT: u16 = 6_379;
    let parts = Parts::of(rest, PORT).ok_or_else(|| invalid(EXPECTED))?;
    // A cluster has one database.
    if !parts.path.is_empty() || !parts.query.is_empty() {
        return Err(invalid(EXPECTED));
    }
    let node = |host: &String| info(&format!("{scheme}://{}{host}", parts.login));
    let nodes = parts.hosts.iter().map(node).collect::<Result<_, _>>()?;
    Ok(Topology::Cluster(crate::topology::seeds::Seeds { nodes }))
}

#[cfg(test)]
#[cfg(all(feature = "sentinel", feature = "cluster"))]
mod tests {
    use super::*;

    fn sentinels(url: &str) -> crate::topology::sentinel::Sentinels {
        let Ok(Topology::Sentinel(sentinels)) = parse(url) else { panic!("{url} names sentinels") };
        sentinels
    }

    #[test]
    fn url_of_sentinels_names_them_and_the_master() {
        let url = "redis+sentinel://al%40ice:s%2Fcret@one,two:5,[::1]/mymaster/3\
                   ?sentinel_password=other&sentinel_user=watch";
        let it = sentinels(url);
        let addresses: Vec<_> = it.sentinels.iter().map(|it| it.addr().to_string()).collect();
        assert_eq!(addresses, ["one:26379", "two:5", "::1:26379"]);
        assert_eq!(it.name, "mymaster");
        let node = it.node.redis_settings();
        assert_eq!((node.username(), node.password()), (Some("al@ice"), Some("s/cret")));
        assert_eq!(node.db(), 3);
        let sentinel = it.sentinels[0].redis_settings();
        assert_eq!((sentinel.username(), sentinel.password()), (Some("watch"), Some("other")));
    }

    #[test]
    fn sentinels_get_no_login_of_the_servers() {
        let it = sentinels("redis+sentinel://alice:secret@one/mymaster");
        assert_eq!(it.sentinels[0].redis_settings().password(), None);
        assert_eq!(format!("{}", Topology::Sentinel(it)), "one:26379/mymaster");
    }

    #[test]
    fn url_of_a_cluster_names_some_nodes() {
        let Ok(Topology::Cluster(it)) = parse("rediss+cluster://alice:secret@one,two:5") else {
            panic!("a cluster");
        };
        let addresses: Vec<_> = it.nodes.iter().map(|it| it.addr().to_string()).collect();
        assert_eq!(addresses, ["one:6379", "two:5"]);
        assert_eq!(it.nodes[1].redis_settings().password(), Some("secret"));
        assert!(matches!(it.nodes[1].addr(), redis::ConnectionAddr::TcpTls { .. }));
        for url in ["redis+cluster://", "redis+cluster://one/1", "redis+cluster://one,,two"] {
            parse(url).map(|it| it.to_string()).expect_err(url);
        }
    }

    #[test]
    fn url_of_sentinels_without_a_name_is_invalid() {
        for url in [
            "redis+sentinel://one:1",
            "redis+sentinel://one:1/",
            "redis+sentinel://one:1,/name",
            "redis+sentinel:///name",
            "redis+sentinel://one/name/0/more",
            "redis+sentinel://one/name?unknown=1",
            "redis+sentinel://one/name?sentinel_user=u",
            "redis+sentinel://one/name/database",
        ] {
            let error = parse(url).map(|it| it.to_string()).expect_err(url);
            assert!(!error.to_string().contains("one"), "{error}");
        }
    }
}
