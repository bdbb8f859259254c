//! The keys of records.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;

use lock_compat::conformance::{lock, pull};
use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{CommandName, LegacyKey, PullKey, command_key, exact_key, pull_key};
use lock_compat::{LegacyBackend, LegacyError, LegacyLocker, LockAdapter, LockerClient};
use lock_core::{LockManager, OwnerId, TokioClock};
use lock_memory::MemoryBackend;

fn locker() -> (Arc<dyn LegacyBackend>, LockerClient) {
    let manager = LockManager::new(MemoryBackend::new(), OwnerId::parse("atlantis").unwrap());
    let store = Arc::new(LockAdapter::new(manager, MemoryDocuments::new()));
    (Arc::clone(&store) as _, LockerClient::new(store, Arc::new(TokioClock::new())))
}

fn parts(text: &str) -> (String, String, String, String) {
    let key = LegacyKey::parse(text).unwrap();
    assert_eq!(key.to_string(), text, "it is written as it was");
    let project = key.project;
    (project.repo_full_name, project.path, key.workspace, project.project_name)
}

fn owned(parts: [&str; 4]) -> (String, String, String, String) {
    let [repo, path, workspace, name] = parts.map(str::to_owned);
    (repo, path, workspace, name)
}

/// `TestIsCurrentLocking_ValidKey` and its sisters: the pattern is the same.
#[test]
fn keys_are_split_as_by_atlantis() {
    let cases = [
        ("owner/repo/path/workspace/name", ["owner/repo", "path", "workspace", "name"]),
        ("owner/repo/a/b/c/workspace/name", ["owner/repo", "a/b/c", "workspace", "name"]),
        ("owner/repo/./default/", ["owner/repo", ".", "default", ""]),
        ("group/sub/repo/path/default/", ["group/sub", "repo/path", "default", ""]),
        ("owner/repo////", ["owner/repo", "/", "", ""]),
        ("////", ["/", "", "", ""]),
        ("öwner/répo/path/wörk/näme", ["öwner/répo", "path", "wörk", "näme"]),
    ];
    for (text, expected) in cases {
        assert_eq!(parts(text), owned(expected), "{text}");
        assert!(LegacyKey::is_current(text), "{text}");
    }
}

#[test]
fn what_is_no_key_is_refused_in_the_legacy_words() {
    for text in
        ["", "key", "owner/repo", "owner/repo/path", "owner/repo/path/default", "a/b\n/c/d/e"]
    {
        let error = LegacyKey::parse(text).unwrap_err();
        assert_eq!(error.to_string(), "invalid key format", "{text:?}");
        assert!(!LegacyKey::is_current(text), "{text:?}");
    }
}

#[test]
fn locks_have_keys_of_both_forms() {
    let mut lock = lock("owner/repo", "a/b", "default", 1);
    assert_eq!(LegacyKey::of(&lock).to_string(), "owner/repo/a/b/default/");
    "name".clone_into(&mut lock.project.project_name);
    assert_eq!(LegacyKey::of(&lock).to_string(), "owner/repo/a/b/default/name");
    assert_eq!(LegacyKey::of(&lock).before_names(), "owner/repo/a/b/default");
}

#[test]
fn pull_requests_have_keys() {
    let key = pull_key(&pull("group/sub/repo", 7)).unwrap();
    assert_eq!(key, "github.com::group/sub/repo::7");
    let parsed = PullKey::parse(&key).unwrap();
    assert_eq!(
        (parsed.hostname.as_str(), parsed.repo_full_name.as_str()),
        ("github.com", "group/sub/repo")
    );
    assert_eq!(parsed.num, 7);
    for text in ["", "a::b", "a::b::c", "a::b::7::8", "a:b:7"] {
        assert_eq!(PullKey::parse(text), None, "{text}");
    }
}

#[test]
fn commands_have_keys() {
    assert_eq!(command_key(CommandName::Apply), "global/apply/lock");
    assert_eq!(command_key(CommandName::ApprovePolicies), "global/approve_policies/lock");
    assert_eq!(command_key(CommandName::Autoplan), command_key(CommandName::Plan));
}

#[tokio::test]
async fn project_whose_name_has_slashes_or_lines_is_found_by_its_key() {
    for name in ["a/b", "a/b/c", "/", "a//", "a\nb"] {
        let (store, locker) = locker();
        let mut held = lock("owner/repo", "a/b", "default", 1);
        name.clone_into(&mut held.project.project_name);
        store.try_lock(held.clone()).await.unwrap();
        let listed = locker.list().await.unwrap();
        let (key, _) = listed.first_key_value().unwrap();
        assert_eq!(*key, format!("owner/repo/a/b/default/{name}"));
        assert_eq!(locker.get_lock(key).await.unwrap().as_ref(), Some(&held));
        assert_eq!(locker.unlock(key).await.unwrap(), Some(held));
        assert!(locker.list().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn key_of_two_locks_is_refused_and_their_own_keys_are_shown() {
    let (store, locker) = locker();
    let [one, other] = [lock("g/s", "r/x", "default", 1), lock("g/s/r", "x", "default", 2)];
    for lock in [&one, &other] {
        assert!(store.try_lock(lock.clone()).await.unwrap().0);
    }
    let shared = LegacyKey::of(&one).to_string();
    assert_eq!(shared, LegacyKey::of(&other).to_string());
    let error = locker.unlock(&shared).await.unwrap_err();
    let LegacyError::AmbiguousKey { exact, .. } = &error else { unreachable!("{error:?}") };
    let listed = locker.list().await.unwrap();
    assert_eq!(listed.keys().collect::<Vec<_>>().len(), 2);
    assert!(exact.iter().all(|key| listed.contains_key(key)), "{exact:?}");
    assert_eq!(locker.unlock(&exact_key(&other)).await.unwrap(), Some(other));
    // From now on the key is that of one.
    assert_eq!(locker.unlock(&shared).await.unwrap(), Some(one));
}

#[tokio::test]
async fn projects_of_one_name_at_two_hosts_are_two() {
    let (store, locker) = locker();
    let at = |host: &str, num| {
        let mut lock = lock("owner/repo", "path", "default", num);
        host.clone_into(&mut lock.pull.base_repo.vcs_host.hostname);
        lock
    };
    let [one, other] = [at("github.com", 1), at("gitlab.example.com", 2)];
    for lock in [&one, &other] {
        assert_eq!(store.try_lock(lock.clone()).await.unwrap(), (true, lock.clone()));
    }
    let error = store.unlock(&one.project, "default").await.unwrap_err();
    assert!(matches!(error, LegacyError::AmbiguousKey { .. }), "{error:?}");
    assert_eq!(locker.list().await.unwrap().len(), 2);
    assert_eq!(locker.unlock(&exact_key(&one)).await.unwrap(), Some(one.clone()));
    assert_eq!(store.get_lock(&one.project, "default").await.unwrap(), Some(other.clone()));
    let own = store.unlock_if_owned_by_pull(&one.project, "default", 2).await.unwrap();
    assert_eq!(own, Some(other));
}
