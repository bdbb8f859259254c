//! A sentence of the contract, and how a run broke it.

use std::fmt;

/// A sentence of the contract, and how a run broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    pub(super) sentence: &'static str,
    pub(super) detail: String,
}

impl Violation {
    pub(super) fn new(sentence: &'static str, detail: impl Into<String>) -> Self {
        Self { sentence, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -- {}", self.sentence, self.detail)
    }
}
