//! Unlocking of several projects, with an answer for each.

use std::collections::BTreeSet;

use crate::legacy::{LegacyKey, ProjectLock};
use crate::{LegacyBackend, LegacyError, Result, Unlocking};

/// What happened to one project of several.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProjectUnlock {
    /// The project.
    pub key: LegacyKey,
    /// What happened.
    pub outcome: UnlockOutcome,
}

/// What happened to a project that was to be unlocked.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnlockOutcome {
    /// This lock ended.
    Unlocked(Box<ProjectLock>),
    /// It was not locked, or not by the pull request in question.
    NotHeld,
    /// The store did not answer: it is unlocked, or it is not.
    Unknown(LegacyError),
    /// It is not unlocked, for this reason.
    Failed(LegacyError),
}

/// Unlocks several projects one by one, in the order given, and answers for each.
///
/// A failure is the answer for its project, and the next one is unlocked all the same. A project that
/// is named twice is unlocked once and answered once: the second time the lock would be that of the
/// next in its queue.
///
/// # Cancel safety
/// A dropped call has unlocked the first projects, and one of them may be unknown.
pub async fn unlock_each<S: LegacyBackend + ?Sized>(
    store: &S,
    keys: impl IntoIterator<Item = LegacyKey>,
    unlocking: Unlocking,
) -> Vec<ProjectUnlock> {
    let (mut seen, mut answers) = (BTreeSet::new(), Vec::new());
    for key in keys {
        if seen.insert(names(&key)) {
            let outcome = UnlockOutcome::of(unlock(store, &key, unlocking).await);
            answers.push(ProjectUnlock { key, outcome });
        }
    }
    answers
}

fn names(key: &LegacyKey) -> [String; 4] {
    let LegacyKey { project, workspace } = key;
    [&project.repo_full_name, &project.path, workspace, &project.project_name].map(Clone::clone)
}

async fn unlock<S: LegacyBackend + ?Sized>(
    store: &S,
    LegacyKey { project, workspace }: &LegacyKey,
    unlocking: Unlocking,
) -> Result<Option<ProjectLock>> {
    match unlocking {
        Unlocking::Anybody => store.unlock(project, workspace).await,
        Unlocking::Pull(num) => store.unlock_if_owned_by_pull(project, workspace, num).await,
    }
}

impl UnlockOutcome {
    fn of(answer: Result<Option<ProjectLock>>) -> Self {
        match answer {
            Ok(Some(lock)) => Self::Unlocked(Box::new(lock)),
            Ok(None) => Self::NotHeld,
            Err(error) if error.is_unknown() => Self::Unknown(error),
            Err(error) => Self::Failed(error),
        }
    }
}
