//! Cases beyond the tests of Atlantis, including its known defects.

use std::sync::Arc;

use lock_core::TokioClock;
use tokio::task::JoinSet;

use super::{LegacyFixture, lock, pull};
use crate::legacy::{
    CommandName, LegacyKey, Outcome, Project, ProjectPlanStatus, ProjectResult, Timestamp,
};
use crate::{
    LegacyBackend, LegacyError, LegacyLocker, LockerClient, UnlockOutcome, Unlocking, unlock_each,
};

/// In Atlantis the repository is the beginning of the other's name, and so has its locks.
pub async fn longer_named_repository_keeps_its_locks(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let others = [
        lock("owner/repo2", ".", "default", 5),
        lock("owner/repo/sub", ".", "default", 5),
        lock("wner/repo", ".", "default", 5),
    ];
    let own = lock("owner/repo", "sub", "default", 5);
    for lock in others.iter().chain([&own]) {
        assert!(store.try_lock(lock.clone()).await.unwrap().0);
    }
    assert_eq!(store.unlock_by_pull("owner/repo", 5).await.unwrap().locks, [own]);
    assert_eq!(store.list().await.unwrap().locks.len(), 3);
}

/// In Atlantis they are patterns.
pub async fn glob_characters_are_plain(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let repos = ["own[er]/repo", "owne?/repo", "own*/repo", r"own\er/repo", "owner/repo"];
    for repo in repos {
        assert!(store.try_lock(lock(repo, "a-b", "default", 5)).await.unwrap().0, "{repo}");
    }
    for (gone, repo) in repos.into_iter().enumerate() {
        let unlocked = store.unlock_by_pull(repo, 5).await.unwrap().locks;
        assert_eq!(unlocked, [lock(repo, "a-b", "default", 5)], "{repo}");
        assert_eq!(store.list().await.unwrap().locks.len(), 4 - gone);
    }
}

/// A folder is another project than the one that it is in.
pub async fn nested_folders_are_projects_of_their_own(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let paths = [".", "a", "a/b", "a/b/c", "a/b/c/d"];
    for path in paths {
        assert!(store.try_lock(lock("owner/repo", path, "default", 1)).await.unwrap().0, "{path}");
    }
    for path in paths {
        let held = lock("owner/repo", path, "default", 1);
        assert_eq!(store.unlock(&held.project, "default").await.unwrap(), Some(held));
    }
}

/// `TestUnlockIfOwnedByPull_SlashfulRepo`, and by its key, which does not tell where it ends.
pub async fn grouped_repository_is_found_by_its_key(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let mut held = lock("group/sub/repo", "a/b", "default", 1);
    "name".clone_into(&mut held.project.project_name);
    let (project, text) = (&held.project, LegacyKey::of(&held).to_string());
    assert_ne!(&LegacyKey::parse(&text).unwrap().project, project);
    let locker = LockerClient::new(Arc::clone(&store), Arc::new(TokioClock::new()));
    assert_eq!(locker.get_lock(&text).await.unwrap(), None);
    for _ in 0..2 {
        store.try_lock(held.clone()).await.unwrap();
        assert_eq!(locker.get_lock(&text).await.unwrap().as_ref(), Some(&held));
        let other = locker.unlock_if_owned_by_pull(project, "default", 2).await.unwrap();
        assert_eq!(other, None);
        let unlocked = locker.unlock_if_owned_by_pull(project, "default", 1).await.unwrap();
        assert_eq!(unlocked.as_ref(), Some(&held));
        store.try_lock(held.clone()).await.unwrap();
        assert_eq!(locker.unlock(&text).await.unwrap().as_ref(), Some(&held));
        assert_eq!(locker.unlock(&text).await.unwrap(), None);
    }
}

/// Nothing is lost in conversion.
pub async fn every_text_is_kept(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let mut made = lock("owner/répo", "a b:c%3A", "wörk\tspace", 1);
    made.project.project_name = "näme \u{2028}".to_owned();
    made.user.username = "<&>\"\\\u{1}".to_owned();
    made.user.teams = Some(Vec::new());
    made.pull.body = Some("x".repeat(100_000));
    made.pull.hardened_non_pr_ref_checkout = Some(true);
    assert_eq!(store.try_lock(made.clone()).await.unwrap(), (true, made.clone()));
    let refused = lock("owner/répo", "a b:c%3A", "wörk\tspace", 2);
    let refused = {
        let mut it = refused;
        it.project.clone_from(&made.project);
        it
    };
    assert_eq!(store.try_lock(refused).await.unwrap(), (false, made.clone()));
    assert_eq!(store.list().await.unwrap().locks, [made.clone()]);
    assert_eq!(store.unlock(&made.project, &made.workspace).await.unwrap(), Some(made));
}

/// In Atlantis nothing is listed then.
pub async fn damaged_lock_hides_no_other(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let (good, bad) =
        (lock("owner/repo", "good", "default", 5), lock("owner/repo", "bad", "default", 5));
    store.try_lock(good.clone()).await.unwrap();
    fixture.put_lock(&bad, br#"{"Secret":"hunter2""#).await;
    let listing = store.list().await.unwrap();
    assert_eq!(listing.locks, std::slice::from_ref(&good));
    let [damaged] = &listing.damaged[..] else { panic!("{:?}", listing.damaged) };
    assert!(damaged.key.contains("owner/repo"), "{damaged}");
    assert!(!damaged.to_string().contains("hunter2"), "{damaged}");
    let unlocked = store.unlock_by_pull("owner/repo", 5).await.unwrap();
    assert_eq!((unlocked.locks, unlocked.damaged.len()), (vec![good], 1));
}

/// Unreadable records are not removed by accident.
pub async fn damaged_lock_is_named_and_stays(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let bad = lock("owner/repo", "bad", "default", 5);
    fixture.put_lock(&bad, br#"{"Pull":7}"#).await;
    for _ in 0..2 {
        for error in [
            store.get_lock(&bad.project, "default").await.unwrap_err(),
            store.unlock(&bad.project, "default").await.unwrap_err(),
            store.try_lock(bad.clone()).await.unwrap_err(),
        ] {
            let LegacyError::Damaged(damaged) = error else { panic!("{error:?}") };
            assert!(damaged.key.contains("owner/repo"), "{damaged}");
        }
    }
}

/// In Atlantis several may win.
pub async fn one_of_many_locks(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    for round in 0..20 {
        let mut attempts = JoinSet::new();
        for num in 0..8 {
            let store = Arc::clone(&store);
            let lock = lock("owner/repo", &format!("round-{round}"), "default", num);
            attempts.spawn(async move { (num, store.try_lock(lock).await.unwrap()) });
        }
        let answers = attempts.join_all().await;
        let winners: Vec<_> = answers.iter().filter(|(_, (is_new, _))| *is_new).collect();
        let [(winner, _)] = winners[..] else { panic!("{} winners", winners.len()) };
        assert!(answers.iter().all(|(_, (_, lock))| lock.pull.num == *winner));
    }
}

/// In Atlantis several may win.
pub async fn one_of_many_locks_a_command(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    for _ in 0..20 {
        let mut attempts = JoinSet::new();
        for second in 1..9 {
            let (store, time) = (Arc::clone(&store), Timestamp::from_unix(second).unwrap());
            attempts.spawn(async move { store.lock_command(CommandName::Apply, time).await });
        }
        let answers = attempts.join_all().await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        store.unlock_command(CommandName::Apply).await.unwrap();
    }
}

/// In Atlantis the later of two writers may undo the other's.
pub async fn no_update_of_many_is_lost(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("owner/repo", 1));
    let mut updates = JoinSet::new();
    for number in 0..16 {
        let (store, pull) = (Arc::clone(&store), pull.clone());
        updates.spawn(async move {
            let dir = format!("dir-{number}");
            let plan = ProjectResult::new("default", &dir, CommandName::Plan, Outcome::Success);
            store.update_pull_with_results(&pull, &[plan]).await.unwrap();
            let applied = ProjectPlanStatus::Applied;
            store.update_project_status(&pull, "default", &dir, applied).await.unwrap();
        });
    }
    updates.join_all().await;
    let status = store.get_pull_status(&pull).await.unwrap().unwrap();
    let projects = status.projects.unwrap();
    assert_eq!(projects.len(), 16);
    assert!(projects.iter().all(|project| project.status == ProjectPlanStatus::Applied));
}

/// `Ping` and `Close`.
pub async fn store_answers_and_closes(fixture: impl LegacyFixture) {
    let store: Arc<dyn LegacyBackend> = fixture.backend();
    store.ping().await.unwrap();
    let held = lock("owner/repo", ".", "default", 1);
    store.try_lock(held.clone()).await.unwrap();
    assert_eq!(Project::new("owner/repo", "", "").path, held.project.path);
    store.close().await.unwrap();
}

/// The batch of the system that was to replace the locking. It goes on after a failure, and a project
/// that is named twice is unlocked once.
pub async fn each_of_several_projects_is_answered_for(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let [first, last, others] =
        [("a", 1), ("c", 1), ("d", 2)].map(|(path, num)| lock("owner/repo", path, "default", num));
    for lock in [&first, &last, &others] {
        assert!(store.try_lock(lock.clone()).await.unwrap().0);
    }
    let damaged = lock("owner/repo", "b", "default", 1);
    fixture.put_lock(&damaged, b"{").await;
    let free = lock("owner/repo", "free", "default", 1);
    let named = [&first, &damaged, &free, &first, &last, &others];
    let keys = || named.into_iter().map(LegacyKey::of);
    let unlocked = unlock_each(&*store, keys(), Unlocking::Pull(1)).await;
    assert_eq!(unlocked.len(), 5, "{unlocked:?}");
    for (answer, expected) in unlocked.iter().zip([&first, &damaged, &free, &last, &others]) {
        assert_eq!(answer.key, LegacyKey::of(expected));
        match (&answer.outcome, expected.project.path.as_str()) {
            (UnlockOutcome::Unlocked(lock), "a" | "c") => assert_eq!(&**lock, expected),
            (UnlockOutcome::Failed(LegacyError::Damaged(_)), "b")
            | (UnlockOutcome::NotHeld, "free" | "d") => {}
            _ => panic!("{answer:?}"),
        }
    }
    let unlocked = unlock_each(&*store, keys(), Unlocking::Anybody).await;
    let ended = unlocked.iter().filter(|it| matches!(it.outcome, UnlockOutcome::Unlocked(_)));
    assert_eq!(ended.map(|it| &it.key).collect::<Vec<_>>(), [&LegacyKey::of(&others)]);
    assert!(unlock_each(&*store, [], Unlocking::Anybody).await.is_empty());
    assert!(store.list().await.unwrap().locks.is_empty());
}
