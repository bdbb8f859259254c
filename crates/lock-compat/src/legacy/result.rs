//! Result of a command in a project.

use super::{CommandName, PolicySetStatus, ProjectPlanStatus};
use crate::{LegacyError, Result};

/// Result of a command in a project.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProjectResult {
    /// The workspace.
    pub workspace: String,
    /// The folder in the repository.
    pub repo_rel_dir: String,
    /// The name in the repository's configuration.
    pub project_name: String,
    /// The command.
    pub command: CommandName,
    /// Outcome.
    pub outcome: Outcome,
    /// The sets of policies that it checked; `None` is Go's nil.
    pub policy_status: Option<Vec<PolicySetStatus>>,
}

/// Outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It could not be done.
    Error,
    /// It was done, and what it did failed.
    Failure,
    /// It succeeded.
    Success,
    /// It succeeded, and found nothing to do.
    NoChanges,
}

impl ProjectResult {
    /// The command ended so in the project without a name of this workspace and folder.
    #[must_use]
    pub fn new(
        workspace: &str,
        repo_rel_dir: &str,
        command: CommandName,
        outcome: Outcome,
    ) -> Self {
        Self {
            workspace: workspace.to_owned(),
            repo_rel_dir: repo_rel_dir.to_owned(),
            project_name: String::new(),
            command,
            outcome,
            policy_status: None,
        }
    }

    /// The same of the project of this name.
    #[must_use]
    pub fn with_project_name(self, project_name: &str) -> Self {
        Self { project_name: project_name.to_owned(), ..self }
    }

    /// The same with these sets of policies.
    #[must_use]
    pub fn with_policy_status(self, policy_status: Vec<PolicySetStatus>) -> Self {
        Self { policy_status: Some(policy_status), ..self }
    }

    /// Resulting status of the project.
    ///
    /// # Errors
    /// [`NoStatus`](LegacyError::NoStatus) when the command leaves none.
    pub fn plan_status(&self) -> Result<ProjectPlanStatus> {
        let has_failed = matches!(self.outcome, Outcome::Error | Outcome::Failure);
        let (failed, done) = match self.command {
            CommandName::Plan | CommandName::Autoplan => match self.outcome {
                Outcome::NoChanges => return Ok(ProjectPlanStatus::PlannedNoChanges),
                _ => (ProjectPlanStatus::PlanErrored, ProjectPlanStatus::Planned),
            },
            CommandName::PolicyCheck | CommandName::ApprovePolicies => {
                (ProjectPlanStatus::PolicyCheckErrored, ProjectPlanStatus::PolicyCheckPassed)
            }
            CommandName::Apply => (ProjectPlanStatus::ApplyErrored, ProjectPlanStatus::Applied),
            CommandName::Import | CommandName::State => {
                (ProjectPlanStatus::PlanErrored, ProjectPlanStatus::PlanDiscarded)
            }
            other => return Err(LegacyError::NoStatus(other)),
        };
        Ok(if has_failed { failed } else { done })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_leaves_the_status_that_it_leaves_in_atlantis() {
        let cases = [
            // Error and failure, success, nothing to do.
            (CommandName::Plan, [0, 1, 2]),
            (CommandName::Autoplan, [0, 1, 2]),
            (CommandName::PolicyCheck, [6, 7, 7]),
            (CommandName::ApprovePolicies, [6, 7, 7]),
            (CommandName::Apply, [3, 4, 4]),
            (CommandName::Import, [0, 5, 5]),
            (CommandName::State, [0, 5, 5]),
        ];
        for (command, [failed, done, nothing]) in cases {
            for (outcome, number) in [
                (Outcome::Error, failed),
                (Outcome::Failure, failed),
                (Outcome::Success, done),
                (Outcome::NoChanges, nothing),
            ] {
                let status = ProjectResult::new("default", ".", command, outcome).plan_status();
                let seen = status.expect("the command leaves a status").number();
                assert_eq!(seen, number, "{command:?} {outcome:?}");
            }
        }
    }

    #[test]
    fn a_command_without_a_status_is_an_error() {
        let others = [
            CommandName::Unlock,
            CommandName::Version,
            CommandName::Cancel,
            CommandName::Other(77),
        ];
        for command in others {
            let result = ProjectResult::new("default", ".", command, Outcome::Success);
            let error = result.plan_status().expect_err("the command leaves none");
            assert!(matches!(error, LegacyError::NoStatus(named) if named == command));
        }
    }
}
