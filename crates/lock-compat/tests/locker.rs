//! Atlantis' tests of its lockers: of projects, of none, and of all applies.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;

use async_trait::async_trait;
use lock_compat::conformance::{lock, pull};
use lock_compat::documents::{
    Document, DocumentError, DocumentStore, MemoryDocuments, Replacement, Revision,
};
use lock_compat::legacy::{CommandName, Project, ProjectLock, Timestamp, User};
use lock_compat::{
    ApplyClient, ApplyLocker, LegacyBackend, LegacyError, LegacyLocker, LockAdapter, LockerClient,
    NoOpLocker, ProjectLocker,
};
use lock_core::{LockManager, ManualClock, Operation, OwnerId, Timestamp as StoreTime};
use lock_memory::MemoryBackend;
use lock_testkit::{Fault, Faulty};

const KEY: &str = "owner/repo/path/workspace/projectName";

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(StoreTime::from_micros(1_759_037_292_500_000)))
}

fn store() -> Arc<dyn LegacyBackend> {
    let owner = OwnerId::parse("atlantis").unwrap();
    let manager = LockManager::new(MemoryBackend::new(), owner);
    Arc::new(LockAdapter::new(manager, MemoryDocuments::new()))
}

/// Documents that are out of reach.
#[derive(Debug)]
struct LostDocuments;

#[async_trait]
impl DocumentStore for LostDocuments {
    async fn read(&self, _name: &str) -> Result<Option<Document>, DocumentError> {
        Err(DocumentError::failed(false, "no answer"))
    }
    async fn replace(
        &self,
        _name: &str,
        _expected: Option<Revision>,
        _body: Option<&[u8]>,
    ) -> Result<Replacement, DocumentError> {
        Err(DocumentError::failed(true, "no answer"))
    }
    async fn names(&self, _prefix: &str) -> Result<Vec<String>, DocumentError> {
        Err(DocumentError::failed(false, "no answer"))
    }
}

/// A store that is gone.
fn lost_store() -> Arc<dyn LegacyBackend> {
    let store = Faulty::new(MemoryBackend::new());
    for operation in [Operation::Acquire, Operation::Inspect, Operation::List] {
        store.inject(operation, Fault::Refused);
    }
    let manager = LockManager::new(store, OwnerId::parse("atlantis").unwrap());
    Arc::new(LockAdapter::new(manager, LostDocuments))
}

fn project() -> Project {
    Project::new("owner/repo", "path", "projectName")
}

fn locker(store: Arc<dyn LegacyBackend>) -> LockerClient {
    LockerClient::new(store, clock())
}

fn expected() -> ProjectLock {
    let time = Timestamp::parse("2025-09-28T05:28:12.5Z").unwrap();
    ProjectLock::new(project(), pull("owner/repo", 1), User::new("lkysow"), "workspace", time)
}

async fn locked() -> LockerClient {
    let locker = locker(store());
    let (pull, user) = (pull("owner/repo", 1), User::new("lkysow"));
    let response = locker.try_lock(project(), "workspace", pull, user).await.unwrap();
    assert!(response.lock_acquired);
    locker
}

fn assert_lost<T: std::fmt::Debug>(answer: lock_compat::Result<T>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, LegacyError::Store { .. }), "{error:?}");
    assert_eq!(error.to_string(), "db transaction failed");
}

/// `TestTryLock_Success`.
#[tokio::test]
async fn attempt_names_its_key_and_is_stamped() {
    let locker = locker(store());
    for is_new in [true, false] {
        let (pull, user) = (pull("owner/repo", 1), User::new("lkysow"));
        let response = locker.try_lock(project(), "workspace", pull, user).await.unwrap();
        assert_eq!((response.lock_acquired, response.curr_lock), (is_new, expected()));
        assert_eq!(response.lock_key, KEY);
    }
}

/// `TestTryLock_Err`, `TestUnlock_Err`, `TestUnlockIfOwnedByPull_Err`, `TestList_Err`,
/// `TestGetLock_Err`.
#[tokio::test]
async fn failures_of_the_store_are_passed_on() {
    let locker = locker(lost_store());
    let attempt = locker.try_lock(project(), "workspace", pull("owner/repo", 1), User::new("a"));
    assert_lost(attempt.await);
    assert_lost(locker.unlock(KEY).await);
    assert_lost(locker.unlock_if_owned_by_pull(&project(), "workspace", 1).await);
    assert_lost(locker.list().await);
    assert_lost(locker.unlock_by_pull("owner/repo", 1).await);
    assert_lost(locker.get_lock(KEY).await);
}

/// `TestUnlock_InvalidKey`, `TestGetLock_BadKey`.
#[tokio::test]
async fn what_is_no_key_is_refused() {
    let locker = locked().await;
    for key in ["", "a/b", "owner/repo/path/workspace"] {
        assert_eq!(locker.unlock(key).await.unwrap_err().to_string(), "invalid key format");
        assert_eq!(locker.get_lock(key).await.unwrap_err().to_string(), "invalid key format");
    }
}

/// `TestUnlock`, `TestGetLock`.
#[tokio::test]
async fn lock_is_shown_and_unlocked_by_its_key() {
    let locker = locked().await;
    assert_eq!(locker.get_lock(KEY).await.unwrap(), Some(expected()));
    assert_eq!(locker.unlock(KEY).await.unwrap(), Some(expected()));
    assert_eq!(locker.unlock(KEY).await.unwrap(), None);
}

/// `TestUnlockIfOwnedByPull`.
#[tokio::test]
async fn lock_is_unlocked_for_its_pull_alone() {
    let locker = locked().await;
    let unlock =
        async |num| locker.unlock_if_owned_by_pull(&project(), "workspace", num).await.unwrap();
    assert_eq!(unlock(2).await, None);
    assert_eq!(unlock(1).await, Some(expected()));
}

/// `TestUnlockIfOwnedByPull_SlashfulRepo`.
#[tokio::test]
async fn lock_of_a_grouped_repository_is_unlocked_by_its_key() {
    let store = store();
    let held = lock("group/sub/repo", "a/b", "default", 1);
    store.try_lock(held.clone()).await.unwrap();
    let locker = locker(store);
    let listed = locker.list().await.unwrap();
    let (key, _) = listed.first_key_value().unwrap();
    assert_eq!(key, "group/sub/repo/a/b/default/");
    assert_eq!(locker.unlock(key).await.unwrap(), Some(held));
}

/// `TestList`.
#[tokio::test]
async fn locks_are_listed_by_their_keys() {
    let listed = locked().await.list().await.unwrap();
    assert_eq!(listed.into_iter().collect::<Vec<_>>(), [(KEY.to_owned(), expected())]);
}

/// `TestUnlockByPull`.
#[tokio::test]
async fn locks_of_a_pull_are_unlocked() {
    let locker = locked().await;
    assert!(locker.unlock_by_pull("owner/repo", 2).await.unwrap().is_empty());
    assert_eq!(locker.unlock_by_pull("owner/repo", 1).await.unwrap(), [expected()]);
}

/// The six of `NoOpLocker`.
#[tokio::test]
async fn locker_of_nothing_lets_everybody_pass() {
    let locker = NoOpLocker::new();
    for num in [1, 2] {
        let attempt =
            locker.try_lock(project(), "workspace", pull("owner/repo", num), User::new("a"));
        let response = attempt.await.unwrap();
        assert_eq!((response.lock_acquired, response.curr_lock), (true, ProjectLock::default()));
        assert_eq!(response.lock_key, KEY);
    }
    assert_eq!(locker.unlock(KEY).await.unwrap(), None);
    assert_eq!(locker.unlock_if_owned_by_pull(&project(), "", 1).await.unwrap(), None);
    assert!(locker.list().await.unwrap().is_empty());
    assert!(locker.unlock_by_pull("owner/repo", 1).await.unwrap().is_empty());
    assert_eq!(locker.get_lock(KEY).await.unwrap(), None);
}

fn applies(store: Arc<dyn LegacyBackend>, disable_apply: bool, disable_lock: bool) -> ApplyClient {
    ApplyClient::new(store, clock(), disable_apply, disable_lock)
}

/// `TestApplyLocker`: the cases that succeed.
#[tokio::test]
async fn applies_are_locked_and_unlocked() {
    let locker = applies(store(), false, false);
    let free = locker.check_apply_lock().await.unwrap();
    assert_eq!((free.locked, free.global_apply_lock_enabled), (false, true));
    let made = locker.lock_apply().await.unwrap();
    assert_eq!((made.locked, made.time.to_string().as_str()), (true, "2025-09-28T05:28:12Z"));
    // As in Atlantis, only a check shows whether locking is enabled.
    assert!(!made.global_apply_lock_enabled);
    let seen = locker.check_apply_lock().await.unwrap();
    assert!(seen.global_apply_lock_enabled);
    assert_eq!((seen.locked, seen.time), (made.locked, made.time));
    let error = locker.lock_apply().await.unwrap_err();
    assert_eq!(error.to_string(), "db transaction failed: lock already exists");
    locker.unlock_apply().await.unwrap();
    assert_eq!(locker.check_apply_lock().await.unwrap(), free);
    let error = locker.unlock_apply().await.unwrap_err();
    assert_eq!(error.to_string(), "db transaction failed: no lock exists");
}

/// `TestApplyLocker`: an apply may not begin if its lock cannot be read.
#[tokio::test]
async fn applies_fail_closed() {
    let locker = applies(lost_store(), false, false);
    assert_lost(locker.lock_apply().await);
    assert_lost(locker.unlock_apply().await);
    assert_lost(locker.check_apply_lock().await);
}

/// `TestApplyLocker`: apply is not among the allowed commands, and then no store is asked.
#[tokio::test]
async fn applies_are_locked_by_configuration() {
    let locker = applies(lost_store(), true, false);
    assert_eq!(
        locker.lock_apply().await.unwrap_err().to_string(),
        "apply is omitted from AllowCommands; Apply commands are locked globally until flag is updated"
    );
    assert_eq!(
        locker.unlock_apply().await.unwrap_err().to_string(),
        "apply commands are disabled until AllowCommands flag is updated"
    );
    let seen = locker.check_apply_lock().await.unwrap();
    assert_eq!((seen.locked, seen.global_apply_lock_enabled), (true, false));
}

/// Locking of applies is disabled; existing locks stay locks all the same.
#[tokio::test]
async fn lock_of_applies_may_be_switched_off() {
    let store = store();
    let locker = applies(Arc::clone(&store), false, true);
    assert!(!locker.check_apply_lock().await.unwrap().global_apply_lock_enabled);
    let time = Timestamp::from_unix(7).unwrap();
    store.lock_command(CommandName::Apply, time).await.unwrap();
    let seen = locker.check_apply_lock().await.unwrap();
    assert_eq!((seen.locked, seen.global_apply_lock_enabled, seen.time), (true, false, time));
}

/// `TestDefaultProjectLocker_TryLockWhenLocked`, `.._TryLockWhenLockedSamePull`,
/// `.._TryLockUnlocked`, and with another name of the executable.
#[tokio::test]
async fn pull_learns_which_pull_blocks_it() {
    let locker = ProjectLocker::new(Arc::new(locker(store())));
    let attempt = async |num, locker: &ProjectLocker| {
        let (pull, user) = (pull("owner/repo", num), User::new("lkysow"));
        locker.try_lock(pull, user, "workspace", project()).await.unwrap()
    };
    for _ in 0..2 {
        let answer = attempt(2, &locker).await;
        assert!(answer.lock_acquired && answer.lock_failure_reason.is_empty());
        assert_eq!(answer.lock_key, KEY);
    }
    let refused = attempt(1, &locker).await;
    assert!(!refused.lock_acquired && refused.lock_key.is_empty());
    let reason = |command: &str| {
        format!(
            "This project is currently locked by an unapplied plan from pull #2. To continue, \
             delete the lock from #2 or apply that plan and merge the pull request.\n\nOnce the \
             lock is released, comment `{command} plan` here to re-plan."
        )
    };
    assert_eq!(refused.lock_failure_reason, reason("atlantis"));
    let other = attempt(1, &locker.with_executable("terra")).await;
    assert_eq!(other.lock_failure_reason, reason("terra"));
    // Where nothing is locked, nothing blocks.
    let free = ProjectLocker::new(Arc::new(NoOpLocker::new()));
    assert!(attempt(1, &free).await.lock_acquired && attempt(2, &free).await.lock_acquired);
}
