//! The statuses of pull requests.

use super::{LegacyFixture, pull};
use crate::LegacyError;
use crate::legacy::{
    Approval, Approvals, CommandName, Outcome, PolicySetStatus, ProjectPlanStatus, ProjectResult,
    PullStatus, pull_key,
};

fn result(dir: &str, command: CommandName, outcome: Outcome) -> ProjectResult {
    ProjectResult::new("default", dir, command, outcome)
}

fn plan(dir: &str) -> ProjectResult {
    result(dir, CommandName::Plan, Outcome::Success)
}

/// Folder, name and status of each project.
fn projects(status: &PullStatus) -> Vec<(&str, &str, ProjectPlanStatus)> {
    let projects = status.projects.iter().flatten();
    projects.map(|it| (it.repo_rel_dir.as_str(), it.project_name.as_str(), it.status)).collect()
}

fn policies(name: &str, passed: bool, approvers: &[&str]) -> PolicySetStatus {
    let mut policies = PolicySetStatus::default();
    name.clone_into(&mut policies.policy_set_name);
    policies.passed = passed;
    let approval = |approver: &&str| {
        let mut approval = Approval::default();
        (*approver).clone_into(&mut approval.approver);
        approval
    };
    policies.approvals = Approvals::List(Some(approvers.iter().map(approval).collect()));
    policies
}

/// `TestPullStatus_UpdateGet`.
pub async fn results_are_kept(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    assert_eq!(store.get_pull_status(&pull).await.unwrap(), None);
    let failed = result(".", CommandName::Plan, Outcome::Failure);
    let made = store.update_pull_with_results(&pull, &[failed]).await.unwrap();
    let seen = store.get_pull_status(&pull).await.unwrap().unwrap();
    assert_eq!((&seen, &seen.pull), (&made, &pull));
    assert_eq!(projects(&seen), [(".", "", ProjectPlanStatus::PlanErrored)]);
}

/// `TestPullStatus_UpdateDeleteGet`.
pub async fn deleted_status_is_gone(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    store.update_pull_with_results(&pull, &[plan(".")]).await.unwrap();
    store.delete_pull_status(&pull).await.unwrap();
    assert_eq!(store.get_pull_status(&pull).await.unwrap(), None);
    store.delete_pull_status(&pull).await.unwrap();
}

/// `TestPullStatus_UpdateProject`.
pub async fn one_project_is_updated(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    let applied = result("staythesame", CommandName::Apply, Outcome::Success);
    store.update_pull_with_results(&pull, &[plan("."), applied]).await.unwrap();
    let discarded = ProjectPlanStatus::PlanDiscarded;
    store.update_project_status(&pull, "default", ".", discarded).await.unwrap();
    store.update_project_status(&pull, "default", "elsewhere", discarded).await.unwrap();
    let seen = store.get_pull_status(&pull).await.unwrap().unwrap();
    let expected = [(".", "", discarded), ("staythesame", "", ProjectPlanStatus::Applied)];
    assert_eq!(projects(&seen), expected);
}

/// There is nothing to update, and that is no error.
pub async fn status_that_is_not_there_is_not_updated(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    let discarded = ProjectPlanStatus::PlanDiscarded;
    store.update_project_status(&pull, "default", ".", discarded).await.unwrap();
    assert_eq!(store.get_pull_status(&pull).await.unwrap(), None);
}

/// `TestPullStatus_UpdateNewCommit`.
pub async fn new_commit_replaces(fixture: impl LegacyFixture) {
    let (store, mut pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    store.update_pull_with_results(&pull, &[plan(".")]).await.unwrap();
    "newsha".clone_into(&mut pull.head_commit);
    store.update_pull_with_results(&pull, &[plan("new")]).await.unwrap();
    let seen = store.get_pull_status(&pull).await.unwrap().unwrap();
    assert_eq!(projects(&seen), [("new", "", ProjectPlanStatus::Planned)]);
    assert_eq!(seen.pull, pull);
}

/// `TestPullStatus_UpdateSameCommitNewBaseBranch`.
pub async fn new_base_branch_replaces(fixture: impl LegacyFixture) {
    let (store, mut pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    store.update_pull_with_results(&pull, &[plan(".")]).await.unwrap();
    "release".clone_into(&mut pull.base_branch);
    let seen = store.update_pull_with_results(&pull, &[plan("new")]).await.unwrap();
    assert_eq!(projects(&seen), [("new", "", ProjectPlanStatus::Planned)]);
    assert_eq!(seen.pull.base_branch, "release");
    // A branch that is not given is not another one.
    pull.base_branch.clear();
    let seen = store.update_pull_with_results(&pull, &[plan(".")]).await.unwrap();
    assert_eq!(projects(&seen).len(), 2);
}

/// `TestRedis_SameCommitBackfillBaseDoesNotPromoteLegacyOldBaseProjects`.
pub async fn base_branch_that_was_empty_replaces(fixture: impl LegacyFixture) {
    let (store, mut pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    pull.base_branch.clear();
    store.update_pull_with_results(&pull, &[plan("old")]).await.unwrap();
    "main".clone_into(&mut pull.base_branch);
    let seen = store.update_pull_with_results(&pull, &[plan("new")]).await.unwrap();
    assert_eq!(projects(&seen), [("new", "", ProjectPlanStatus::Planned)]);
}

/// `TestPullStatus_UpdateMerge_Apply`.
pub async fn results_of_an_apply_are_merged(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    let named = |result: ProjectResult| result.with_project_name("projectname");
    let plans = [plan("mergeme"), named(plan("projectname")), plan("staythesame")];
    store.update_pull_with_results(&pull, &plans).await.unwrap();
    let applies = [
        result("mergeme", CommandName::Apply, Outcome::Success),
        named(result("projectname", CommandName::Apply, Outcome::Error)),
        plan("newresult"),
    ];
    let made = store.update_pull_with_results(&pull, &applies).await.unwrap();
    let seen = store.get_pull_status(&pull).await.unwrap().unwrap();
    assert_eq!(seen, made);
    let expected = [
        ("mergeme", "", ProjectPlanStatus::Applied),
        ("projectname", "projectname", ProjectPlanStatus::ApplyErrored),
        ("staythesame", "", ProjectPlanStatus::Planned),
        ("newresult", "", ProjectPlanStatus::Planned),
    ];
    assert_eq!(projects(&seen), expected);
}

/// `TestPullStatus_UpdateMerge_ApprovePolicies`.
pub async fn approvals_of_policies_are_merged(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    let check =
        |sets| result(".", CommandName::PolicyCheck, Outcome::Failure).with_policy_status(sets);
    let sets = vec![policies("one", false, &[]), policies("two", false, &[])];
    store.update_pull_with_results(&pull, &[check(sets)]).await.unwrap();
    let approval = result(".", CommandName::ApprovePolicies, Outcome::Success);
    let approval = approval.with_policy_status(vec![policies("two", true, &["boss"])]);
    let seen = store.update_pull_with_results(&pull, &[approval]).await.unwrap();
    assert_eq!(projects(&seen), [(".", "", ProjectPlanStatus::PolicyCheckPassed)]);
    let sets = seen.projects.unwrap().remove(0).policy_status.unwrap();
    assert_eq!(sets, [policies("one", false, &[]), policies("two", true, &["boss"])]);
}

/// `TestPullStatus_UpdateNewCommit_PreservesPolicyApprovals`.
pub async fn new_commit_keeps_approvals(fixture: impl LegacyFixture) {
    let (store, mut pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    let approval = result(".", CommandName::ApprovePolicies, Outcome::Success);
    let approval = approval.with_policy_status(vec![policies("one", true, &["boss"])]);
    store.update_pull_with_results(&pull, &[approval, plan("gone")]).await.unwrap();
    "newsha".clone_into(&mut pull.head_commit);
    let seen = store.update_pull_with_results(&pull, &[plan("."), plan("new")]).await.unwrap();
    let sets: Vec<_> =
        seen.projects.unwrap().into_iter().map(|project| project.policy_status).collect();
    assert_eq!(sets, [Some(vec![policies("one", true, &["boss"])]), None]);
    // Also over the sets that the first result brings.
    "evennewersha".clone_into(&mut pull.head_commit);
    let check = result(".", CommandName::PolicyCheck, Outcome::Success);
    let check = check.with_policy_status(vec![policies("one", false, &[])]);
    let seen = store.update_pull_with_results(&pull, &[check]).await.unwrap();
    let sets = seen.projects.unwrap().remove(0).policy_status.unwrap();
    assert_eq!(sets, [policies("one", true, &["boss"])]);
}

/// `TestPullStatus_UpdateOverwritesCorruptData`.
pub async fn damaged_status_is_replaced(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    for damaged in [&b"{not json"[..], br#"{"Projects":7}"#, b""] {
        fixture.put_status(&pull_key(&pull).unwrap(), damaged).await;
        let made = store.update_pull_with_results(&pull, &[plan(".")]).await.unwrap();
        assert_eq!(store.get_pull_status(&pull).await.unwrap(), Some(made));
    }
    // What version 0.43 counted is no damage.
    let counted = br#"{"Projects":[{"Workspace":"default","RepoRelDir":".","ProjectName":"",
        "PolicyStatus":[{"PolicySetName":"one","Passed":true,"Approvals":2}],"Status":7}],
        "Pull":{"Num":1,"HeadCommit":"head","BaseBranch":"main"}}"#;
    fixture.put_status(&pull_key(&pull).unwrap(), counted).await;
    let seen = store.update_pull_with_results(&pull, &[plan(".")]).await.unwrap();
    let sets = seen.projects.unwrap().remove(0).policy_status.unwrap();
    assert_eq!(sets[0].approvals, Approvals::Count(2));
}

/// Only results may replace an unreadable status.
pub async fn damaged_status_is_an_error_when_read(fixture: impl LegacyFixture) {
    let (store, pull) = (fixture.backend(), pull("runatlantis/atlantis", 1));
    let key = pull_key(&pull).unwrap();
    fixture.put_status(&key, b"{not json").await;
    let discarded = ProjectPlanStatus::PlanDiscarded;
    for error in [
        store.get_pull_status(&pull).await.unwrap_err(),
        store.update_project_status(&pull, "default", ".", discarded).await.unwrap_err(),
    ] {
        assert!(matches!(error, LegacyError::Damaged(_)), "{error:?}");
        assert!(!error.to_string().contains("not json"), "{error}");
    }
}

/// In the words of Atlantis, which names the host also where the repository is to blame.
pub async fn name_with_the_separator_is_refused(fixture: impl LegacyFixture) {
    let store = fixture.backend();
    let mut bad = pull("a::b/c", 1);
    let error = store.get_pull_status(&bad).await.unwrap_err();
    assert_eq!(error.to_string(), r#"repo name "github.com" contains illegal string "::""#);
    "a::b".clone_into(&mut bad.base_repo.vcs_host.hostname);
    for error in [
        store.get_pull_status(&bad).await.unwrap_err(),
        store.delete_pull_status(&bad).await.unwrap_err(),
        store.update_pull_with_results(&bad, &[plan(".")]).await.unwrap_err(),
        store.update_project_status(&bad, "", "", ProjectPlanStatus::Applied).await.unwrap_err(),
    ] {
        assert_eq!(error.to_string(), r#"vcs hostname "a::b" contains illegal string "::""#);
    }
}
