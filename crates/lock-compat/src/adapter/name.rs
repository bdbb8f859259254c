//! Names of projects and pull requests in a lock store.

use lock_core::{InvalidInput, LockKey, OwnerId};

use crate::legacy::{Project, PullRequest};

/// Prefix of every key of a project.
pub(super) const PROJECTS: &str = "project:";

/// The key of a project at a host: its repository, path, workspace, name and host, with `:` in
/// between.
///
/// Unlike in Atlantis, no two projects share one: separators within the parts are escaped.
///
/// # Errors
/// When it is too long.
pub(super) fn key(project: &Project, workspace: &str, host: &str) -> Result<LockKey, InvalidInput> {
    let parts = [&project.repo_full_name, &project.path, workspace, &project.project_name, host];
    let mut text = PROJECTS.to_owned();
    for (number, part) in parts.into_iter().enumerate() {
        if number > 0 {
            text.push(':');
        }
        escape(part, &mut text);
    }
    LockKey::parse(text)
}

/// The host of a pull request; empty in records of versions that do not write it.
pub(super) fn host(pull: &PullRequest) -> &str {
    &pull.base_repo.vcs_host.hostname
}

/// Prefix of exactly the keys of all projects of a repository.
pub(super) fn keys_of(repo_full_name: &str) -> String {
    let mut text = PROJECTS.to_owned();
    escape(repo_full_name, &mut text);
    text.push(':');
    text
}

/// The owner that a pull request is.
///
/// # Errors
/// When it is too long.
pub(super) fn owner(pull: &PullRequest) -> Result<OwnerId, InvalidInput> {
    owner_of(host(pull), &pull.base_repo.full_name, pull.num)
}

/// The owner that the pull request of this host, repository and number is.
///
/// # Errors
/// When it is too long.
pub(super) fn owner_of(host: &str, repo: &str, num: i64) -> Result<OwnerId, InvalidInput> {
    let mut text = "pull:".to_owned();
    escape(host, &mut text);
    text.push(':');
    escape(repo, &mut text);
    OwnerId::parse(format!("{text}:{num}"))
}

/// The project, the workspace and the host that a key is of.
pub(super) fn project_of(key: &LockKey) -> Option<(Project, String, String)> {
    let parts = parts(key.as_str().strip_prefix(PROJECTS)?)?;
    let [repo, path, workspace, name, host] = <[String; 5]>::try_from(parts).ok()?;
    let mut project = Project::default();
    (project.repo_full_name, project.path, project.project_name) = (repo, path, name);
    Some((project, workspace, host))
}

/// The host, the repository and the number that an owner is.
pub(super) fn pull_of(owner: &OwnerId) -> Option<(String, String, i64)> {
    let parts = parts(owner.as_str().strip_prefix("pull:")?)?;
    let [host, repo, num] = <[String; 3]>::try_from(parts).ok()?;
    Some((host, repo, num.parse().ok()?))
}

/// The pull request that an owner is, as far as the owner's name says.
pub(super) fn pull_named(owner: &OwnerId) -> Option<PullRequest> {
    let (host, repo, num) = pull_of(owner)?;
    let mut pull = PullRequest::default();
    pull.num = num;
    (pull.base_repo.vcs_host.hostname, pull.base_repo.full_name) = (host, repo);
    Some(pull)
}

/// The parts of a name as they were before they were escaped.
fn parts(text: &str) -> Option<Vec<String>> {
    text.split(':').map(plain).collect()
}

fn plain(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

/// Adds a part, with everything in it escaped that separates parts or may not be in a key.
fn escape(part: &str, text: &mut String) {
    for c in part.chars() {
        if c == ':' || c == '%' || c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                text.push_str(&format!("%{byte:02X}"));
            }
        } else {
            text.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(repo: &str, path: &str, workspace: &str, name: &str) -> LockKey {
        let mut project = Project::default();
        project.repo_full_name = repo.to_owned();
        project.path = path.to_owned();
        project.project_name = name.to_owned();
        key(&project, workspace, "github.com").unwrap()
    }

    #[test]
    fn a_key_reads_like_the_project() {
        let key = named("acme/infra", "modules/vpc", "default", "");
        assert_eq!(key.as_str(), "project:acme/infra:modules/vpc:default::github.com");
    }

    #[test]
    fn projects_that_share_a_key_in_atlantis_have_two() {
        assert_ne!(named("r/r", "a/b", "c", "d"), named("r/r", "a", "b", "c/d"));
        assert_ne!(named("r/r", "a:b", "c", ""), named("r/r", "a", "b:c", ""));
        assert_ne!(named("r/r", "a%3Ab", "c", ""), named("r/r", "a:b", "c", ""));
    }

    #[test]
    fn names_are_read_as_they_were_written() {
        for part in ["", "a", "a:b%c", "%3A", "é\n\u{85}/"] {
            let mut project = Project::default();
            part.clone_into(&mut project.repo_full_name);
            part.clone_into(&mut project.project_name);
            let key = key(&project, part, part).unwrap();
            assert_eq!(project_of(&key).unwrap(), (project, part.to_owned(), part.to_owned()));
            let owner = owner_of(part, part, -7).unwrap();
            assert_eq!(pull_of(&owner).unwrap(), (part.to_owned(), part.to_owned(), -7));
        }
        assert_eq!(project_of(&LockKey::parse("project:a:b%").unwrap()), None);
    }

    #[test]
    fn control_characters_are_escaped() {
        let key = named("r/r", "a\nb\u{85}", "c", "");
        assert_eq!(key.as_str(), "project:r/r:a%0Ab%C2%85:c::github.com");
    }

    #[test]
    fn keys_of_a_repository_are_not_those_of_a_longer_one() {
        let own = named("owner/repo", ".", "default", "");
        let other = named("owner/repo2", ".", "default", "");
        assert!(own.as_str().starts_with(&keys_of("owner/repo")));
        assert!(!other.as_str().starts_with(&keys_of("owner/repo")));
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_by_its_field() {
        let mut project = Project::default();
        project.path = "x".repeat(2000);
        assert_eq!(key(&project, "default", "").unwrap_err().field(), "key");
    }
}
