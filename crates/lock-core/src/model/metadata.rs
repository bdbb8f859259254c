//! Metadata of a lease.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::invalid::{InvalidInput, Violation, check_text};

/// Named texts that a lease carries, at most 1 MiB in all: enough for the description of a pull
/// request wherever it is.
///
/// The system stores them and shows them and never reads them. They are not a place for secrets:
/// whoever may inspect a key sees them, although [`Debug`](std::fmt::Debug) prints only the names.
#[derive(Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(try_from = "BTreeMap<String, String>", into = "BTreeMap<String, String>")
)]
pub struct Metadata(Option<Arc<BTreeMap<String, String>>>);

impl Metadata {
    /// The most bytes that names and texts may have together.
    pub const MAX_BYTES: usize = 1024 * 1024;
    /// The most bytes a name may have.
    pub const MAX_NAME_BYTES: usize = 256;

    /// Keeps the named texts.
    ///
    /// # Errors
    /// [`InvalidInput`] when a name is empty, too long or has a control character, or when all
    /// together are too long.
    pub fn parse<N, T>(entries: impl IntoIterator<Item = (N, T)>) -> Result<Self, InvalidInput>
    where
        N: Into<String>,
        T: Into<String>,
    {
        entries
            .into_iter()
            .map(|(name, text)| (name.into(), text.into()))
            .collect::<BTreeMap<String, String>>()
            .try_into()
    }

    /// The text of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.as_ref()?.get(name).map(String::as_str)
    }

    /// All names with their texts, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|map| map.iter()).map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The number of bytes that names and texts have together.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        let Some(entries) = &self.0 else { return 0 };
        entries.iter().map(|(name, text)| name.len() + text.len()).sum()
    }

    /// Returns `true` if there is no metadata.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = InvalidInput;
    fn try_from(map: BTreeMap<String, String>) -> Result<Self, InvalidInput> {
        for name in map.keys() {
            check_text("metadata name", Self::MAX_NAME_BYTES, name)?;
        }
        let length = map.iter().map(|(name, text)| name.len() + text.len()).sum();
        if length > Self::MAX_BYTES {
            let limit = Self::MAX_BYTES;
            return Err(InvalidInput::new("metadata", Violation::TooLong { length, limit }));
        }
        Ok(Self((!map.is_empty()).then(|| Arc::new(map))))
    }
}

impl<N: Into<String>, T: Into<String>, const COUNT: usize> TryFrom<[(N, T); COUNT]> for Metadata {
    type Error = InvalidInput;
    fn try_from(entries: [(N, T); COUNT]) -> Result<Self, InvalidInput> {
        Self::parse(entries)
    }
}

impl From<Metadata> for BTreeMap<String, String> {
    fn from(metadata: Metadata) -> Self {
        metadata.0.map(Arc::unwrap_or_clone).unwrap_or_default()
    }
}

impl std::fmt::Debug for Metadata {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}
