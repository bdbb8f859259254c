//! Errors of the legacy calls, with the legacy messages where they exist.

use std::error::Error as StdError;

use lock_core::InvalidInput;
use lock_documents::DocumentError;

use crate::legacy::{CommandName, Damaged};

/// The result of a legacy call.
pub type Result<T, E = LegacyError> = std::result::Result<T, E>;

/// Error of a legacy call.
///
/// The text is exactly that of Atlantis with Redis, where it has one. A cause is behind
/// [`source`](StdError::source) and not part of the text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LegacyError {
    /// The command is locked already.
    #[error("db transaction failed: lock already exists")]
    CommandLocked,
    /// The command is not locked.
    #[error("db transaction failed: no lock exists")]
    CommandNotLocked,
    /// Not a valid lock key.
    #[error("invalid key format")]
    InvalidKey {
        /// The given value.
        key: String,
    },
    /// Several locks have this key, so it is ambiguous.
    #[error("the key {key:?} names several locks, with the keys {exact:?}")]
    AmbiguousKey {
        /// The given value.
        key: String,
        /// The keys that tell the locks apart; see [`exact_key`](crate::legacy::exact_key).
        exact: Vec<String>,
    },
    /// The host of a pull request contains the separator of its key.
    #[error("vcs hostname {} contains illegal string \"::\"", quoted(hostname))]
    IllegalHost {
        /// The host.
        hostname: String,
    },
    /// The repository of a pull request contains the separator of its key. Atlantis names the host
    /// in its text all the same.
    #[error("repo name {} contains illegal string \"::\"", quoted(hostname))]
    IllegalRepo {
        /// The host.
        hostname: String,
        /// The repository.
        repo: String,
    },
    /// A cluster without a server.
    #[error("redis cluster addresses provided but all are empty")]
    NoClusterAddress,
    /// Apply commands are locked by configuration, and so cannot be locked.
    #[error(
        "apply is omitted from AllowCommands; Apply commands are locked globally until flag is updated"
    )]
    ApplyOmitted,
    /// Apply commands are locked by configuration, and so cannot be unlocked.
    #[error("apply commands are disabled until AllowCommands flag is updated")]
    ApplyDisabled,
    /// A command that has no result for a project. Atlantis panics.
    #[error("a project has no status after the command {0:?}")]
    NoStatus(CommandName),
    /// The wait for a lock ended without it; the place and the holder are behind it.
    #[error("the lock was not acquired")]
    NotAcquired(#[source] lock_core::Error),
    /// The wait for a lock was ended.
    #[error("the wait was cancelled")]
    Cancelled,
    /// The value stored under a key cannot be decoded.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A value is outside of the limits of the store.
    #[error("db transaction failed: {0}")]
    Invalid(#[from] InvalidInput),
    /// Others change the same record all the time.
    #[error("db transaction failed: {key} keeps changing")]
    Contended {
        /// The record.
        key: String,
    },
    /// The store failed.
    #[error("db transaction failed")]
    Store {
        /// `true` if the call may have happened all the same.
        unknown: bool,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl LegacyError {
    /// The store failed for this reason; `unknown` says whether the call may have happened all the
    /// same.
    pub fn store(unknown: bool, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Store { unknown, source: source.into() }
    }

    /// Returns `true` if the call may have happened all the same.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Store { unknown: true, .. })
    }
}

impl From<lock_core::Error> for LegacyError {
    fn from(error: lock_core::Error) -> Self {
        match error.invalid_input() {
            Some(input) => Self::Invalid(input.clone()),
            None => Self::store(error.is_unknown(), error),
        }
    }
}

impl From<DocumentError> for LegacyError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Damaged { place, reason } => Damaged::new(place, reason).into(),
            DocumentError::Failed { unknown, source } => Self::Store { unknown, source },
            other => Self::store(other.is_unknown(), other),
        }
    }
}

/// A text in quotes as Go's `%q` writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            // Rust escapes unprintable characters, and quotes.
            c if c == '\'' || c.escape_debug().len() == 1 => quoted.push(c),
            c if u32::from(c) < 0x80 => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x1_0000 => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_documents_say_the_same_here() {
        for unknown in [false, true] {
            let error = LegacyError::from(DocumentError::failed(unknown, "no answer"));
            assert_eq!(error.is_unknown(), unknown);
            let source = error.source().map(ToString::to_string);
            assert_eq!(source.as_deref(), Some("no answer"));
        }
        let error = LegacyError::from(DocumentError::damaged("key", "it is short"));
        let LegacyError::Damaged(damaged) = error else { panic!("{error:?}") };
        assert_eq!((&*damaged.key, &*damaged.reason), ("key", "it is short"));
    }

    #[test]
    fn texts_are_quoted_as_in_go() {
        let cases = [
            ("a::b", r#""a::b""#),
            ("é'😀", r#""é'😀""#),
            ("\"\\\n\u{0}\u{7}\u{7f}", r#""\"\\\n\x00\a\x7f""#),
            ("\u{85}\u{2028}\u{e0001}", r#""\u0085\u2028\U000e0001""#),
        ];
        for (text, expected) in cases {
            assert_eq!(quoted(text), expected);
        }
    }
}
