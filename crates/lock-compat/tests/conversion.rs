//! Nothing is lost in conversion, either way.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use lock_compat::documents::MemoryDocuments;
use lock_compat::legacy::{
    Approval, Approvals, CloneUrl, LegacyKey, PolicySetStatus, ProjectLock, ProjectPlanStatus,
    ProjectStatus, PullRequest, PullState, PullStatus, Stored, Timestamp, VcsHostKind, decode,
    encode,
};
use lock_compat::{LegacyBackend, LockAdapter, convert_from_legacy, convert_to_legacy};
use lock_core::{AcquireRequest, FencingToken, Lease, LockKey, LockManager, OwnerId, RequestId};
use lock_memory::MemoryBackend;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Texts of every kind, most of them short.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z/:%.]{0,8}",
        "[<>&\"\\\\\u{2028}\u{2029}\u{0}\u{8}\u{c}\n\r\t\u{7f}\u{85}é😀]{0,8}",
        any::<String>(),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let nanos = prop_oneof![Just(0_u32), Just(120_000_000), 0..1_000_000_000_u32];
    let offset = prop_oneof![Just(0_i32), -14 * 60..14 * 60];
    (1970..9999_u32, 1..=12_u32, 1..=28_u32, 0..86_400_u32, nanos, offset).prop_map(
        |(year, month, day, second, nanos, offset)| {
            let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
            let (sign, minutes) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
            let zone = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
            let text = format!(
                "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}{zone}"
            );
            Timestamp::parse(&text).unwrap()
        },
    )
}

prop_compose! {
    fn pull()(
        (num, state, kind) in (any::<i64>(), 0..4_i64, 0..9_i64),
        texts in vec(text(), 12),
        hardened in option::of(any::<bool>()),
        body in option::of(text()),
    ) -> PullRequest {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        let mut pull = PullRequest::default();
        pull.num = num;
        pull.head_commit = next();
        pull.url = next();
        pull.head_branch = next();
        pull.base_branch = next();
        pull.author = next();
        pull.hardened_non_pr_ref_checkout = hardened;
        pull.body = body;
        pull.state = PullState::from(state);
        pull.base_repo.full_name = next();
        pull.base_repo.owner = next();
        pull.base_repo.name = next();
        pull.base_repo.clone_url = CloneUrl::new(next());
        pull.base_repo.sanitized_clone_url = next();
        pull.base_repo.vcs_host.hostname = next();
        pull.base_repo.vcs_host.kind = VcsHostKind::from(kind);
        pull
    }
}

prop_compose! {
    fn lock()(
        pull in pull(),
        texts in vec(text(), 5),
        teams in option::of(vec(text(), 0..3)),
        time in time(),
    ) -> ProjectLock {
        let mut texts = texts.into_iter();
        let mut next = || texts.next().unwrap();
        let mut lock = ProjectLock::default();
        lock.project.repo_full_name = next();
        lock.project.path = next();
        lock.project.project_name = next();
        lock.user.username = next();
        lock.user.teams = teams;
        lock.workspace = next();
        lock.pull = pull;
        lock.time = time;
        lock
    }
}

fn approvals() -> impl Strategy<Value = Approvals> {
    let approval = (text(), option::of(vec(text(), 0..3))).prop_map(|(approver, hashes)| {
        let mut approval = Approval::default();
        approval.approver = approver;
        approval.hashes = hashes;
        approval
    });
    prop_oneof![
        any::<i64>().prop_map(Approvals::Count),
        option::of(vec(approval, 0..3)).prop_map(Approvals::List),
    ]
}

prop_compose! {
    fn policies()(
        name in text(),
        passed in any::<bool>(),
        approvals in approvals(),
        hashes in option::of(option::of(vec(text(), 0..3))),
        regex in option::of(text()),
    ) -> PolicySetStatus {
        let mut policies = PolicySetStatus::default();
        policies.policy_set_name = name;
        policies.passed = passed;
        policies.approvals = approvals;
        policies.hashes = hashes;
        policies.policy_item_regex = regex;
        policies
    }
}

prop_compose! {
    fn project()(
        texts in vec(text(), 3),
        policy_status in option::of(vec(policies(), 0..3)),
        status in 0..10_i64,
    ) -> ProjectStatus {
        let mut project = ProjectStatus::default();
        let [workspace, dir, name] = texts.try_into().unwrap();
        project.workspace = workspace;
        project.repo_rel_dir = dir;
        project.project_name = name;
        project.policy_status = policy_status;
        project.status = ProjectPlanStatus::from(status);
        project
    }
}

prop_compose! {
    fn status()(pull in pull(), projects in option::of(vec(project(), 0..3))) -> PullStatus {
        let mut status = PullStatus::default();
        status.pull = pull;
        status.projects = projects;
        status
    }
}

/// The same JSON in another shape: other spaces, other letters in names, a field that is unknown.
fn reshaped(bytes: &[u8]) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let serde_json::Value::Object(fields) = value else { unreachable!("a record") };
    let mut text = "{ \"Unknown\" : 1e3 ".to_owned();
    // In the order of their names, not of their declaration.
    for (name, value) in fields {
        text += &format!(",\n\t{}: {value}", serde_json::Value::from(name.to_lowercase()));
    }
    (text + "}\n").into_bytes()
}

fn adapter() -> LockAdapter {
    let owner = OwnerId::parse("atlantis").unwrap();
    LockAdapter::new(LockManager::new(MemoryBackend::new(), owner), MemoryDocuments::new())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

#[test]
fn lock_that_is_too_large_is_refused_by_its_limit() {
    let mut lock = lock_compat::conformance::lock("acme/infra", ".", "default", 1);
    lock.pull.body = Some("x".repeat(2 * 1024 * 1024));
    block_on(async {
        let store = adapter();
        let error = store.try_lock(lock).await.unwrap_err();
        let lock_compat::LegacyError::Invalid(input) = &error else { unreachable!("{error:?}") };
        assert_eq!(input.field(), "metadata");
        assert!(error.to_string().contains("1048576"), "{error}");
        assert!(store.list().await.unwrap().locks.is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn locks_are_read_as_they_were_written(lock in lock()) {
        let bytes = encode(&lock);
        let read: ProjectLock = decode("key", &bytes).unwrap();
        prop_assert_eq!(&read, &lock);
        prop_assert_eq!(encode(&read), bytes);
    }

    #[test]
    fn statuses_are_read_as_they_were_written(status in status()) {
        let bytes = encode(&status);
        let read: PullStatus = decode("key", &bytes).unwrap();
        prop_assert_eq!(&read, &status);
        prop_assert_eq!(encode(&read), bytes);
    }

    #[test]
    fn what_is_not_changed_keeps_its_bytes(status in status(), other in status()) {
        let bytes = reshaped(&encode(&status));
        let mut stored: Stored<PullStatus> = Stored::read("key", &bytes).unwrap();
        stored.update(stored.value().clone());
        prop_assert_eq!(stored.encode(), bytes);
        prop_assert_eq!(&stored.value().projects, &status.projects);
        let mut changed = stored.value().clone();
        changed.pull = other.pull;
        if &changed != stored.value() {
            stored.update(changed);
            let text = String::from_utf8(stored.encode()).unwrap();
            prop_assert!(text.ends_with(",\"Unknown\":1e3}"), "{}", text);
        }
    }

    #[test]
    fn lease_becomes_its_lock_and_a_lock_its_lease(lock in lock(), token in 1..1_u64 << 52) {
        let token = FencingToken::new(token).unwrap();
        let request = RequestId::random();
        // Names may be too long.
        if let Ok(lease) = convert_from_legacy(&lock, request, token) {
            prop_assert_eq!((lease.request, lease.token), (request, token));
            prop_assert_eq!(lease.expires_at, None);
            prop_assert_eq!(&convert_to_legacy(&lease), &lock);
            // What others leave of it is as much of the lock as the names say.
            let bare = AcquireRequest::new(request, lease.key.clone(), lease.owner.clone());
            let bare = Lease::granted(&bare, token, lease.granted_at);
            let seen = convert_to_legacy(&bare);
            prop_assert_eq!(&seen.project, &lock.project);
            prop_assert_eq!(&seen.workspace, &lock.workspace);
            prop_assert_eq!(seen.pull.num, lock.pull.num);
            prop_assert_eq!(&seen.pull.base_repo.full_name, &lock.pull.base_repo.full_name);
        }
    }

    #[test]
    fn every_lease_is_a_lock(key in "[ -~]{1,40}", owner in "[ -~]{1,40}") {
        let request = AcquireRequest::new(
            RequestId::random(),
            LockKey::parse(&key).unwrap(),
            OwnerId::parse(&owner).unwrap(),
        );
        let granted = lock_core::Timestamp::from_micros(7);
        let lock = convert_to_legacy(&Lease::granted(&request, FencingToken::MAX, granted));
        prop_assert_eq!(lock.time, granted.into());
        prop_assert!(!lock.project.path.is_empty() || key.starts_with("project:"));
    }

    #[test]
    fn the_adapter_keeps_every_lock(lock in lock()) {
        let stored = Stored::new(lock.clone());
        let name = LegacyKey::of(&lock);
        block_on(async {
            let store = adapter();
            match store.try_lock(lock.clone()).await {
                Ok(answer) => assert_eq!(answer, (true, lock.clone())),
                // A name may be too long; then nothing is locked.
                Err(error) => {
                    assert!(matches!(error, lock_compat::LegacyError::Invalid(_)), "{error:?}");
                    assert!(store.list().await.unwrap().locks.is_empty());
                    return;
                }
            }
            let seen = store.stored(&name.project, &name.workspace).await.unwrap().unwrap();
            assert_eq!(seen.encode(), stored.encode());
            assert_eq!(store.list().await.unwrap().locks, std::slice::from_ref(&lock));
            assert_eq!(store.unlock(&name.project, &name.workspace).await.unwrap(), Some(lock));
        });
    }

    #[test]
    fn two_projects_never_share_a_lock(one in lock(), other in lock()) {
        prop_assume!(one.project != other.project || one.workspace != other.workspace);
        block_on(async {
            let store = adapter();
            for lock in [one, other] {
                let answer = store.try_lock(lock).await;
                assert!(!matches!(answer, Ok((false, _))), "{answer:?}");
            }
        });
    }
}

#[test]
fn unlocking_a_project_leaves_others_that_its_key_may_mean() {
    let held = lock_compat::conformance::lock("a/b/c", "d", "default", 1);
    let free = lock_compat::conformance::lock("a/b", "c/d", "default", 2);
    assert_eq!(LegacyKey::of(&held).to_string(), LegacyKey::of(&free).to_string());
    block_on(async {
        let store = adapter();
        store.try_lock(held.clone()).await.unwrap();
        assert_eq!(store.get_lock(&free.project, "default").await.unwrap(), None);
        assert_eq!(store.unlock(&free.project, "default").await.unwrap(), None);
        assert_eq!(store.list().await.unwrap().locks, [held]);
    });
}
