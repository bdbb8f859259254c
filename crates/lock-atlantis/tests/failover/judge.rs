//! Compares the beliefs of the processes with the final contents of the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lock_atlantis::migrate::Source;
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::LegacyBackend;
use lock_compat::conformance::pull;
use lock_compat::legacy::CommandName;
use lock_testkit_redis::server::RedisServer;

/// The findings.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Pairs that believed at once that they held the same lock.
    pub(crate) two_holders: Vec<String>,
    /// Locks that are held and missing in a store.
    pub(crate) lost_locks: Vec<String>,
    /// Locks that no process holds or may hold.
    pub(crate) stray_locks: Vec<String>,
    /// Statuses that were acknowledged and are gone.
    pub(crate) lost_statuses: Vec<String>,
    /// Records that are not the same in both stores.
    pub(crate) differences: Vec<String>,
    /// The counts of each process's actions.
    pub(crate) counts: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_right(&self) -> bool {
        let Self { two_holders, lost_locks, stray_locks, lost_statuses, differences, .. } = self;
        [two_holders, lost_locks, stray_locks, lost_statuses, differences]
            .iter()
            .all(|found| found.is_empty())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:#?}")
    }
}

pub(crate) async fn judge(
    primary: &RedisServer,
    mirror: &RedisServer,
    said: &[Vec<String>],
) -> Verdict {
    let mut verdict = Verdict::default();
    let (mut held, mut unsure) = (BTreeMap::new(), BTreeSet::new());
    let mut statuses = Vec::new();
    for line in said.iter().flatten() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["violation", ..] => verdict.two_holders.push(line.clone()),
            ["held", project, time] => drop(held.insert(time.to_owned(), project.to_owned())),
            ["unsure", time] => drop(unsure.insert(time.to_owned())),
            ["status", num, dir, known] => {
                let known: Vec<i64> = known.split(',').map(|it| it.parse().unwrap()).collect();
                statuses.push((num.parse::<i64>().unwrap(), dir.to_owned(), known));
            }
            _ => verdict.counts.push(line.clone()),
        }
    }
    let mut records = Vec::new();
    for server in [primary, mirror] {
        let config = ServerConfig::parse(&server.url()).unwrap();
        let store = AtlantisRedis::connect(config).await.unwrap();
        let found = store.records().await.unwrap();
        assert!(found.damaged.is_empty(), "{:?}", found.damaged);
        let found = found.records.into_iter();
        records
            .push(found.map(|it| (it.key().to_owned(), it.encode())).collect::<BTreeMap<_, _>>());
        let locks = store.list().await.unwrap().locks;
        let times: BTreeMap<_, _> =
            locks.iter().map(|it| (it.time.to_string(), it.project.path.clone())).collect();
        for (time, project) in &held {
            if !times.contains_key(time) {
                verdict.lost_locks.push(format!("{project} {time}"));
            }
        }
        for (time, project) in &times {
            if !held.contains_key(time) && !unsure.contains(time) {
                verdict.stray_locks.push(format!("{project} {time}"));
            }
        }
        let command = store.check_command_lock(CommandName::Apply).await.unwrap();
        verdict.stray_locks.extend(command.map(|it| format!("apply {it:?}")));
        for (num, dir, known) in &statuses {
            let status = store.get_pull_status(&pull("owner/repo", *num)).await.unwrap();
            let projects = status.and_then(|it| it.projects).unwrap_or_default();
            let found = projects.iter().find(|it| it.repo_rel_dir == *dir);
            let found = found.map(|it| it.status.number());
            if !found.is_some_and(|found| known.contains(&found)) {
                verdict.lost_statuses.push(format!("{num} {dir}: {found:?} of {known:?}"));
            }
        }
    }
    let [primary, mirror] = [&records[0], &records[1]];
    let keys: BTreeSet<_> = primary.keys().chain(mirror.keys()).collect();
    let differ = |key: &&&String| primary.get(**key) != mirror.get(**key);
    verdict.differences = keys.iter().filter(differ).map(|key| (**key).clone()).collect();
    verdict
}
