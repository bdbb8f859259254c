//! The differential test itself: sound stores pass, and rare faults are found.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

#[path = "differential/fault.rs"]
mod fault;
#[path = "differential/naive.rs"]
mod naive;
#[path = "differential/store.rs"]
mod store;

use fault::Fault;
use lock_memory::MemoryBackend;
use lock_testkit::differential::{Failure, Report, Settings, Tally, check};
use store::Naive;

async fn check_naive(settings: &Settings, fault: Fault) -> Result<Report, Failure> {
    check(settings, async |clock| Naive::new(clock, fault)).await
}

#[tokio::test]
async fn the_store_in_memory_agrees() {
    let settings = Settings::from_env().with_notices();
    let checked = check(&settings, async |clock| MemoryBackend::with_clock(clock)).await;
    let report = checked.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{report}");
}

#[tokio::test]
async fn the_store_in_memory_agrees_on_events() {
    let settings = Settings::from_env().with_sequences(500).with_events().with_notices();
    let checked = check(&settings, async |clock| MemoryBackend::with_clock(clock)).await;
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

#[tokio::test]
async fn the_rules_in_their_simplest_form_agree() {
    let settings = Settings::from_env().with_events().with_notices();
    check_naive(&settings, Fault::None).await.unwrap_or_else(|failure| panic!("{failure}"));
}

/// A kind of answer that never occurs is never compared.
#[tokio::test]
async fn every_kind_of_answer_occurs() {
    let settings = Settings::default().with_sequences(1_000).with_seed(1);
    let report = check_naive(&settings, Fault::None).await;
    let tally = report.unwrap_or_else(|failure| panic!("{failure}")).tally;
    let rare: Vec<_> = Tally::kinds().iter().filter(|kind| tally.of(kind) < 20).collect();
    assert!(rare.is_empty(), "{rare:?} of\n{tally}");
    assert_eq!(tally.of("unknown"), 0, "a kind is not known here yet");
}

#[tokio::test]
async fn every_fault_is_found() {
    let settings = Settings::default().with_sequences(4_000).with_seed(1);
    let settings = settings.with_shrinks(0).with_events().with_notices();
    let mut unfound = Vec::new();
    for fault in Fault::ALL.iter().copied() {
        match check_naive(&settings, fault).await {
            Ok(_) => unfound.push(fault),
            Err(failure) => println!("{fault:?}: after {} sequences", failure.agreed),
        }
    }
    assert!(unfound.is_empty(), "not found: {unfound:?}");
}

#[tokio::test]
async fn same_seed_finds_the_same_again() {
    let settings = Settings::default().with_seed(7).with_shrinks(0);
    let first = check_naive(&settings, Fault::LeasesEndLate).await.unwrap_err();
    let settings = settings.with_sequences(1).with_seed(first.seed);
    let again = check_naive(&settings, Fault::LeasesEndLate).await.unwrap_err();
    assert_eq!(again.disagreement.to_string(), first.disagreement.to_string());
}

#[tokio::test]
async fn disagreement_is_made_short() {
    let settings = Settings::default().with_seed(3);
    let failure = check_naive(&settings, Fault::TransfersForgetTheGiver).await.unwrap_err();
    println!("{failure}");
    let text = failure.to_string();
    assert!(failure.disagreement.commands() <= 12, "{text}");
    assert!(text.contains("the machine answers Transfer(Timed {"), "{text}");
    assert!(text.contains("value: Ended(Transferred {"), "{text}");
}
