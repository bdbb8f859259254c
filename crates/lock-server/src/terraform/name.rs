//! The name of a state.

use std::fmt;

use lock_core::{InvalidInput, LockKey, Violation};

/// Maximum number of bytes of a name.
const LONGEST: usize = 200;

/// The name of a state: parts of letters, digits, `-`, `_` and `.`, separated by `/`.
///
/// No part is empty, `.` or `..`, so that a name is a path below the folder of a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateName(String);

impl StateName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`] when it is too long or not of that form.
    pub fn parse(text: &str) -> Result<Self, InvalidInput> {
        let refused = |violation| Err(InvalidInput::new("name of the state", violation));
        if text.len() > LONGEST {
            return refused(Violation::TooLong { length: text.len(), limit: LONGEST });
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let is_part = |part: &str| !matches!(part, "" | "." | "..") && part.chars().all(is_plain);
        match text.split('/').all(is_part) {
            true => Ok(Self(text.to_owned())),
            false => refused(Violation::Malformed {
                expected: "parts of letters, digits, `-`, `_` and `.`, separated by `/`",
            }),
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the state's lock.
    pub(crate) fn key(&self) -> LockKey {
        LockKey::parse(format!("terraform/{self}")).expect("a name is shorter than a key")
    }
}

impl fmt::Display for StateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_a_path_below_a_folder() {
        for name in ["prod", "team/prod.eu", "a-b_c/1"] {
            assert_eq!(StateName::parse(name).unwrap().as_str(), name);
        }
        let long = "x".repeat(LONGEST + 1);
        for name in ["", "/", "a//b", "..", "a/../b", "a/.", "a b", "a\\b", "é", "a\n", &long] {
            assert_eq!(
                StateName::parse(name).unwrap_err().field(),
                "name of the state",
                "{name:?}"
            );
        }
    }
}
