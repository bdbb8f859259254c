//! The locks of projects.

use super::{LegacyFixture, lock, pull};
use crate::LegacyBackend;
use crate::legacy::ProjectLock;

/// The keys of all locks, sorted.
async fn listed(store: &dyn LegacyBackend) -> Vec<String> {
    let listing = store.list().await.unwrap();
    assert!(listing.damaged.is_empty(), "{:?}", listing.damaged);
    let mut keys: Vec<_> = listing.locks.iter().map(key).collect();
    keys.sort();
    keys
}

fn key(lock: &ProjectLock) -> String {
    crate::legacy::LegacyKey::of(lock).to_string()
}

fn one() -> ProjectLock {
    lock("owner/repo", "parent/child", "default", 1)
}

/// `TestListNoLocks`.
pub async fn no_locks_are_listed_at_first(fixture: impl LegacyFixture) {
    assert!(listed(&*fixture.backend()).await.is_empty());
}

/// `TestListOneLock`.
pub async fn one_lock_is_listed(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    assert_eq!(store.list().await.unwrap().locks, [one()]);
}

/// `TestListMultipleLocks`.
pub async fn locks_of_several_repositories_are_listed(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let repos = ["owner/repo1", "owner/repo2", "owner/repo3", "owner/repo4"];
    for repo in repos {
        store.try_lock(lock(repo, "path", "default", 1)).await.unwrap();
    }
    let expected = repos.map(|repo| format!("{repo}/path/default/"));
    assert_eq!(listed(&*store).await, expected);
}

/// `TestListAddRemove`.
pub async fn unlocked_project_is_not_listed(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    store.unlock(&one().project, "default").await.unwrap();
    assert!(listed(&*store).await.is_empty());
}

/// `TestLockingNoLocks`.
pub async fn free_project_is_locked(fixture: impl LegacyFixture) {
    assert_eq!(fixture.backend().try_lock(one()).await.unwrap(), (true, one()));
}

/// `TestLockingExistingLock`.
pub async fn only_the_same_project_and_workspace_is_refused(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    for other in [
        lock("owner/repo", "different/path", "default", 1),
        lock("owner/repo", "parent/child", "different", 1),
        lock("different/repo", "parent/child", "default", 1),
    ] {
        assert_eq!(store.try_lock(other.clone()).await.unwrap(), (true, other));
    }
    let other = lock("owner/repo", "parent/child", "default", 2);
    assert_eq!(store.try_lock(other).await.unwrap(), (false, one()));
    assert_eq!(store.get_lock(&one().project, "default").await.unwrap(), Some(one()));
}

/// The layer above decides that a pull request may go on with its own lock.
pub async fn same_pull_is_refused_too(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    let mut again = one();
    "bob".clone_into(&mut again.user.username);
    assert_eq!(store.try_lock(again).await.unwrap(), (false, one()));
}

/// `TestUnlockingNoLocks`.
pub async fn unlocking_what_is_free_is_no_error(fixture: impl LegacyFixture) {
    assert_eq!(fixture.backend().unlock(&one().project, "default").await.unwrap(), None);
}

/// `TestUnlocking`.
pub async fn unlocked_project_can_be_locked_by_another_pull(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    assert_eq!(store.unlock(&one().project, "default").await.unwrap(), Some(one()));
    assert!(listed(&*store).await.is_empty());
    let other = lock("owner/repo", "parent/child", "default", 2);
    assert_eq!(store.try_lock(other.clone()).await.unwrap(), (true, other));
}

fn several() -> [ProjectLock; 4] {
    [
        one(),
        lock("owner/repo", "new/path", "default", 1),
        lock("owner/repo", "parent/child", "new-workspace", 1),
        lock("different/repo", "parent/child", "default", 1),
    ]
}

/// `TestUnlockingMultiple`.
pub async fn several_locks_are_unlocked_each(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    for lock in several() {
        assert!(store.try_lock(lock).await.unwrap().0);
    }
    for (gone, lock) in several().into_iter().enumerate() {
        assert_eq!(store.unlock(&lock.project, &lock.workspace).await.unwrap(), Some(lock));
        assert_eq!(listed(&*store).await.len(), 3 - gone);
    }
}

/// `TestUnlockIfOwnedByPullMissingLock`.
pub async fn missing_lock_is_not_unlocked_for_its_pull(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let unlocked = store.unlock_if_owned_by_pull(&one().project, "default", 1).await.unwrap();
    assert_eq!(unlocked, None);
}

/// `TestUnlockIfOwnedByPullOtherPull`.
pub async fn lock_of_another_pull_is_not_unlocked(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    let unlocked = store.unlock_if_owned_by_pull(&one().project, "default", 2).await.unwrap();
    assert_eq!(unlocked, None);
    assert_eq!(store.get_lock(&one().project, "default").await.unwrap(), Some(one()));
}

/// `TestUnlockIfOwnedByPullCurrentPull`.
pub async fn lock_of_the_pull_is_unlocked(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    let unlocked = store.unlock_if_owned_by_pull(&one().project, "default", 1).await.unwrap();
    assert_eq!(unlocked, Some(one()));
    assert_eq!(store.get_lock(&one().project, "default").await.unwrap(), None);
}

/// `TestUnlockByPullNone`.
pub async fn unlocking_a_pull_without_locks_is_no_error(fixture: impl LegacyFixture) {
    let unlocked = fixture.backend().unlock_by_pull("any/repo", 1).await.unwrap();
    assert!(unlocked.locks.is_empty() && unlocked.damaged.is_empty());
}

/// `TestUnlockByPullOne`.
pub async fn only_the_very_pull_is_unlocked(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    for (repo, num) in [("owner/repo", 2), ("different/repo", 1)] {
        assert!(store.unlock_by_pull(repo, num).await.unwrap().locks.is_empty());
        assert_eq!(listed(&*store).await.len(), 1);
    }
    assert_eq!(store.unlock_by_pull("owner/repo", 1).await.unwrap().locks, [one()]);
    assert!(listed(&*store).await.is_empty());
}

/// `TestUnlockByPullAfterUnlock`.
pub async fn unlocked_pull_can_be_unlocked_again(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(one()).await.unwrap();
    store.unlock(&one().project, "default").await.unwrap();
    assert!(store.unlock_by_pull("owner/repo", 1).await.unwrap().locks.is_empty());
    assert!(listed(&*store).await.is_empty());
}

/// `TestUnlockByPullMatching`.
pub async fn all_locks_of_a_pull_are_unlocked(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let [first, second, third, _] = several();
    for lock in [first, second, third] {
        store.try_lock(lock).await.unwrap();
    }
    assert_eq!(store.unlock_by_pull("owner/repo", 1).await.unwrap().locks.len(), 3);
    assert!(listed(&*store).await.is_empty());
}

/// `TestGetLockNotThere`.
pub async fn free_project_has_no_lock(fixture: impl LegacyFixture) {
    assert_eq!(fixture.backend().get_lock(&one().project, "default").await.unwrap(), None);
}

/// `TestGetLock`.
pub async fn lock_is_shown_as_it_was_made(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let mut made = one();
    made.pull = pull("owner/repo", 1);
    made.user.teams = Some(vec!["ops".to_owned()]);
    store.try_lock(made.clone()).await.unwrap();
    assert_eq!(store.get_lock(&made.project, "default").await.unwrap(), Some(made));
}
