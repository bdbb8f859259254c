//! Conformance suite of every [`DocumentStore`], one case per promise.

#![expect(clippy::missing_panics_doc, clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod changes;
pub mod names;
pub mod races;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::{Document, DocumentStore, Replacement, Revision};

/// The longest that a case may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Fixture of a store under test.
#[async_trait]
pub trait DocumentFixture: Send + Sync + Sized + 'static {
    /// Starts an empty store.
    async fn start() -> Self;

    /// Connects to the store once more.
    async fn connect(&self) -> Arc<dyn DocumentStore>;
}

/// Runs one case on a store of its own, in a runtime of its own.
pub fn run<F: DocumentFixture, C: Future<Output = ()>>(case: impl FnOnce(F) -> C) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let fixture = F::start().await;
        tokio::time::timeout(LIMIT, case(fixture)).await.expect("the case ends");
    });
}

/// Calls a macro with its arguments in parentheses and the table of cases.
#[macro_export]
#[doc(hidden)]
macro_rules! for_each_document_case {
    ([$($callback:tt)*] $($args:tt)*) => {
        $($callback)*! {
            ($($args)*)
            changes::missing_document_is_none,
            changes::document_is_read_as_it_was_written,
            changes::document_is_made_once,
            changes::old_revision_changes_nothing,
            changes::old_revision_removes_nothing,
            changes::removed_document_is_gone,
            changes::nothing_in_the_place_of_nothing_is_done,
            changes::revision_never_comes_again,
            names::every_name_is_a_document_of_its_own,
            names::listed_names_begin_with_the_text,
            names::removed_name_is_not_listed,
            races::one_of_many_makes_a_document,
            races::no_change_of_many_is_lost,
        }
    };
}

/// Makes a test of each case, on the stores of a [`DocumentFixture`].
#[macro_export]
macro_rules! document_conformance {
    ($fixture:ty) => {
        $crate::for_each_document_case! { [$crate::document_conformance] $fixture }
    };
    (($fixture:ty) $($module:ident::$case:ident,)*) => {
        $(#[test]
        fn $case() {
            $crate::conformance::run::<$fixture, _>($crate::conformance::$module::$case);
        })*
    };
}

/// Replaces a document, which must be of this revision.
async fn put(
    store: &dyn DocumentStore,
    name: &str,
    expected: Option<Revision>,
    body: Option<&[u8]>,
) {
    let done = store.replace(name, expected, body).await.unwrap();
    assert_eq!(done, Replacement::Done, "{name:?} is of revision {expected:?}");
}

/// Makes a document, and reads it.
async fn made(store: &dyn DocumentStore, name: &str, body: &[u8]) -> Document {
    put(store, name, None, Some(body)).await;
    store.read(name).await.unwrap().expect("it was made")
}
