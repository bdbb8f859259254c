//! Runs a case on a broken store, and returns the outcome.

use std::cell::RefCell;
use std::fmt;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

use lock_testkit::{Case, Skipped};

use crate::fault::Fault;
use crate::fixture::{self, BrokenStore};

/// The outcome of a case.
pub(crate) enum Verdict {
    /// The case passed.
    Passed,
    /// The case did not run.
    Skipped(Skipped),
    /// The case failed with this message.
    Failed(String),
    /// The broken store itself panicked, which proves nothing.
    Spoiled(String),
}

thread_local! {
    /// The location and the message of the panic of this thread's case; `None` if it runs none.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("the case passed"),
            Self::Skipped(reason) => write!(f, "the case was skipped: {reason}"),
            Self::Failed(said) => write!(f, "the case failed: {said}"),
            Self::Spoiled(said) => write!(f, "the broken store panicked: {said}"),
        }
    }
}

/// Runs the case on a store with this fault.
pub(crate) fn verdict(case: Case, fault: Fault) -> Verdict {
    keep_panics_quiet();
    fixture::plant(fault);
    PANICS.set(Some(Vec::new()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| lock_testkit::run::<BrokenStore>(&case)));
    let panics = PANICS.take().unwrap_or_default();
    let foreign = panics.iter().find(|said| !said.contains("lock-testkit/src/"));
    match (outcome, foreign) {
        (_, Some(said)) => Verdict::Spoiled(said.clone()),
        (Ok(Ok(())), None) => Verdict::Passed,
        (Ok(Err(skipped)), None) => Verdict::Skipped(skipped),
        (Err(_), None) => Verdict::Failed(panics.join("; ")),
    }
}

/// Records the panics of running cases instead of printing them; other threads panic as usual.
fn keep_panics_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_kept = PANICS.with_borrow_mut(|panics| match panics {
                Some(panics) => {
                    panics.push(said(info));
                    true
                }
                None => false,
            });
            if !is_kept {
                loud(info);
            }
        }));
    });
}

fn said(info: &PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let payload = info.payload();
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied());
    let message = message.unwrap_or("a panic without words");
    format!("{}: {message}", place.replace('\\', "/"))
}
