//! Status of the projects of a pull request.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::json::{number, record};
use super::{ProjectResult, PullRequest, decode};

number! {
    /// Status of a project after the last command.
    pub enum ProjectPlanStatus {
        /// The plan failed.
        PlanErrored = 0,
        /// There is a plan.
        Planned = 1,
        /// There is a plan, and nothing to do.
        PlannedNoChanges = 2,
        /// The apply failed.
        ApplyErrored = 3,
        /// It was applied.
        Applied = 4,
        /// The plan was dropped.
        PlanDiscarded = 5,
        /// Policies are not met.
        PolicyCheckErrored = 6,
        /// Policies are met.
        PolicyCheckPassed = 7,
    }
}

record! {
    /// The projects of a pull request.
    pub struct PullStatus {
        /// The projects, in the order of their first command; `None` is Go's nil.
        "Projects" projects: Option<Vec<ProjectStatus>>;
        /// The pull request as of its last commit.
        "Pull" pull: PullRequest;
    }
}

record! {
    /// Status of a project.
    pub struct ProjectStatus {
        /// The workspace.
        "Workspace" workspace: String;
        /// The folder in the repository.
        "RepoRelDir" repo_rel_dir: String;
        /// The name in the repository's configuration.
        "ProjectName" project_name: String;
        /// The policies that were checked; `None` is Go's nil.
        "PolicyStatus" policy_status: Option<Vec<PolicySetStatus>>;
        /// Status after the last command.
        "Status" status: ProjectPlanStatus;
    }
}

record! {
    /// Status of a set of policies.
    ///
    /// Versions up to 0.43 count approvals; later ones name them, and write two more fields.
    pub struct PolicySetStatus {
        /// The name of the set.
        "PolicySetName" policy_set_name: String;
        /// `true` if it is met.
        "Passed" passed: bool;
        /// Approvals, if it is not met.
        "Approvals" approvals: Approvals;
        /// Approved policies; the inner `None` is Go's nil.
        "Hashes" hashes: Option<Option<Vec<String>>>, if present;
        /// Pattern that distinguishes single policies.
        "PolicyItemRegex" policy_item_regex: Option<String>, if present;
    }
}

record! {
    /// An approval of a set of policies that is not met.
    pub struct Approval {
        /// Approvers.
        "Approver" approver: String;
        /// Approved policies; `None` is Go's nil.
        "Hashes" hashes: Option<Vec<String>>;
    }
}

/// Approval of a set of policies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Approvals {
    /// So many, as versions up to 0.43 write it.
    Count(i64),
    /// These; `None` is Go's nil.
    List(Option<Vec<Approval>>),
}

impl Default for Approvals {
    fn default() -> Self {
        Self::List(None)
    }
}

impl Serialize for Approvals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_i64(*count),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Approvals {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> de::Visitor<'de> for Either {
            type Value = Approvals;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or a list of approvals")
            }
            fn visit_i64<E>(self, count: i64) -> Result<Approvals, E> {
                Ok(Approvals::Count(count))
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Approvals, E> {
                i64::try_from(count).map(Approvals::Count).map_err(E::custom)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Approvals, A::Error> {
                let mut approvals = Vec::new();
                while let Some(approval) = list.next_element()? {
                    approvals.push(approval);
                }
                Ok(Approvals::List(Some(approvals)))
            }
        }
        reader.deserialize_any(Either)
    }
}

impl ProjectStatus {
    /// Status of a project after its first result.
    fn of(result: &ProjectResult) -> crate::Result<Self> {
        Ok(Self {
            workspace: result.workspace.clone(),
            repo_rel_dir: result.repo_rel_dir.clone(),
            project_name: result.project_name.clone(),
            policy_status: result.policy_status.clone(),
            status: result.plan_status()?,
            ..Self::default()
        })
    }

    fn is_of(&self, result: &ProjectResult) -> bool {
        self.workspace == result.workspace
            && self.repo_rel_dir == result.repo_rel_dir
            && self.project_name == result.project_name
    }

    fn has_policies(&self) -> bool {
        self.policy_status.as_ref().is_some_and(|sets| !sets.is_empty())
    }

    /// Works a later result in: of the sets of policies those that it has.
    fn update(&mut self, result: &ProjectResult) -> crate::Result<()> {
        self.status = result.plan_status()?;
        match self.policy_status.as_mut().filter(|sets| !sets.is_empty()) {
            None => self.policy_status.clone_from(&result.policy_status),
            Some(sets) => {
                for new in result.policy_status.iter().flatten() {
                    let of_that_name =
                        |set: &&mut PolicySetStatus| set.policy_set_name == new.policy_set_name;
                    for set in sets.iter_mut().filter(of_that_name) {
                        *set = new.clone();
                    }
                }
            }
        }
        Ok(())
    }
}

impl PullStatus {
    /// Merge of results into the status of a pull request.
    ///
    /// A status of another commit, or for another base branch, is replaced, but for the sets of
    /// policies that the same projects have. Into any other the results are worked, project by
    /// project, by workspace, folder and name; projects that are new come last.
    ///
    /// # Errors
    /// [`NoStatus`](crate::LegacyError::NoStatus) when a result is of a command that leaves none.
    pub fn merged(
        stored: Option<&Self>,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> crate::Result<Self> {
        let mut merged = match stored.filter(|stored| !stored.is_outdated(pull)) {
            Some(current) => current.clone(),
            None => return Self::afresh(stored, pull, results),
        };
        for result in results {
            let projects = merged.projects.get_or_insert_default();
            match projects.iter_mut().find(|project| project.is_of(result)) {
                Some(project) => project.update(result)?,
                None => projects.push(ProjectStatus::of(result)?),
            }
        }
        Ok(merged)
    }

    /// The same, from the value stored under `key`; an unreadable one is replaced.
    ///
    /// # Errors
    /// As for [`merged`](Self::merged).
    pub fn merged_into(
        key: &str,
        stored: Option<&[u8]>,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> crate::Result<Self> {
        let stored = stored.and_then(|bytes| match decode(key, bytes) {
            Ok(status) => Some(status),
            Err(error) => {
                tracing::warn!(%error, "a status that cannot be read is replaced");
                None
            }
        });
        Self::merged(stored.as_ref(), pull, results)
    }

    fn afresh(
        stored: Option<&Self>,
        pull: &PullRequest,
        results: &[ProjectResult],
    ) -> crate::Result<Self> {
        let before = || stored.iter().flat_map(|stored| stored.projects.iter().flatten());
        let mut projects = Vec::new();
        for result in results {
            let mut project = ProjectStatus::of(result)?;
            if let Some(old) = before().find(|old| old.is_of(result) && old.has_policies()) {
                project.policy_status.clone_from(&old.policy_status);
            }
            projects.push(project);
        }
        let projects = (!projects.is_empty()).then_some(projects);
        Ok(Self { projects, pull: pull.clone(), ..Self::default() })
    }

    fn is_outdated(&self, pull: &PullRequest) -> bool {
        self.pull.head_commit != pull.head_commit
            || !pull.base_branch.is_empty() && self.pull.base_branch != pull.base_branch
    }

    /// Sets the status of the first project of this workspace and folder; `false` when there is
    /// none.
    pub fn set_first(
        &mut self,
        workspace: &str,
        repo_rel_dir: &str,
        status: ProjectPlanStatus,
    ) -> bool {
        let mut projects = self.projects.iter_mut().flatten();
        let is_meant = |project: &&mut ProjectStatus| {
            project.workspace == workspace && project.repo_rel_dir == repo_rel_dir
        };
        projects.find(is_meant).map(|project| project.status = status).is_some()
    }
}
