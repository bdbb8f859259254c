//! The keys of records, as people and stores see them.

use std::fmt;
use std::sync::LazyLock;

use regex::Regex;

use super::{CommandName, Project, ProjectLock, PullRequest};
use crate::LegacyError;

/// Atlantis' own pattern: the repository is as short as can be, the path as long.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(.*?\/.*?)\/(.*)\/(.*)\/(.*)$").expect("the pattern is well-formed")
});
/// Separator of the parts of the key of a pull request.
const SEPARATOR: &str = "::";

/// The key of a lock as people see it: `REPO/PATH/WORKSPACE/NAME`, the name often empty.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LegacyKey {
    /// The project.
    pub project: Project,
    /// The workspace.
    pub workspace: String,
}

impl LegacyKey {
    /// The key of a project in a workspace.
    #[must_use]
    pub fn new(project: Project, workspace: &str) -> Self {
        Self { project, workspace: workspace.to_owned() }
    }

    /// The key of a lock.
    #[must_use]
    pub fn of(lock: &ProjectLock) -> Self {
        Self::new(lock.project.clone(), &lock.workspace)
    }

    /// Reads a key as Atlantis does since version 0.40.
    ///
    /// A repository of more than two parts is not distinguished from the path; the text of the key
    /// is the same all the same.
    ///
    /// # Errors
    /// [`InvalidKey`](LegacyError::InvalidKey) when the text has fewer than four parts.
    pub fn parse(text: &str) -> Result<Self, LegacyError> {
        let Some(parts) = PATTERN.captures(text) else {
            return Err(LegacyError::InvalidKey { key: text.to_owned() });
        };
        let mut project = Project::default();
        parts[1].clone_into(&mut project.repo_full_name);
        parts[2].clone_into(&mut project.path);
        parts[4].clone_into(&mut project.project_name);
        Ok(Self::new(project, &parts[3]))
    }

    /// Returns `true` if the text has the form that keys have since version 0.40.
    #[must_use]
    pub fn is_current(text: &str) -> bool {
        PATTERN.is_match(text)
    }

    /// The key as it was up to version 0.39, without the name of the project.
    #[must_use]
    pub fn before_names(&self) -> String {
        let Project { repo_full_name, path, .. } = &self.project;
        format!("{repo_full_name}/{path}/{}", self.workspace)
    }
}

impl fmt::Display for LegacyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Project { repo_full_name, path, project_name, .. } = &self.project;
        write!(f, "{repo_full_name}/{path}/{}/{project_name}", self.workspace)
    }
}

/// The key of a lock that no other lock has, whatever the names: `HOST/REPO/PATH/WORKSPACE/NAME`,
/// with every `/` and `%` within a part escaped.
///
/// [`LockerClient`](crate::LockerClient) shows it in the place of a key that several locks share.
#[must_use]
pub fn exact_key(lock: &ProjectLock) -> String {
    let Project { repo_full_name, path, project_name, .. } = &lock.project;
    let host = &lock.pull.base_repo.vcs_host.hostname;
    let parts = [host, repo_full_name, path, &lock.workspace, project_name];
    parts.map(|part| part.replace('%', "%25").replace('/', "%2F")).join("/")
}

/// The key of the lock of a command.
#[must_use]
pub fn command_key(name: CommandName) -> String {
    format!("global/{}/lock", name.as_str())
}

/// The parts of the key of a pull request's status.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullKey {
    /// The host.
    pub hostname: String,
    /// Owner and name of the repository.
    pub repo_full_name: String,
    /// The number of the pull request.
    pub num: i64,
}

impl PullKey {
    /// Parses the key of a pull request's status; `None` if it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(SEPARATOR);
        let (hostname, repo, num) = (parts.next()?, parts.next()?, parts.next()?);
        let num = num.parse().ok().filter(|_| parts.next().is_none())?;
        Some(Self { hostname: hostname.to_owned(), repo_full_name: repo.to_owned(), num })
    }
}

/// The key of a pull request's status: `HOST::REPO::NUMBER`.
///
/// # Errors
/// [`IllegalHost`](LegacyError::IllegalHost) or [`IllegalRepo`](LegacyError::IllegalRepo) when the
/// one or the other has a `::`.
pub fn pull_key(pull: &PullRequest) -> Result<String, LegacyError> {
    let hostname = &pull.base_repo.vcs_host.hostname;
    let repo = &pull.base_repo.full_name;
    if hostname.contains(SEPARATOR) {
        return Err(LegacyError::IllegalHost { hostname: hostname.clone() });
    }
    if repo.contains(SEPARATOR) {
        let (hostname, repo) = (hostname.clone(), repo.clone());
        return Err(LegacyError::IllegalRepo { hostname, repo });
    }
    Ok(format!("{hostname}{SEPARATOR}{repo}{SEPARATOR}{}", pull.num))
}
