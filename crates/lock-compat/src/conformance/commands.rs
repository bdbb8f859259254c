//! The locks of commands.

use super::{LegacyFixture, lock};
use crate::LegacyError;
use crate::legacy::{CommandName, Timestamp};

fn time() -> Timestamp {
    Timestamp::from_unix(1_759_037_292).expect("a time")
}

/// `TestLockCommandNotSet`.
pub async fn command_that_is_not_locked_has_no_lock(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    assert_eq!(store.check_command_lock(CommandName::Apply).await.unwrap(), None);
}

/// `TestLockCommandEnabled`.
pub async fn locked_command_is_locked(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let made = store.lock_command(CommandName::Apply, time()).await.unwrap();
    let seen = store.check_command_lock(CommandName::Apply).await.unwrap().unwrap();
    assert_eq!(seen, made);
    assert!(seen.is_locked());
    assert_eq!((seen.command_name, seen.lock_time()), (CommandName::Apply, time()));
}

/// `TestLockCommandFail`.
pub async fn command_is_locked_once(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.lock_command(CommandName::Apply, time()).await.unwrap();
    let error = store.lock_command(CommandName::Apply, time()).await.unwrap_err();
    assert!(matches!(error, LegacyError::CommandLocked), "{error:?}");
    assert_eq!(error.to_string(), "db transaction failed: lock already exists");
}

/// `TestUnlockCommandDisabled`.
pub async fn unlocked_command_has_no_lock(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.lock_command(CommandName::Apply, time()).await.unwrap();
    store.unlock_command(CommandName::Apply).await.unwrap();
    assert_eq!(store.check_command_lock(CommandName::Apply).await.unwrap(), None);
    store.lock_command(CommandName::Apply, time()).await.unwrap();
}

/// `TestUnlockCommandFail`.
pub async fn command_that_is_not_locked_cannot_be_unlocked(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let error = store.unlock_command(CommandName::Apply).await.unwrap_err();
    assert!(matches!(error, LegacyError::CommandNotLocked), "{error:?}");
    assert_eq!(error.to_string(), "db transaction failed: no lock exists");
}

/// `TestMixedLocksPresent`.
pub async fn lock_of_a_command_is_not_listed(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.try_lock(lock("owner/repo", "path", "default", 1)).await.unwrap();
    store.lock_command(CommandName::Apply, time()).await.unwrap();
    assert_eq!(store.list().await.unwrap().locks.len(), 1);
}

/// Their words are the same, and so are their keys.
pub async fn plan_and_autoplan_are_one_command(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    store.lock_command(CommandName::Plan, time()).await.unwrap();
    assert!(store.lock_command(CommandName::Autoplan, time()).await.is_err());
    assert!(store.check_command_lock(CommandName::Apply).await.unwrap().is_none());
}
