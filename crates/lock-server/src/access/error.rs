//! A file of tokens that cannot be used.

use std::error::Error;
use std::fmt;

/// A file of tokens that cannot be used. It quotes no line, as a line may hold a secret by mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessError(String);

impl AccessError {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AccessError {}
