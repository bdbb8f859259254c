//! The weak points of a topology, for operators.

use lock_core::{Operation, Result};
use redis::Value;

use crate::backend::RedisBackend;
use crate::reply::{field, text};
use crate::script::Form;
use crate::shards::Shards;

/// Number of bytes from which on a replica counts as behind.
const BEHIND: u64 = 1 << 20;
/// Number of seconds of silence from which on a replica counts as behind.
const LAG: u64 = 5;
/// The least output limit of a subscribed connection that a burst of notices does not reach.
const OUTPUT: u64 = 1 << 20;
const SCRIPTED: &str = "commands run as scripts, which read all of their code at each call: the server \
                        is older than 7.0, or the user may not load functions";
/// The least number of sentinels and of masters that survive the loss of one.
const MAJORITY: usize = 3;

impl RedisBackend {
    /// What would lose locks, or keep them from being granted, when servers of this topology fail: no
    /// persistence, no replica or one that is behind, too few sentinels or masters; and what slows it
    /// down: commands that run as scripts, and a small output limit of subscribed connections, where the
    /// user may read it.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](lock_core::ErrorKind::Unavailable) when a master does not answer.
    pub async fn weak_points(&self) -> Result<Vec<String>> {
        let shards = &*self.shards;
        let is_alone = matches!(shards.endpoint, crate::topology::Endpoint::Server(_));
        let mut found = Vec::new();
        for (node, info) in shards.infos().await? {
            let of_node = of_server(&info, shards.config.min_replicas, is_alone);
            let prefix = node.map(|node| format!("{node}: ")).unwrap_or_default();
            found.extend(of_node.into_iter().map(|point| format!("{prefix}{point}")));
        }
        if let Some(connection) = shards.stores[0].route.only_server() {
            let is_scripted =
                connection.handle().await.is_some_and(|handle| handle.form == Form::Scripts);
            found.extend(is_scripted.then(|| SCRIPTED.to_owned()));
        }
        found.extend(shards.output_limit().await.and_then(of_output_limit));
        #[cfg(feature = "sentinel")]
        if let crate::topology::Endpoint::Sentinel(sentinel) = &shards.endpoint {
            let watched = sentinel.watched().await?;
            found.extend(of_sentinels(&watched));
        }
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &shards.cluster {
            found.extend(of_masters(cluster.masters().len()));
        }
        Ok(found)
    }
}

impl Shards {
    /// The bytes of notices at which the server of the first shard disconnects a subscribed client;
    /// `None` for a user who may not read it. Zero is no limit.
    async fn output_limit(&self) -> Option<u64> {
        let mut get = redis::cmd("CONFIG");
        get.arg("GET").arg("client-output-buffer-limit");
        let answer = self.stores[0].route.command(Operation::Health, &get).await.ok()?;
        let Value::Map(pairs) = answer else { return None };
        let (_, limits) = pairs.first()?;
        pubsub_limit(text(limits)?)
    }

    /// What each master says of itself, with its address where there are several.
    async fn infos(&self) -> Result<Vec<(Option<String>, String)>> {
        let info = redis::cmd("INFO");
        let read = |answer: Value| text(&answer).unwrap_or_default().to_owned();
        #[cfg(feature = "cluster")]
        if let Some(cluster) = &self.cluster {
            let mut infos = Vec::new();
            for master in cluster.masters() {
                let answer = master.connection.command(Operation::Health, &info).await?;
                infos.push((Some(master.to_string()), read(answer)));
            }
            return Ok(infos);
        }
        let answer = self.stores[0].route.command(Operation::Health, &info).await?;
        Ok(vec![(None, read(answer))])
    }
}

/// Reads the hard limit of the class `pubsub`: `normal 0 0 0 slave 1 1 60 pubsub 33554432 8388608 60`.
fn pubsub_limit(limits: &str) -> Option<u64> {
    let mut words = limits.split_ascii_whitespace();
    words.find(|word| *word == "pubsub")?;
    words.next()?.parse().ok()
}

fn of_output_limit(bytes: u64) -> Option<String> {
    (1..OUTPUT).contains(&bytes).then(|| {
        format!(
            "client-output-buffer-limit: a subscribed client is cut off at {bytes} bytes of notices, \
             and asks for its state again"
        )
    })
}

/// The weak points of a master and its replicas.
fn of_server(info: &str, min_replicas: u32, is_alone: bool) -> Vec<String> {
    let number = |name| field(info, name).and_then(|value| value.trim().parse::<u64>().ok());
    let mut found = Vec::new();
    if number("aof_enabled") == Some(0) {
        found.push("no append-only file: a restart forgets what no snapshot has".to_owned());
    }
    let replicas = number("connected_slaves").unwrap_or(0);
    if replicas == 0 && !is_alone {
        found.push("no replica is connected: nothing can be promoted".to_owned());
    }
    if replicas < u64::from(min_replicas) {
        found
            .push(format!("grants wait for {min_replicas} replicas, and {replicas} are connected"));
    }
    let offset = number("master_repl_offset").unwrap_or(0);
    for replica in 0..replicas {
        let Some(line) = field(info, &format!("slave{replica}")) else { continue };
        let word = |name: &str| {
            let mut words = line.trim().split(',');
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let address = format!("{}:{}", word("ip").unwrap_or("?"), word("port").unwrap_or("?"));
        let behind = word("offset")
            .and_then(|at| at.parse().ok())
            .map_or(0, |at: u64| offset.saturating_sub(at));
        let lag = word("lag").and_then(|lag| lag.parse::<u64>().ok()).unwrap_or(0);
        if word("state") != Some("online") {
            found.push(format!("replica {address} is not in step yet"));
        } else if behind > BEHIND || lag > LAG {
            found.push(format!("replica {address} is {behind} bytes and {lag} s behind"));
        }
    }
    found
}

/// The sentinels of a master, as one of them knows them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched {
    /// Number of sentinels, that one included.
    pub(crate) sentinels: usize,
    /// Number of sentinels that must agree that the master is down.
    pub(crate) quorum: usize,
}

#[cfg_attr(not(feature = "sentinel"), expect(dead_code, reason = "there are no sentinels"))]
fn of_sentinels(watched: &Watched) -> Vec<String> {
    let Watched { sentinels, quorum } = *watched;
    let mut found = Vec::new();
    if sentinels < MAJORITY {
        found.push(format!(
            "{sentinels} sentinels: with {MAJORITY}, one may fail and the others promote a replica"
        ));
    }
    if quorum > sentinels {
        found.push(format!("{quorum} sentinels must agree, and there are {sentinels}"));
    }
    found
}

#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "there are no clusters"))]
fn of_masters(masters: usize) -> Option<String> {
    (masters < MAJORITY).then(|| {
        format!("{masters} masters: with {MAJORITY}, one may fail and the others promote a replica")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "aof_enabled:1\r\nconnected_slaves:2\r\nmaster_repl_offset:9000000\r\n\
        slave0:ip=10.0.0.2,port=6379,state=online,offset=8999990,lag=0\r\n\
        slave1:ip=10.0.0.3,port=6379,state=online,offset=7000000,lag=1\r\n";

    #[test]
    fn replica_that_is_behind_is_named() {
        let found = of_server(INFO, 2, false);
        assert_eq!(found, ["replica 10.0.0.3:6379 is 2000000 bytes and 1 s behind"]);
        let lags = INFO.replace("lag=0", "lag=9").replace("offset=7000000", "offset=9000000");
        let found = of_server(&lags, 0, false);
        assert_eq!(found, ["replica 10.0.0.2:6379 is 10 bytes and 9 s behind"]);
        let joins = INFO.replace("state=online,offset=7", "state=wait_bgsave,offset=7");
        assert_eq!(of_server(&joins, 0, false), ["replica 10.0.0.3:6379 is not in step yet"]);
    }

    #[test]
    fn server_without_persistence_or_replicas_is_named() {
        let info = "aof_enabled:0\r\nconnected_slaves:0\r\n";
        let forgets = "no append-only file: a restart forgets what no snapshot has";
        assert_eq!(of_server(info, 0, true), [forgets]);
        assert_eq!(
            of_server(info, 1, false),
            [
                forgets,
                "no replica is connected: nothing can be promoted",
                "grants wait for 1 replicas, and 0 are connected",
            ]
        );
    }

    #[test]
    fn output_limit_of_subscribed_clients_is_read_and_small_ones_are_named() {
        let limits = "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        assert_eq!(pubsub_limit(limits), Some(33_554_432));
        assert_eq!(pubsub_limit("normal 0 0 0"), None);
        assert!([0, OUTPUT].map(of_output_limit).iter().all(Option::is_none));
        assert!(of_output_limit(65_536).unwrap().contains("65536"));
    }

    #[test]
    fn too_few_sentinels_and_masters_are_named() {
        let of = |sentinels, quorum| of_sentinels(&Watched { sentinels, quorum }).len();
        assert_eq!((of(1, 1), of(3, 2), of(2, 3)), (1, 0, 2));
        assert!(of_masters(2).is_some() && of_masters(3).is_none());
    }
}
