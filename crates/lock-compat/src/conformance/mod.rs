//! The tests of Atlantis' own stores, for every [`LegacyBackend`]: each case says which it is.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

pub mod behind;
pub mod commands;
pub mod locks;
pub mod more;
pub mod queues;
pub mod statuses;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::LegacyBackend;
use crate::legacy::{Project, ProjectLock, PullRequest, Timestamp, User};

/// The longest that a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Fixture of a store under test.
#[async_trait]
pub trait LegacyFixture: Send + Sync + Sized + 'static {
    /// Starts an empty store.
    async fn start() -> Self;

    /// The store, the same at every call.
    fn backend(&self) -> Arc<dyn LegacyBackend>;

    /// Puts bytes in the place of the status under this key, behind the store's back.
    async fn put_status(&self, key: &str, bytes: &[u8]);

    /// Puts bytes in the place of the lock of this project, behind the store's back.
    async fn put_lock(&self, lock: &ProjectLock, bytes: &[u8]);
}

/// Runs one case on a store of its own, in a runtime of its own.
pub fn run<F: LegacyFixture, C: Future<Output = ()>>(case: impl FnOnce(F) -> C) {
    run_in_a_runtime(async { case(F::start().await).await });
}

fn run_in_a_runtime(case: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime starts");
    runtime.block_on(async { tokio::time::timeout(LIMIT, case).await.expect("the case ends") });
}

/// Calls a macro with its arguments in parentheses and the table of cases.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_legacy_case {
    ([$($callback:tt)*] $($args:tt)*) => {
        $($callback)*! {
            ($($args)*)
            commands::command_that_is_not_locked_has_no_lock,
            commands::locked_command_is_locked,
            commands::command_is_locked_once,
            commands::unlocked_command_has_no_lock,
            commands::command_that_is_not_locked_cannot_be_unlocked,
            commands::lock_of_a_command_is_not_listed,
            commands::plan_and_autoplan_are_one_command,
            locks::no_locks_are_listed_at_first,
            locks::one_lock_is_listed,
            locks::locks_of_several_repositories_are_listed,
            locks::unlocked_project_is_not_listed,
            locks::free_project_is_locked,
            locks::only_the_same_project_and_workspace_is_refused,
            locks::same_pull_is_refused_too,
            locks::unlocking_what_is_free_is_no_error,
            locks::unlocked_project_can_be_locked_by_another_pull,
            locks::several_locks_are_unlocked_each,
            locks::missing_lock_is_not_unlocked_for_its_pull,
            locks::lock_of_another_pull_is_not_unlocked,
            locks::lock_of_the_pull_is_unlocked,
            locks::unlocking_a_pull_without_locks_is_no_error,
            locks::only_the_very_pull_is_unlocked,
            locks::unlocked_pull_can_be_unlocked_again,
            locks::all_locks_of_a_pull_are_unlocked,
            locks::free_project_has_no_lock,
            locks::lock_is_shown_as_it_was_made,
            more::longer_named_repository_keeps_its_locks,
            more::glob_characters_are_plain,
            more::nested_folders_are_projects_of_their_own,
            more::grouped_repository_is_found_by_its_key,
            more::every_text_is_kept,
            more::damaged_lock_hides_no_other,
            more::damaged_lock_is_named_and_stays,
            more::one_of_many_locks,
            more::one_of_many_locks_a_command,
            more::no_update_of_many_is_lost,
            more::store_answers_and_closes,
            more::each_of_several_projects_is_answered_for,
            statuses::results_are_kept,
            statuses::deleted_status_is_gone,
            statuses::one_project_is_updated,
            statuses::status_that_is_not_there_is_not_updated,
            statuses::new_commit_replaces,
            statuses::new_base_branch_replaces,
            statuses::base_branch_that_was_empty_replaces,
            statuses::results_of_an_apply_are_merged,
            statuses::approvals_of_policies_are_merged,
            statuses::new_commit_keeps_approvals,
            statuses::damaged_status_is_replaced,
            statuses::damaged_status_is_an_error_when_read,
            statuses::name_with_the_separator_is_refused,
        }
    };
}

/// Makes a test of each case, on the stores of a [`LegacyFixture`].
#[macro_export]
macro_rules! legacy_conformance {
    ($fixture:ty) => {
        $crate::for_each_legacy_case! { [$crate::legacy_conformance] $fixture }
    };
    (($fixture:ty) $($module:ident::$case:ident,)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::run::<$fixture, _>($crate::conformance::$module::$case);
        })*
    };
}

/// A pull request of this number for this repository.
#[must_use]
pub fn pull(repo_full_name: &str, num: i64) -> PullRequest {
    let mut pull = PullRequest::default();
    pull.num = num;
    "head".clone_into(&mut pull.head_commit);
    "main".clone_into(&mut pull.base_branch);
    "alice".clone_into(&mut pull.author);
    repo_full_name.clone_into(&mut pull.base_repo.full_name);
    "github.com".clone_into(&mut pull.base_repo.vcs_host.hostname);
    pull
}

/// The lock of a folder of a repository for a pull request of this number.
#[must_use]
pub fn lock(repo_full_name: &str, path: &str, workspace: &str, num: i64) -> ProjectLock {
    let time = Timestamp::parse("2025-09-27T22:28:12.123456789-07:00").expect("a time");
    let project = Project::new(repo_full_name, path, "");
    ProjectLock::new(project, pull(repo_full_name, num), User::new("alice"), workspace, time)
}
