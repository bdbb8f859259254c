//! The interface of a store that can take part in a fallback.

use async_trait::async_trait;

use crate::AtlantisRedis;
use crate::migrate::RecordStore;
use lock_compat::documents::Replacement;
use lock_compat::{LegacyBackend, LockAdapter, Result};

/// A store that can take part in a [`Fallback`](super::Fallback).
///
/// Beside the records, documents of other names can be kept in it.
#[async_trait]
pub trait FallbackStore: LegacyBackend + RecordStore {
    /// The bytes of a document: a status, the lock of a command, or one beside the records.
    ///
    /// # Errors
    /// When the store fails.
    async fn document(&self, name: &str) -> Result<Option<Vec<u8>>>;

    /// Replaces the document with `new`, or removes it if that is `None`, provided that it still is
    /// `old`, where `None` means that there is no document; `false` if it is something else.
    ///
    /// # Errors
    /// When the store fails.
    async fn swap_document(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool>;

    /// The names of all documents with this prefix, in no order.
    ///
    /// # Errors
    /// When the store fails.
    async fn document_names(&self, prefix: &str) -> Result<Vec<String>>;
}

#[async_trait]
impl FallbackStore for LockAdapter {
    async fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.documents().read(name).await?.map(|document| document.body))
    }

    async fn swap_document(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        let there = self.documents().read(name).await?;
        if there.as_ref().map(|document| &*document.body) != old {
            return Ok(false);
        }
        let revision = there.map(|document| document.revision);
        Ok(self.documents().replace(name, revision, new).await? == Replacement::Done)
    }

    async fn document_names(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.documents().names(prefix).await?)
    }
}

#[async_trait]
impl FallbackStore for AtlantisRedis {
    async fn document(&self, name: &str) -> Result<Option<Vec<u8>>> {
        self.value_of(name).await
    }

    async fn swap_document(
        &self,
        name: &str,
        old: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool> {
        match (old, new) {
            (old, Some(new)) => self.put_if_same(name, old, new).await,
            (Some(old), None) => self.remove_if_same(name, old).await,
            (None, None) => Ok(self.value_of(name).await?.is_none()),
        }
    }

    async fn document_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.keys_of(prefix).await
    }
}
