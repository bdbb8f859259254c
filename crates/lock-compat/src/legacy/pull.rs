//! Pull requests, and where they are.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::json::{number, record};

number! {
    /// State of a pull request: open or closed.
    pub enum PullState {
        /// It is open.
        Open = 0,
        /// It is closed or merged.
        Closed = 1,
    }
}

number! {
    /// Kind of host of a repository.
    pub enum VcsHostKind {
        /// GitHub.
        Github = 0,
        /// GitLab.
        Gitlab = 1,
        /// Bitbucket Cloud.
        BitbucketCloud = 2,
        /// Bitbucket Server.
        BitbucketServer = 3,
        /// Azure DevOps.
        AzureDevops = 4,
        /// Gitea.
        Gitea = 5,
    }
}

record! {
    /// Where a repository is.
    pub struct VcsHost {
        /// The name of the host.
        "Hostname" hostname: String;
        /// Kind of host.
        "Type" kind: VcsHostKind;
    }
}

record! {
    /// A repository.
    pub struct Repo {
        /// Owner and name.
        "FullName" full_name: String;
        /// The owner alone.
        "Owner" owner: String;
        /// The name alone.
        "Name" name: String;
        /// Where to clone it from, with the token that it takes.
        "CloneURL" clone_url: CloneUrl;
        /// The same without the token.
        "SanitizedCloneURL" sanitized_clone_url: String;
        /// Where it is.
        "VCSHost" vcs_host: VcsHost;
    }
}

record! {
    /// A pull request.
    pub struct PullRequest {
        /// Its number in the repository.
        "Num" num: i64;
        /// The commit that it ends in.
        "HeadCommit" head_commit: String;
        /// Where people see it.
        "URL" url: String;
        /// The branch that it is.
        "HeadBranch" head_branch: String;
        /// The branch that it is for.
        "BaseBranch" base_branch: String;
        /// Checkout strategy; `None` in records of versions that do not write it.
        "HardenedNonPRRefCheckout" hardened_non_pr_ref_checkout: Option<bool>, if present;
        /// Author.
        "Author" author: String;
        /// Its description; `None` in records of versions that do not write it.
        "Body" body: Option<String>, if present;
        /// State: open or closed.
        "State" state: PullState;
        /// The repository that it is for.
        "BaseRepo" base_repo: Repo;
    }
}

/// A URL with a token in it: in no [`Debug`] output, and read by [`reveal`](Self::reveal) alone.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CloneUrl(String);

impl CloneUrl {
    /// Keeps the URL.
    #[must_use]
    pub const fn new(url: String) -> Self {
        Self(url)
    }

    /// The URL with its token.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CloneUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
