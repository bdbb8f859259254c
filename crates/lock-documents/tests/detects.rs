//! The suite notices a store that breaks one promise: each case fails on the store that is broken in
//! its way.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lock_documents::conformance::{self, DocumentFixture};
use lock_documents::{Document, DocumentStore, MemoryDocuments, Replacement, Result, Revision};

// A promise each that is broken.
const FOUND_WHERE_NOTHING_IS: u8 = 0;
const CUT_BODY: u8 = 1;
const MADE_TWICE: u8 = 2;
const LATE_WRITE: u8 = 3;
const LATE_REMOVAL: u8 = 4;
const KEPT_WHEN_REMOVED: u8 = 5;
const REFUSED_NOTHING: u8 = 6;
const COUNTED_BY_NAME: u8 = 7;
const CASE_IGNORED: u8 = 8;
const PERCENT_IN_PREFIX: u8 = 9;
const LISTED_FOR_EVER: u8 = 10;
const LOOKED_BEFORE: u8 = 11;

/// A store in memory that breaks one promise.
#[derive(Clone, Debug, Default)]
struct Broken<const FAULT: u8> {
    store: MemoryDocuments,
    /// All names that there ever were, and how often each was written since it was made.
    known: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl<const FAULT: u8> Broken<FAULT> {
    fn name(name: &str) -> String {
        if FAULT == CASE_IGNORED { name.to_lowercase() } else { name.to_owned() }
    }

    async fn present(&self, name: &str) -> Option<Revision> {
        self.store.read(name).await.unwrap().map(|document| document.revision)
    }
}

#[async_trait]
impl<const FAULT: u8> DocumentStore for Broken<FAULT> {
    async fn read(&self, name: &str) -> Result<Option<Document>> {
        let name = Self::name(name);
        let read = self.store.read(&name).await?;
        Ok(match (FAULT, read) {
            (FOUND_WHERE_NOTHING_IS, None) => Some(Document::new(Revision::new(1), Vec::new())),
            (CUT_BODY, Some(mut document)) => {
                document.body.truncate(1000);
                Some(document)
            }
            (COUNTED_BY_NAME, Some(mut document)) => {
                document.revision = Revision::new(self.known.lock().unwrap()[&name]);
                Some(document)
            }
            (_, read) => read,
        })
    }

    async fn replace(
        &self,
        name: &str,
        mut expected: Option<Revision>,
        body: Option<&[u8]>,
    ) -> Result<Replacement> {
        let name = &*Self::name(name);
        let present = self.present(name).await;
        let is_blind = match FAULT {
            MADE_TWICE => expected.is_none() && body.is_some(),
            LATE_WRITE => expected.is_some() && present.is_some() && body.is_some(),
            LATE_REMOVAL => present.is_some() && body.is_none(),
            COUNTED_BY_NAME => {
                let counted = self.known.lock().unwrap().get(name).copied().map(Revision::new);
                present.and(counted) == expected
            }
            LOOKED_BEFORE => present == expected,
            _ => false,
        };
        match FAULT {
            REFUSED_NOTHING if present.is_none() && body.is_none() => {
                return Ok(Replacement::Changed);
            }
            KEPT_WHEN_REMOVED if body.is_none() => return Ok(Replacement::Done),
            LOOKED_BEFORE => tokio::task::yield_now().await,
            _ => {}
        }
        if is_blind {
            expected = self.present(name).await;
        }
        let done = self.store.replace(name, expected, body).await?;
        if done == Replacement::Done && body.is_some() {
            let mut known = self.known.lock().unwrap();
            let count = known.entry(name.to_owned()).or_default();
            *count = if present.is_some() { *count + 1 } else { 1 };
        }
        Ok(done)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>> {
        match FAULT {
            LISTED_FOR_EVER => {
                let known = self.known.lock().unwrap();
                Ok(known.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
            }
            PERCENT_IN_PREFIX => self.store.names(prefix.split('%').next().unwrap_or("")).await,
            _ => self.store.names(prefix).await,
        }
    }
}

#[async_trait]
impl<const FAULT: u8> DocumentFixture for Broken<FAULT> {
    async fn start() -> Self {
        Self::default()
    }

    async fn connect(&self) -> Arc<dyn DocumentStore> {
        Arc::new(self.clone())
    }
}

/// Makes a test of each case: it fails on the store that is broken in its way.
macro_rules! detects {
    ($($module:ident::$case:ident on $fault:ident,)*) => {
        $(#[test]
        fn $case() {
            let case = conformance::$module::$case;
            let ran = catch_unwind(|| conformance::run::<Broken<$fault>, _>(case));
            assert!(ran.is_err(), "the case does not notice it");
        })*

        const HERE: &[&str] = &[$(stringify!($case)),*];
    };
}

detects! {
    changes::missing_document_is_none on FOUND_WHERE_NOTHING_IS,
    changes::document_is_read_as_it_was_written on CUT_BODY,
    changes::document_is_made_once on MADE_TWICE,
    changes::old_revision_changes_nothing on LATE_WRITE,
    changes::old_revision_removes_nothing on LATE_REMOVAL,
    changes::removed_document_is_gone on KEPT_WHEN_REMOVED,
    changes::nothing_in_the_place_of_nothing_is_done on REFUSED_NOTHING,
    changes::revision_never_comes_again on COUNTED_BY_NAME,
    names::every_name_is_a_document_of_its_own on CASE_IGNORED,
    names::listed_names_begin_with_the_text on PERCENT_IN_PREFIX,
    names::removed_name_is_not_listed on LISTED_FOR_EVER,
    races::one_of_many_makes_a_document on LOOKED_BEFORE,
    races::no_change_of_many_is_lost on LOOKED_BEFORE,
}

macro_rules! names {
    (() $($module:ident::$case:ident,)*) => {
        const CASES: &[&str] = &[$(stringify!($case)),*];
    };
}

lock_documents::for_each_document_case! { [names] }

#[test]
fn every_case_has_its_fault() {
    assert_eq!(CASES, HERE);
}
