//! Documents in the memory of this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::{Document, DocumentStore, Replacement, Result, Revision};

/// Documents in the memory of this process; clones share them.
#[derive(Clone, Debug, Default)]
pub struct MemoryDocuments(Arc<Mutex<Documents>>);

#[derive(Debug, Default)]
struct Documents {
    last: u64,
    documents: BTreeMap<String, Document>,
}

impl MemoryDocuments {
    /// A store with no documents.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Documents) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl DocumentStore for MemoryDocuments {
    async fn read(&self, name: &str) -> Result<Option<Document>> {
        Ok(self.with(|documents| documents.documents.get(name).cloned()))
    }

    async fn replace(
        &self,
        name: &str,
        expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<Replacement> {
        Ok(self.with(|documents| {
            if documents.documents.get(name).map(|document| document.revision) != expected {
                return Replacement::Changed;
            }
            match body {
                Some(body) => {
                    documents.last += 1;
                    let document = Document::new(Revision::new(documents.last), body.to_vec());
                    documents.documents.insert(name.to_owned(), document);
                }
                None => {
                    documents.documents.remove(name);
                }
            }
            Replacement::Done
        }))
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.with(|documents| {
            let from = documents.documents.range(prefix.to_owned()..);
            from.map(|(name, _)| name)
                .take_while(|name| name.starts_with(prefix))
                .cloned()
                .collect()
        }))
    }
}
