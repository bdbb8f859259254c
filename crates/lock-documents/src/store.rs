//! The interface of a store of documents.

use std::fmt::Debug;

use async_trait::async_trait;

use crate::Result;

/// A store of named documents, in which a change names the revision that it replaces.
///
/// So of two who read, change and write at the same time, one learns that it came too late, and
/// nothing is lost.
///
/// # Cancel safety
/// Reading may be dropped at any time. A [`replace`](Self::replace) that is dropped, or whose error
/// [is unknown](crate::DocumentError::is_unknown), may have happened.
#[async_trait]
pub trait DocumentStore: Debug + Send + Sync + 'static {
    /// The document of this name.
    ///
    /// # Errors
    /// [`Damaged`](crate::DocumentError::Damaged) when what is there is no document,
    /// [`Failed`](crate::DocumentError::Failed) when the store did not answer.
    async fn read(&self, name: &str) -> Result<Option<Document>>;

    /// Puts `body` in the place of the document, or nothing with `None`, if its revision still is
    /// `expected`, where `None` is that there is no document.
    ///
    /// # Errors
    /// As for [`read`](Self::read); [`is_unknown`](crate::DocumentError::is_unknown) says whether the
    /// change may have happened.
    async fn replace(
        &self,
        name: &str,
        expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<Replacement>;

    /// The names of all documents that begin with this text, in no order; no character is special.
    ///
    /// # Errors
    /// [`Failed`](crate::DocumentError::Failed) when the store did not answer.
    async fn names(&self, prefix: &str) -> Result<Vec<String>>;
}

/// A document as it was read.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// Which of all documents that ever had the name it is.
    pub revision: Revision,
    /// Contents.
    pub body: Vec<u8>,
}

impl Document {
    /// This body at this revision.
    #[must_use]
    pub const fn new(revision: Revision, body: Vec<u8>) -> Self {
        Self { revision, body }
    }
}

/// Shows the length of the body alone, which may hold secrets.
impl Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { revision, body } = self;
        write!(f, "Document({revision:?}, {} bytes)", body.len())
    }
}

/// A number that no two documents of one store ever share, those that were removed or replaced
/// included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// The revision of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Outcome of a [`replace`](DocumentStore::replace).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "a document is replaced or it is not")]
pub enum Replacement {
    /// The document is as was asked for.
    Done,
    /// The document had another revision; nothing changed.
    Changed,
}
