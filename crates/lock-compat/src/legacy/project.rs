//! Projects and their locks.

use super::json::record;
use super::{PullRequest, Timestamp};

record! {
    /// Locked project: a directory of a repository, with an optional name; the workspace is
    /// separate.
    pub struct Project {
        /// The name in the repository's configuration; empty where it has none.
        "ProjectName" project_name: String;
        /// Owner and name of the repository.
        "RepoFullName" repo_full_name: String;
        /// The folder, relative to the repository's root, `.` for the root itself.
        "Path" path: String;
    }
}

record! {
    /// User who requested a lock.
    pub struct User {
        /// The name at the host.
        "Username" username: String;
        /// The teams at the host; `None` is Go's nil, and written as `null`.
        "Teams" teams: Option<Vec<String>>;
    }
}

record! {
    /// The lock of a project in a workspace, for a pull request.
    pub struct ProjectLock {
        /// The locked project.
        "Project" project: Project;
        /// For whom.
        "Pull" pull: PullRequest;
        /// User who requested it.
        "User" user: User;
        /// In which workspace.
        "Workspace" workspace: String;
        /// When.
        "Time" time: Timestamp;
    }
}

impl Project {
    /// The project in a folder, which is cleaned as by Go's `path.Clean`, with `/` the root as well.
    #[must_use]
    pub fn new(repo_full_name: &str, path: &str, project_name: &str) -> Self {
        let path = clean(path);
        Self {
            project_name: project_name.to_owned(),
            repo_full_name: repo_full_name.to_owned(),
            path: if path == "/" { ".".to_owned() } else { path },
            ..Self::default()
        }
    }
}

impl User {
    /// A user of no team.
    #[must_use]
    pub fn new(username: &str) -> Self {
        Self { username: username.to_owned(), ..Self::default() }
    }
}

impl ProjectLock {
    /// The lock of this project and workspace since `time`.
    #[must_use]
    pub fn new(
        project: Project,
        pull: PullRequest,
        user: User,
        workspace: &str,
        time: Timestamp,
    ) -> Self {
        let workspace = workspace.to_owned();
        Self { project, pull, user, workspace, time, ..Self::default() }
    }
}

/// The shortest path that means the same.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (is_rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_in_go() {
        let cases = [
            ("", "."),
            ("/", "/"),
            (".", "."),
            ("./a", "a"),
            ("a/", "a"),
            ("a//b", "a/b"),
            ("a/./b", "a/b"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("a/../..", ".."),
            ("/../a", "/a"),
            ("/a/b/", "/a/b"),
            ("a/b/../../..", ".."),
        ];
        for (path, cleaned) in cases {
            assert_eq!(clean(path), cleaned, "{path:?}");
        }
    }

    #[test]
    fn the_root_of_a_repository_is_a_dot() {
        assert_eq!(Project::new("acme/infra", "/", "").path, ".");
        assert_eq!(Project::new("acme/infra", "", "").path, ".");
    }
}
