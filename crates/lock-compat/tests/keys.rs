//! The keys of records.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use lock_compat::conformance::{lock, pull};
use lock_compat::legacy::{CommandName, LegacyKey, PullKey, command_key, pull_key};

fn parts(text: &str) -> (String, String, String, String) {
    let key = LegacyKey::parse(text).unwrap();
    assert_eq!(key.to_string(), text, "it is written as it was");
    let project = key.project;
    (project.repo_full_name, project.path, key.workspace, project.project_name)
}

fn owned(parts: [&str; 4]) -> (String, String, String, String) {
    let [repo, path, workspace, name] = parts.map(str::to_owned);
    (repo, path, workspace, name)
}

/// `TestIsCurrentLocking_ValidKey` and its sisters: the pattern is the same.
#[test]
fn keys_are_split_as_by_atlantis() {
    let cases = [
        ("owner/repo/path/workspace/name", ["owner/repo", "path", "workspace", "name"]),
        ("owner/repo/a/b/c/workspace/name", ["owner/repo", "a/b/c", "workspace", "name"]),
        ("owner/repo/./default/", ["owner/repo", ".", "default", ""]),
        ("group/sub/repo/path/default/", ["group/sub", "repo/path", "default", ""]),
        ("owner/repo////", ["owner/repo", "/", "", ""]),
        ("////", ["/", "", "", ""]),
        ("öwner/répo/path/wörk/näme", ["öwner/répo", "path", "wörk", "näme"]),
    ];
    for (text, expected) in cases {
        assert_eq!(parts(text), owned(expected), "{text}");
        assert!(LegacyKey::is_current(text), "{text}");
    }
}

#[test]
fn what_is_no_key_is_refused_in_the_legacy_words() {
    for text in
        ["", "key", "owner/repo", "owner/repo/path", "owner/repo/path/default", "a/b\n/c/d/e"]
    {
        let error = LegacyKey::parse(text).unwrap_err();
        assert_eq!(error.to_string(), "invalid key format", "{text:?}");
        assert!(!LegacyKey::is_current(text), "{text:?}");
    }
}

#[test]
fn locks_have_keys_of_both_forms() {
    let mut lock = lock("owner/repo", "a/b", "default", 1);
    assert_eq!(LegacyKey::of(&lock).to_string(), "owner/repo/a/b/default/");
    "name".clone_into(&mut lock.project.project_name);
    assert_eq!(LegacyKey::of(&lock).to_string(), "owner/repo/a/b/default/name");
    assert_eq!(LegacyKey::of(&lock).before_names(), "owner/repo/a/b/default");
}

#[test]
fn pull_requests_have_keys() {
    let key = pull_key(&pull("group/sub/repo", 7)).unwrap();
    assert_eq!(key, "github.com::group/sub/repo::7");
    let parsed = PullKey::parse(&key).unwrap();
    assert_eq!(
        (parsed.hostname.as_str(), parsed.repo_full_name.as_str()),
        ("github.com", "group/sub/repo")
    );
    assert_eq!(parsed.num, 7);
    for text in ["", "a::b", "a::b::c", "a::b::7::8", "a:b:7"] {
        assert_eq!(PullKey::parse(text), None, "{text}");
    }
}

#[test]
fn commands_have_keys() {
    assert_eq!(command_key(CommandName::Apply), "global/apply/lock");
    assert_eq!(command_key(CommandName::ApprovePolicies), "global/approve_policies/lock");
    assert_eq!(command_key(CommandName::Autoplan), command_key(CommandName::Plan));
}
