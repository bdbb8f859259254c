//! States in documents: checked, kept in versions, and nothing left behind.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lock_core::FencingToken;
use lock_documents::{
    Document, DocumentError, DocumentStore, MemoryDocuments, Replacement, Result, Revision,
};
use lock_server::{DocumentStates, StateName, StateStore, Write};

/// Documents that fail from one of the next changes on.
#[derive(Clone, Debug, Default)]
struct Failing {
    documents: MemoryDocuments,
    changes_left: Arc<AtomicUsize>,
}

#[async_trait]
impl DocumentStore for Failing {
    async fn read(&self, name: &str) -> Result<Option<Document>> {
        self.documents.read(name).await
    }

    async fn replace(
        &self,
        name: &str,
        expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<Replacement> {
        let one_less = |left: usize| left.checked_sub(1);
        let left = &self.changes_left;
        match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => self.documents.replace(name, expected, body).await,
            Err(_) => Err(DocumentError::failed(false, "the store is gone")),
        }
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        self.documents.names(prefix).await
    }
}

fn name() -> StateName {
    StateName::parse("prod").expect("a name")
}

fn token(number: u64) -> FencingToken {
    FencingToken::new(number).expect("not zero")
}

/// The stored bodies.
async fn bodies(documents: &MemoryDocuments) -> Vec<(String, Document)> {
    let mut bodies = Vec::new();
    for name in documents.names("terraform/bodies/prod~/").await.unwrap() {
        let body = documents.read(&name).await.unwrap().unwrap();
        bodies.push((name, body));
    }
    bodies
}

#[tokio::test]
async fn last_versions_are_kept() {
    let (documents, name) = (MemoryDocuments::new(), name());
    let states = DocumentStates::new(Arc::new(documents.clone()));
    for number in 1..=30 {
        let body = format!("{number:02}").into();
        assert_eq!(states.replace(&name, token(5), Some(body)).await.unwrap(), Write::Done);
    }
    let mut kept: Vec<_> =
        bodies(&documents).await.into_iter().map(|(_, body)| body.body).collect();
    kept.sort();
    let expected: Vec<_> = (10..=30).map(|number| number.to_string().into_bytes()).collect();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn damaged_body_is_reported_with_its_document() {
    let (documents, name) = (MemoryDocuments::new(), name());
    let states = DocumentStates::new(Arc::new(documents.clone()));
    let _ = states.replace(&name, token(5), Some("state".into())).await.unwrap();
    for (body, damage) in [(Some(&b"stat!"[..]), "damaged"), (None, "missing")] {
        let (place, document) = bodies(&documents).await.remove(0);
        let _ = documents.replace(&place, Some(document.revision), body).await.unwrap();
        let error = states.load(&name).await.unwrap_err().to_string();
        assert!(error.contains(&format!("{place} is {damage}")), "{error}");
    }
}

/// A server that dies while it writes leaves nothing for ever, and never half of a write.
#[tokio::test]
async fn abandoned_bodies_are_removed_by_the_next_lock() {
    let store = Failing::default();
    let (states, name) = (DocumentStates::new(Arc::new(store.clone())), name());
    let set = |left| store.changes_left.store(left, Ordering::SeqCst);
    set(usize::MAX);
    let _ = states.replace(&name, token(5), Some("old".into())).await.unwrap();
    let mut is_abandoned = false;
    for changes in 0.. {
        set(changes);
        let written = states.replace(&name, token(6), Some("new".into())).await;
        is_abandoned |= bodies(&store.documents).await.len() > 2;
        if written.is_ok() {
            break;
        }
        assert_eq!(states.load(&name).await.unwrap().unwrap(), "old");
    }
    assert!(is_abandoned);
    assert_eq!(states.load(&name).await.unwrap().unwrap(), "new");
    set(usize::MAX);
    assert_eq!(states.fence(&name, token(7)).await.unwrap(), Write::Done);
    let mut kept: Vec<_> =
        bodies(&store.documents).await.into_iter().map(|(_, body)| body.body).collect();
    kept.sort();
    assert_eq!(kept, [b"new", b"old"]);
}
