//! A process: locks and unlocks, and reports at the end which locks it believes it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lock_atlantis::fallback::{Fallback, FallbackConfig, FallbackStore, OnLoss, ServingMode};
use lock_atlantis::{AtlantisRedis, ServerConfig};
use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{
    CommandName, Outcome, ProjectLock, ProjectPlanStatus, ProjectResult, Timestamp,
};
use lock_compat::{LegacyBackend, LegacyError};

use tokio::task::JoinSet;

use crate::Dice;

/// The addresses of the stores, the number of the process, its seed, and the folder of the
/// witnesses.
pub(crate) const ORDERS: &str = "LOCK_COMPAT_TEST_PROCESS";
/// Number of projects that all lock.
const PROJECTS: u64 = 2;
/// Number of tasks of a process, each of them a pull request.
const TASKS: u64 = 3;
/// Number of pull requests with statuses, which all write to.
const PULLS: u64 = 2;
/// The time-out of a call to a store.
const TIMEOUT: Duration = Duration::from_millis(150);

/// A process's belief about its lock of a project.
enum Belief {
    Free,
    /// It holds, and keeps the witness locked.
    Held {
        time: String,
        _witness: File,
    },
    /// The answer to an unlock was lost.
    Unlocking,
}

struct Actor {
    number: u64,
    stores: [Arc<Fallback>; 2],
    folder: PathBuf,
    dice: Dice,
    beliefs: BTreeMap<u64, Belief>,
    /// The times of locks whose answer was lost.
    unsure: BTreeSet<String>,
    /// The times of locks that certainly were not made.
    failed: BTreeSet<String>,
    /// The last status of each project of a pull request that was acknowledged, and those since.
    statuses: BTreeMap<(u64, u64), Vec<i64>>,
    /// The projects of pull requests that certainly have a status.
    written: BTreeSet<(u64, u64)>,
    stamp: u64,
    counts: BTreeMap<&'static str, u64>,
}

async fn open(primary: &str, mirror: &str, on_loss: OnLoss) -> Arc<Fallback> {
    let config = FallbackConfig::new()
        .with_on_loss(on_loss)
        .with_failures(2, Duration::from_secs(2))
        .with_healthy_for(Duration::from_millis(200))
        .with_probe_every(Duration::from_millis(20))
        .with_notes_kept(Duration::from_secs(2));
    let store = async |url: &str| {
        let config = ServerConfig::parse(url).unwrap().with_timeout(TIMEOUT);
        loop {
            if let Ok(store) = AtlantisRedis::connect(config.clone()).await {
                return Arc::new(store) as Arc<dyn FallbackStore>;
            }
        }
    };
    loop {
        let (primary, mirror) = (store(primary).await, store(mirror).await);
        if let Ok(fallback) = Fallback::open(primary, mirror, config).await {
            return Arc::new(fallback);
        }
    }
}

impl Actor {
    fn new(number: u64, stores: [Arc<Fallback>; 2], folder: PathBuf, dice: Dice) -> Self {
        Self {
            number,
            stores,
            folder,
            dice,
            beliefs: BTreeMap::new(),
            unsure: BTreeSet::new(),
            failed: BTreeSet::new(),
            statuses: BTreeMap::new(),
            written: BTreeSet::new(),
            stamp: 0,
            counts: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Two locks never have the same time.
    fn time(&mut self) -> Timestamp {
        self.stamp += 1;
        let nanos = self.stamp * 100 + self.number;
        Timestamp::parse(&format!("2026-01-01T00:00:00.{nanos:09}Z")).unwrap()
    }

    /// Its own lock of a project: no two processes share a pull request.
    fn lock(&mut self, project: u64) -> ProjectLock {
        let mut lock = lock("owner/repo", &format!("p{project}"), "default", self.number as i64);
        lock.time = self.time();
        lock
    }

    fn store(&mut self) -> Arc<Fallback> {
        Arc::clone(&self.stores[self.dice.below(2) as usize])
    }

    /// It holds from now on; no other may believe so at the same time.
    fn witness(&mut self, project: u64, time: String) {
        let file = File::create(self.folder.join(format!("p{project}"))).unwrap();
        if file.try_lock().is_err() {
            println!("\n@violation two hold p{project}: {time}");
        }
        self.beliefs.insert(project, Belief::Held { time, _witness: file });
    }

    async fn try_lock(&mut self, project: u64) {
        if !matches!(self.beliefs.get(&project), None | Some(Belief::Free)) {
            return self.unlock(project).await;
        }
        let (store, own) = (self.store(), self.lock(project));
        let time = own.time.to_string();
        match store.try_lock(own).await {
            Ok((true, _)) => {
                self.count("locked");
                self.witness(project, time);
            }
            // The layer above goes on with a lock of its own pull request.
            Ok((false, held)) if held.pull.num == self.number as i64 => {
                self.count("re-entered");
                if self.failed.contains(&held.time.to_string()) {
                    println!("\n@violation p{project} is held although it failed: {}", held.time);
                }
                self.witness(project, held.time.to_string());
            }
            Ok(_) => self.count("refused"),
            Err(error) if error.is_unknown() => {
                self.count("unsure");
                self.unsure.insert(time);
            }
            // It certainly did not happen: nobody ever finds it.
            Err(_) => {
                self.count("failed");
                self.failed.insert(time);
            }
        }
    }

    async fn unlock(&mut self, project: u64) {
        // After the unlock it no longer holds, whatever the answer.
        self.beliefs.insert(project, Belief::Unlocking);
        let target = self.lock(project).project;
        let num = self.number as i64;
        let [one, other] = self.stores.clone();
        let is_twice = self.dice.below(2) == 0;
        let twice = async {
            match is_twice {
                true => other.unlock_if_owned_by_pull(&target, "default", num).await.map(drop),
                false => Ok(()),
            }
        };
        let answers = tokio::join!(one.unlock_if_owned_by_pull(&target, "default", num), twice);
        if let (Ok(_), Ok(())) = answers {
            self.count("unlocked");
            self.beliefs.insert(project, Belief::Free);
        } else {
            self.count("unlock failed");
        }
    }

    /// It alone writes the status of its folder in a pull request that all share.
    async fn update(&mut self) {
        let num = self.dice.below(PULLS);
        let dir = self.dice.below(2);
        let name = format!("process-{}-{dir}", self.number);
        // Always through the same connections: a call that got no answer is over when they are made
        // anew, while one by others may take effect after the next call was acknowledged.
        let store = Arc::clone(&self.stores[self.number as usize % 2]);
        let pull = pull("owner/repo", num as i64);
        let command = [CommandName::Plan, CommandName::Apply][self.dice.below(2) as usize];
        // Where there is no status, nothing is changed, and that is no error.
        let discards = self.written.contains(&(num, dir)) && self.dice.below(3) == 0;
        let (answer, status) = if discards {
            let status = ProjectPlanStatus::PlanDiscarded;
            (store.update_project_status(&pull, "default", &name, status).await, status)
        } else {
            let result = ProjectResult::new("default", &name, command, Outcome::Success);
            let status = result.plan_status().unwrap();
            (store.update_pull_with_results(&pull, &[result]).await.map(drop), status)
        };
        self.count(if answer.is_ok() { "updated" } else { "update unsure" });
        let known = self.statuses.entry((num, dir)).or_default();
        match answer {
            Ok(()) => {
                self.written.insert((num, dir));
                *known = vec![status.number()];
            }
            Err(error) if error.is_unknown() => known.push(status.number()),
            Err(_) => {}
        }
    }

    /// No other holds the command between the answers to its lock and its unlock.
    async fn command(&mut self) {
        let store = self.store();
        self.stamp += 1;
        let seconds = (self.stamp * 100 + self.number) as i64;
        let time = Timestamp::from_unix(seconds).unwrap();
        let mut held = match store.lock_command(CommandName::Apply, time).await {
            Ok(_) => {
                self.count("commands");
                let file = File::create(self.folder.join("command")).unwrap();
                if file.try_lock().is_err() {
                    println!("\n@violation two hold the command: {seconds}");
                }
                Some(file)
            }
            Err(LegacyError::CommandLocked) => return self.end_returned_command().await,
            Err(_) => None,
        };
        // An unlock without an answer is repeated only while its own lock is there.
        loop {
            match store.check_command_lock(CommandName::Apply).await {
                Ok(Some(lock)) if lock.lock_metadata.unix_time == seconds => {}
                Ok(_) => return,
                Err(_) => continue,
            }
            // It holds until then.
            drop(held.take());
            if store.unlock_command(CommandName::Apply).await.is_ok() {
                return;
            }
        }
    }

    /// Unlocks the command if its lock is an earlier one of its own, which came back: it holds none.
    async fn end_returned_command(&mut self) {
        let store = self.store();
        let shown = store.check_command_lock(CommandName::Apply).await;
        let is_own = |seconds: i64| seconds % 100 == self.number as i64;
        if shown.is_ok_and(|lock| lock.is_some_and(|it| is_own(it.lock_metadata.unix_time))) {
            self.count("commands that came back");
            let _ = store.unlock_command(CommandName::Apply).await;
        }
    }

    /// A held lock is shown by every process, at any time.
    async fn look(&mut self, project: u64) {
        let Some(Belief::Held { time, .. }) = self.beliefs.get(&project) else { return };
        let time = time.clone();
        let (store, target) = (self.store(), self.lock(project).project);
        let found = store.get_lock(&target, "default").await.map(|found| found.map(|it| it.time));
        let listed = store.list().await.map(|listing| {
            let of_project = listing.locks.into_iter().find(|it| it.project == target);
            of_project.map(|it| it.time)
        });
        for found in [found, listed].into_iter().flatten() {
            self.count("seen");
            if found.is_none_or(|found| found.to_string() != time) {
                println!("\n@violation p{project} is held and shown as {found:?}: {time}");
            }
        }
    }

    async fn step(&mut self) {
        let project = self.dice.below(PROJECTS);
        match self.dice.below(11) {
            0..6 => self.try_lock(project).await,
            6 => self.unlock(project).await,
            7 => self.command().await,
            8 => self.look(project).await,
            _ => self.update().await,
        }
    }

    /// Reports its beliefs, once both of its stores serve from both servers again.
    async fn conclude(&mut self) {
        self.end_returned_command().await;
        for project in 0..PROJECTS {
            while matches!(self.beliefs.get(&project), Some(Belief::Unlocking)) {
                self.unlock(project).await;
            }
            if let Some(Belief::Held { time, .. }) = self.beliefs.get(&project) {
                println!("\n@held p{project} {time}");
            }
        }
        self.unsure.iter().for_each(|time| println!("\n@unsure {time}"));
        for ((num, dir), known) in &self.statuses {
            let known: Vec<_> = known.iter().map(ToString::to_string).collect();
            println!("\n@status {num} process-{}-{dir} {}", self.number, known.join(","));
        }
        println!("\n@counts {:?}", self.counts);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_locks_and_unlocks_until_it_is_ended() {
    // In an ordinary run there is nothing to do.
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders: Vec<&str> = orders.split(' ').collect();
    let [primary, mirror, number, seed, folder] = orders[..] else { unreachable!("{orders:?}") };
    let (number, seed): (u64, u64) = (number.parse().unwrap(), seed.parse().unwrap());
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    std::thread::spawn(move || {
        if std::io::stdin().read_line(&mut String::new()).unwrap() == 0 {
            // The parent is gone.
            std::process::exit(1);
        }
        told.store(true, Ordering::SeqCst);
    });
    let stores = [
        open(primary, mirror, OnLoss::ServeMirror).await,
        open(primary, mirror, if number == 0 { OnLoss::FailClosed } else { OnLoss::ServeMirror })
            .await,
    ];
    let mut actors = JoinSet::new();
    for task in 0..TASKS {
        let number = number * TASKS + task;
        let (dice, stores, is_over) =
            (Dice::new(seed + number + 1), stores.clone(), Arc::clone(&is_over));
        let mut actor = Actor::new(number, stores, Path::new(folder).to_owned(), dice);
        actors.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                actor.step().await;
            }
            actor
        });
    }
    let mut actors = actors.join_all().await;
    for store in &stores {
        // It returns by itself.
        while store.mode() == ServingMode::MirrorAlone {
            tokio::task::yield_now().await;
        }
    }
    for store in &stores {
        while !store.reconcile().await.is_ok_and(|report| report.is_clean()) {}
    }
    for actor in &mut actors {
        actor.conclude().await;
    }
}
