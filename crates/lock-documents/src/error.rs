//! Errors of a document store.

use std::error::Error as StdError;

/// The result of a call to a store of documents.
pub type Result<T, E = DocumentError> = std::result::Result<T, E>;

/// Error of a document store.
///
/// No body is in it: bodies may hold secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// The stored value is not a document. The call changed nothing.
    #[error("the document {place:?} cannot be read: {reason}")]
    Damaged {
        /// Where the store keeps the document.
        place: String,
        /// The reason.
        reason: String,
    },
    /// The store failed.
    #[error("the document store failed{}", if *unknown { "; the outcome is unknown" } else { "" })]
    Failed {
        /// `true` if the call may have happened all the same.
        unknown: bool,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
}

impl DocumentError {
    /// Creates an error for a stored value that is not a document.
    pub fn damaged(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { place: place.into(), reason: reason.into() }
    }

    /// The store failed for this reason; `unknown` says whether the call may have happened all the
    /// same.
    pub fn failed(unknown: bool, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed { unknown, source: source.into() }
    }

    /// Returns `true` if the call may have happened all the same. If not, it certainly did not.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Failed { unknown: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_the_call_may_have_happened() {
        let (known, unknown) =
            (DocumentError::failed(false, "x"), DocumentError::failed(true, "x"));
        assert_eq!([known.is_unknown(), unknown.is_unknown()], [false, true]);
        assert!(!known.to_string().contains("unknown") && unknown.to_string().contains("unknown"));
        assert_eq!(unknown.source().map(ToString::to_string).as_deref(), Some("x"));
        let damaged = DocumentError::damaged("a", "it is short");
        assert!(!damaged.is_unknown());
        assert_eq!(damaged.to_string(), "the document \"a\" cannot be read: it is short");
    }
}
