//! Names of records, as Atlantis gives them.

use lock_compat::LockAdapter;
use lock_compat::legacy::PullKey;

use crate::codec::Reply;
use crate::command::printable;

/// The name of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordName {
    /// The lock of a project, by its key without `pr/`.
    Lock(String),
    /// The status of a pull request: the whole key, and the repository.
    Status(String, String),
    /// The lock of a command: the whole key.
    Command(String),
}

/// The locks that are scanned for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// Those of all projects.
    All,
    /// Those of the projects of this very repository.
    Repo(String),
}

impl RecordName {
    pub(super) fn parse(key: &[u8]) -> Result<Self, Reply> {
        let unknown = || {
            Reply::error(format!(
                "this lock server keeps no key '{}': it has pr/.., HOST::REPOSITORY::NUMBER and global/../lock",
                printable(key)
            ))
        };
        let text = std::str::from_utf8(key).map_err(|_| unknown())?;
        if let Some(rest) = text.strip_prefix("pr/") {
            return Ok(Self::Lock(rest.to_owned()));
        }
        let command = text.strip_prefix("global/").and_then(|rest| rest.strip_suffix("/lock"));
        if let Some(command) = command {
            let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
            let is_name = (1..=32).contains(&command.len()) && command.chars().all(is_word);
            return is_name.then(|| Self::Command(text.to_owned())).ok_or_else(unknown);
        }
        match PullKey::parse(text) {
            Some(pull) => Ok(Self::Status(text.to_owned(), pull.repo_full_name)),
            None => Err(unknown()),
        }
    }

    /// What the token of a client covers if it covers this: where leases have names, those decide.
    pub(super) fn covered(&self) -> String {
        match self {
            Self::Lock(key) => LockAdapter::key_prefix(key),
            Self::Status(_, repo) => LockAdapter::key_prefix(repo),
            Self::Command(key) => key.clone(),
        }
    }
}

impl Scope {
    pub(super) fn parse(pattern: &[u8]) -> Result<Self, Reply> {
        let rest = std::str::from_utf8(pattern).ok().and_then(|text| text.strip_suffix('*'));
        match rest {
            Some("pr" | "pr/") => Ok(Self::All),
            // Atlantis puts the name of the repository there as it is, so no character is special.
            Some(rest) if rest.starts_with("pr/") => Ok(Self::Repo(rest[3..].to_owned())),
            _ => Err(Reply::error(format!(
                "this lock server does not scan for '{}': it scans for pr/*, pr* and pr/REPOSITORY*",
                printable(pattern)
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_atlantis_have_names_and_nothing_else_has() {
        let name = |key: &str| RecordName::parse(key.as_bytes());
        assert_eq!(name("pr/a/b/./default/"), Ok(RecordName::Lock("a/b/./default/".to_owned())));
        let status = RecordName::Status("github.com::a/b::7".to_owned(), "a/b".to_owned());
        assert_eq!(name("github.com::a/b::7"), Ok(status));
        let command = RecordName::Command("global/apply/lock".to_owned());
        assert_eq!(name("global/apply/lock"), Ok(command));
        for key in
            ["", "x", "prx", "global//lock", "global/a/b/lock", "a::b", "a::b::c", "lock-hosts"]
        {
            assert!(name(key).is_err(), "{key}");
        }
        assert!(RecordName::parse(&[0xff]).is_err());
    }

    #[test]
    fn no_character_of_a_repository_is_special() {
        let scope = |pattern: &str| Scope::parse(pattern.as_bytes());
        assert_eq!(scope("pr*"), Ok(Scope::All));
        assert_eq!(scope("pr/*"), Ok(Scope::All));
        assert_eq!(scope("pr/own[er]/re*po*"), Ok(Scope::Repo("own[er]/re*po".to_owned())));
        for pattern in ["*", "p*", "pr/a/b", "prx*", "global*"] {
            assert!(scope(pattern).is_err(), "{pattern}");
        }
    }
}
