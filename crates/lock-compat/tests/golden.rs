//! Records as real Atlantis wrote them, to the byte and in both directions.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::fmt::Debug;

use lock_compat::legacy::{
    Approvals, CommandLock, CommandName, LegacyKey, ProjectLock, ProjectPlanStatus, PullState,
    PullStatus, Stored, Timestamp, VcsHostKind, decode, encode, pull_key,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const LOCK_0_36: &[u8] = include_bytes!("golden/lock_0_36.json");
const LOCK_MAIN: &[u8] = include_bytes!("golden/lock_main.json");
const COMMAND: &[u8] = include_bytes!("golden/command_lock.json");
const STATUS_0_36: &[u8] = include_bytes!("golden/status_0_36.json");
const STATUS_MAIN: &[u8] = include_bytes!("golden/status_main.json");
const STATUS_EMPTY: &[u8] = include_bytes!("golden/status_without_projects.json");

/// Reads a record, and sees that it is written as it was.
fn read<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> T {
    let value: T = decode("key", bytes).unwrap();
    let (written, expected) = (encode(&value), bytes);
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(expected));
    let stored = Stored::<T>::read("key", bytes).unwrap();
    assert_eq!((stored.value(), stored.encode().as_slice()), (&value, bytes));
    value
}

#[test]
fn sizes_are_those_that_were_measured() {
    assert_eq!((LOCK_0_36.len(), LOCK_MAIN.len(), COMMAND.len()), (598, 670, 56));
}

#[test]
fn lock_of_version_0_36() {
    let lock: ProjectLock = read(LOCK_0_36);
    assert_eq!(lock.project.repo_full_name, "acme/infra");
    assert_eq!(
        (lock.project.path.as_str(), lock.project.project_name.as_str()),
        ("modules/vpc", "")
    );
    assert_eq!((lock.pull.num, lock.pull.state), (7, PullState::Open));
    assert_eq!((lock.pull.hardened_non_pr_ref_checkout, &lock.pull.body), (None, &None));
    let repo = &lock.pull.base_repo;
    assert_eq!(repo.clone_url.reveal(), "https://atlantis:tok@github.com/acme/infra.git");
    assert_eq!(repo.sanitized_clone_url, "https://atlantis:<redacted>@github.com/acme/infra.git");
    assert_eq!(
        (repo.vcs_host.hostname.as_str(), repo.vcs_host.kind),
        ("github.com", VcsHostKind::Github)
    );
    assert_eq!((lock.user.username.as_str(), &lock.user.teams), ("alice", &None));
    let time = Timestamp::parse("2025-09-27T22:28:12.123456789-07:00").unwrap();
    assert_eq!((lock.workspace.as_str(), lock.time), ("default", time));
    assert_eq!(LegacyKey::of(&lock).before_names(), "acme/infra/modules/vpc/default");
}

#[test]
fn lock_of_later_versions() {
    let lock: ProjectLock = read(LOCK_MAIN);
    assert_eq!(lock.pull.hardened_non_pr_ref_checkout, Some(false));
    assert_eq!(lock.pull.body.as_deref(), Some("fix <b>&"));
    assert_eq!(lock.user.teams, Some(vec!["ops".to_owned()]));
    assert_eq!(LegacyKey::of(&lock).to_string(), "acme/infra/modules/vpc/default/vpc");
}

#[test]
fn lock_of_a_command() {
    let lock: CommandLock = read(COMMAND);
    assert_eq!(lock.command_name, CommandName::Apply);
    assert_eq!(lock.lock_time().to_string(), "2025-09-28T05:28:12Z");
    assert!(lock.is_locked());
    assert_eq!(CommandLock::new(CommandName::Apply, lock.lock_time()), lock);
}

#[test]
fn status_of_version_0_36() {
    let status: PullStatus = read(STATUS_0_36);
    let [project] = &status.projects.unwrap()[..] else { unreachable!("there is one") };
    let [policies] = &project.policy_status.as_ref().unwrap()[..] else { unreachable!("one") };
    assert_eq!(policies.approvals, Approvals::Count(0));
    assert_eq!((&policies.hashes, &policies.policy_item_regex), (&None, &None));
}

#[test]
fn status_of_later_versions() {
    let status: PullStatus = read(STATUS_MAIN);
    assert_eq!(pull_key(&status.pull).unwrap(), "github.com::acme/infra::7");
    let [first, second] = &status.projects.unwrap()[..] else { unreachable!("there are two") };
    assert_eq!((first.status, &first.policy_status), (ProjectPlanStatus::Planned, &None));
    assert_eq!(second.status, ProjectPlanStatus::PolicyCheckErrored);
    let [policies] = &second.policy_status.as_ref().unwrap()[..] else { unreachable!("one") };
    let Approvals::List(Some(approvals)) = &policies.approvals else { unreachable!("a list") };
    assert_eq!(approvals[0].approver, "boss");
    assert_eq!(policies.hashes, Some(Some(vec!["h1".to_owned()])));
}

#[test]
fn status_without_projects() {
    let status: PullStatus = read(STATUS_EMPTY);
    assert_eq!(status.projects, None);
}

#[test]
fn changed_lock_keeps_the_shape_of_its_version() {
    let mut stored: Stored<ProjectLock> = Stored::read("key", LOCK_0_36).unwrap();
    let mut lock = stored.value().clone();
    "prod".clone_into(&mut lock.workspace);
    stored.update(lock);
    let expected = String::from_utf8_lossy(LOCK_0_36);
    let expected = expected.replace(r#""Workspace":"default""#, r#""Workspace":"prod""#);
    assert_eq!(String::from_utf8_lossy(&stored.encode()), expected);
}

#[test]
fn token_of_the_clone_url_is_in_no_debug_output() {
    let stored: Stored<ProjectLock> = Stored::read("key", LOCK_MAIN).unwrap();
    let debug = format!("{stored:?} {:?}", stored.value());
    assert!(debug.contains("<redacted>") && !debug.contains(":tok@"), "{debug}");
}
