//! The calls of several processes, the answers that everybody received, and their consequences for
//! the stores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use lock_atlantis::fallback::Fallback;
use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{
    CommandLock, CommandName, Outcome, ProjectLock, ProjectPlanStatus, ProjectResult, PullStatus,
    Timestamp, decode,
};
use lock_compat::{LegacyBackend, LegacyError, Result};

use super::cells::Cells;

/// A call of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Locks for the pull request of this number.
    Lock(i64),
    /// Unlocks for it.
    Unlock(i64),
    /// Unlocks all its projects.
    UnlockAll(i64),
    /// Unlocks for the first, and then locks for the second.
    Pass(i64, i64),
    /// Writes the status of a folder that no other process writes to.
    Update,
    /// Discards the plan of a folder that is there.
    Discard,
    /// Plans that folder again, so that the status is as it was at first.
    Replan,
    /// Deletes all statuses.
    Forget,
    /// Locks a command, looks at it and unlocks it.
    Command,
    /// Looks at the lock and the status.
    Look,
    Reconcile,
}

impl Act {
    pub(crate) const fn is_of_status(self) -> bool {
        matches!(self, Self::Update | Self::Discard | Self::Replan | Self::Forget)
    }
}

/// The lock of a pull request: no two of one pull request have the same time.
pub(crate) fn of(num: i64, caller: usize) -> ProjectLock {
    let mut lock = lock("owner/repo", "path", "default", num);
    lock.time = Timestamp::from_unix(100 * num + caller as i64).unwrap();
    lock
}

pub(crate) fn planned(folder: &str) -> ProjectResult {
    ProjectResult::new("default", folder, CommandName::Plan, Outcome::Success)
}

/// The answers that everybody received.
#[derive(Debug, Default)]
struct Told {
    /// The lock that a pull request holds.
    holder: Option<ProjectLock>,
    /// Number of times that this changed.
    changes: usize,
    /// The locks of attempts that have not ended, or died.
    attempts: Vec<ProjectLock>,
    /// The locks of attempts, and of unlocks, that have had no certain answer.
    maybe: Vec<ProjectLock>,
    /// Number of unlocks of each pull request that began, and that ended.
    unlocks: BTreeMap<i64, (usize, usize)>,
    /// The folders, with the statuses that each may have.
    folders: BTreeMap<String, BTreeSet<Option<i64>>>,
    /// Number of status calls that began; `true` if a deletion began, or was acknowledged.
    updates: usize,
    forgets: [bool; 2],
    holds_command: bool,
    maybe_command: BTreeSet<i64>,
}

/// Shared by all calls of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Beliefs(Arc<Mutex<Told>>);

impl Beliefs {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    /// This lock is held from now on.
    pub(crate) fn begin(&self, lock: ProjectLock) {
        let mut told = self.told();
        if let Some(holder) = &told.holder {
            assert_eq!(*holder, lock, "two hold");
        }
        (told.holder, told.changes) = (Some(lock), told.changes + 1);
    }

    pub(crate) fn has_status(&self, folder: &str, status: ProjectPlanStatus) {
        let known = BTreeSet::from([Some(status.number())]);
        self.told().folders.insert(folder.to_owned(), known);
    }

    /// Runs a call to its end.
    pub(crate) async fn perform(self, act: Act, store: Fallback, caller: usize) {
        match act {
            Act::Lock(num) => self.lock(&store, of(num, caller)).await,
            Act::Unlock(num) => self.unlock(&store, num, false).await,
            Act::UnlockAll(num) => self.unlock(&store, num, true).await,
            Act::Pass(from, to) => {
                self.unlock(&store, from, false).await;
                self.lock(&store, of(to, caller + 10)).await;
            }
            Act::Update => {
                let (folder, pull) = (format!("folder-{caller}"), pull("owner/repo", 1));
                let results = [planned(&folder)];
                let update =
                    async { store.update_pull_with_results(&pull, &results).await.map(drop) };
                self.update(&folder, ProjectPlanStatus::Planned, update).await;
            }
            Act::Discard => {
                let (status, pull) = (ProjectPlanStatus::PlanDiscarded, pull("owner/repo", 1));
                let update = store.update_project_status(&pull, "default", "first", status);
                self.update("first", status, update).await;
            }
            Act::Replan => {
                // Two that write to one folder may be in either order.
                self.told().folders.remove("first");
                let pull = pull("owner/repo", 1);
                let _ = store.update_pull_with_results(&pull, &[planned("first")]).await;
            }
            Act::Forget => {
                self.told().forgets[0] = true;
                let answer = store.delete_pull_status(&pull("owner/repo", 1)).await;
                self.told().forgets[1] |= answer.is_ok();
            }
            Act::Command => self.command(&store, 10 + caller as i64).await,
            Act::Look => self.look(&store).await,
            // One that cannot reach a store fails.
            Act::Reconcile => drop(store.reconcile().await),
        }
    }

    async fn lock(&self, store: &Fallback, lock: ProjectLock) {
        let num = lock.pull.num;
        let unlocks = self.told().unlocks.get(&num).copied().unwrap_or_default();
        self.told().attempts.push(lock.clone());
        let answer = store.try_lock(lock.clone()).await;
        let mut told = self.told();
        told.attempts.retain(|attempt| *attempt != lock);
        // An unlock at the same time may end what this attempt made or found.
        let is_undisturbed =
            told.unlocks.get(&num).is_none_or(|now| *now == unlocks && now.0 == now.1);
        let held = match answer {
            Ok((is_new, held)) => {
                assert!(is_new || held != lock, "refused for its own lock");
                assert!(!is_new || held == lock, "another lock than the own one");
                held
            }
            Err(error) => {
                if error.is_unknown() {
                    told.maybe.push(lock);
                }
                return;
            }
        };
        // The layer above goes on with a lock of its own pull request.
        if held.pull.num == num && is_undisturbed {
            told.maybe.retain(|maybe| *maybe != held);
            drop(told);
            self.begin(held);
        } else if held == lock {
            told.maybe.push(lock);
        }
    }

    async fn unlock(&self, store: &Fallback, num: i64, all: bool) {
        let (ended, before, held) = {
            let mut told = self.told();
            told.unlocks.entry(num).or_default().0 += 1;
            let held = told.holder.take_if(|lock| lock.pull.num == num);
            told.maybe.extend(held.clone());
            told.changes += 1;
            let of_pull = |lock: &&ProjectLock| lock.pull.num == num;
            // What this call begins with is over when it succeeds.
            let ended: Vec<_> = told.maybe.iter().filter(of_pull).cloned().collect();
            (ended, told.unlocks[&num], held)
        };
        let answer = if all {
            store.unlock_by_pull("owner/repo", num).await.map(drop)
        } else {
            let project = of(num, 0).project;
            store.unlock_if_owned_by_pull(&project, "default", num).await.map(drop)
        };
        let mut told = self.told();
        let is_alone = told.unlocks[&num] == before;
        let is_settled = before.0 == before.1 + 1;
        told.unlocks.entry(num).or_default().1 += 1;
        match answer {
            Ok(()) => told.maybe.retain(|lock| !ended.contains(lock)),
            // It certainly did not happen, so the lock is still held.
            Err(error) if !error.is_unknown() && is_alone && is_settled && held.is_some() => {
                told.maybe.retain(|lock| Some(lock) != held.as_ref());
                drop(told);
                self.begin(held.expect("it was held"));
            }
            Err(_) => {}
        }
    }

    async fn update(
        &self,
        folder: &str,
        status: ProjectPlanStatus,
        call: impl Future<Output = Result<()>>,
    ) {
        let status = Some(status.number());
        let is_new = {
            let mut told = self.told();
            told.updates += 1;
            let known = told.folders.entry(folder.to_owned()).or_insert_with(|| [None].into());
            known.insert(status)
        };
        let answer = call.await;
        let mut told = self.told();
        let Some(known) = told.folders.get_mut(folder) else { return };
        match answer {
            Ok(()) => *known = [status].into(),
            Err(error) if !error.is_unknown() && is_new => drop(known.remove(&status)),
            Err(_) => {}
        }
    }

    async fn command(&self, store: &Fallback, seconds: i64) {
        let time = Timestamp::from_unix(seconds).unwrap();
        self.told().maybe_command.insert(seconds);
        match store.lock_command(CommandName::Apply, time).await {
            Ok(_) => {}
            Err(error) => {
                if !error.is_unknown() {
                    self.told().maybe_command.remove(&seconds);
                }
                return;
            }
        }
        assert!(!std::mem::replace(&mut self.told().holds_command, true), "two hold the command");
        if let Ok(found) = store.check_command_lock(CommandName::Apply).await {
            let found = found.map(|lock| lock.lock_metadata.unix_time);
            assert_eq!(found, Some(seconds), "the command's lock is lost");
        }
        self.told().holds_command = false;
        match store.unlock_command(CommandName::Apply).await {
            Ok(()) => drop(self.told().maybe_command.remove(&seconds)),
            Err(LegacyError::CommandNotLocked) => panic!("the command's lock is lost"),
            Err(_) => {}
        }
    }

    async fn look(&self, store: &Fallback) {
        let seen = |told: &Told| {
            let maybe: Vec<_> = told.maybe.iter().chain(&told.attempts).cloned().collect();
            (told.changes, told.holder.clone(), maybe)
        };
        let before = seen(&self.told());
        let (found, listed) =
            (store.get_lock(&of(1, 0).project, "default").await, store.list().await);
        let after = seen(&self.told());
        if before.0 != after.0 {
            return;
        }
        let listed = listed.map(|mut listing| listing.locks.pop());
        for found in [found, listed].into_iter().flatten() {
            match (&after.1, &found) {
                // An attempt that will find a lock made without the mirror is shown until then.
                (Some(holder), Some(_)) if holder.pull.num == 8 => {}
                (Some(holder), found) => assert_eq!(found.as_ref(), Some(holder), "not shown"),
                (None, Some(found)) if before.2 == after.2 => {
                    assert!(after.2.contains(found), "shown although it ended: {found:?}");
                }
                (None, _) => {}
            }
        }
    }

    /// Compares what was told with the contents of both stores, which are the same by now.
    pub(crate) fn check(&self, cells: &Cells) {
        let told = self.told();
        let (mut locks, mut notes) = (Vec::new(), Vec::new());
        let (mut command, mut status) = (None, None);
        let all = cells.all();
        for (key, bytes) in all.clone() {
            if key.starts_with("pr/") {
                locks.push(decode::<ProjectLock>(&key, &bytes).unwrap());
            } else if key.starts_with("global/") {
                let lock: CommandLock = decode(&key, &bytes).unwrap();
                command = Some(lock.lock_metadata.unix_time);
            } else if key.contains("::") {
                status = Some(decode::<PullStatus>(&key, &bytes).unwrap());
            } else if key.starts_with("lock-fallback/lock") {
                notes.push(bytes);
            }
        }
        // The note of an unlock that did not happen stays until the lock ends.
        let values: Vec<_> =
            all.into_iter().filter(|(key, _)| !key.starts_with("lock-fallback/")).collect();
        notes.retain(|note| values.iter().all(|(_, value)| value != note));
        assert!(notes.is_empty(), "a note is left");
        match (&told.holder, &locks[..]) {
            (Some(holder), found) => assert_eq!(found, std::slice::from_ref(holder), "it is lost"),
            (None, []) => {}
            (None, [stray]) => {
                let mut maybe = told.maybe.iter().chain(&told.attempts);
                assert!(maybe.any(|maybe| maybe == stray), "nobody holds {stray:?}");
            }
            (None, more) => panic!("{more:?}"),
        }
        let may = command.is_none_or(|command| told.maybe_command.contains(&command));
        assert!(may, "nobody holds the command: {command:?}");
        match told.forgets {
            [false, _] => {
                let projects = status.and_then(|status| status.projects).unwrap_or_default();
                for (folder, known) in &told.folders {
                    let found = projects.iter().find(|it| it.repo_rel_dir == *folder);
                    let found = found.map(|it| it.status.number());
                    assert!(known.contains(&found), "{folder}: {found:?} of {known:?}");
                }
            }
            [true, true] if told.updates == 0 => assert!(status.is_none(), "{status:?}"),
            [true, _] => {}
        }
    }
}
