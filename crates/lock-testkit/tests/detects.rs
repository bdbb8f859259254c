//! The test of the suite itself: for every case there is a store that is broken in exactly one
//! way, and the case fails on it.

#[path = "detects/broken.rs"]
mod broken;
#[path = "detects/cached.rs"]
mod cached;
#[path = "detects/fault.rs"]
mod fault;
#[path = "detects/fixture.rs"]
mod fixture;
#[path = "detects/glob.rs"]
mod glob;
#[path = "detects/scenario.rs"]
mod scenario;
#[path = "detects/table.rs"]
mod table;
#[path = "detects/verdict.rs"]
mod verdict;

use fault::Fault;
use fixture::Poor;
use lock_testkit::{TestContext, all_cases};
use table::TABLE;
use verdict::{Verdict, verdict};

#[test]
fn every_case_is_in_the_table_once() {
    let mut cases: Vec<_> = all_cases().iter().map(|case| case.name).collect();
    let mut table: Vec<_> = TABLE.iter().map(|(name, _)| *name).collect();
    cases.sort_unstable();
    table.sort_unstable();
    assert_eq!(table, cases);
}

#[test]
fn every_fault_is_used() {
    let is_used = |fault: &Fault| TABLE.iter().any(|(_, used)| used == fault);
    let unused: Vec<_> = Fault::ALL.iter().filter(|fault| !is_used(fault)).collect();
    let sound = [&Fault::None, &Fault::CachesNothing];
    assert_eq!(unused, sound, "only in the sound stores nothing is to be detected");
}

#[test]
fn every_case_passes_on_a_sound_store() {
    let mut failed = Vec::new();
    for case in all_cases() {
        match verdict(case, Fault::None) {
            Verdict::Passed => {}
            other => failed.push(format!("{}: {other}", case.name)),
        }
    }
    assert!(failed.is_empty(), "{} cases fail:\n{}", failed.len(), failed.join("\n"));
}

#[test]
fn every_case_fails_on_its_fault() {
    let mut undetected = Vec::new();
    for case in all_cases() {
        let Some((_, fault)) = TABLE.iter().find(|(name, _)| *name == case.name) else { continue };
        match verdict(case, *fault) {
            Verdict::Failed(said) => {
                assert!(said.contains(case.name) && said.contains(case.promise), "{said}");
                println!("{}: {fault:?}: {}\n    {said}", case.name, fault.does().trim());
            }
            other => undetected.push(format!("{}: {fault:?}: {other}", case.name)),
        }
    }
    let count = undetected.len();
    assert!(undetected.is_empty(), "{count} faults go undetected:\n{}", undetected.join("\n"));
}

/// On a store that keeps one command to the connection, only the connection case of that command
/// fails.
#[test]
fn what_a_connection_keeps_is_found_by_its_own_case() {
    for fault in Fault::ALL.iter().filter(|fault| fault.caches()) {
        let mut failed = Vec::new();
        for case in all_cases().into_iter().filter(|case| is_about_one_command(case.name)) {
            match verdict(case, *fault) {
                Verdict::Passed => {}
                Verdict::Failed(_) => failed.push(case.name),
                other => panic!("{} on {fault:?}: {other}", case.name),
            }
        }
        let own: Vec<_> =
            TABLE.iter().filter(|(_, it)| it == fault).map(|(name, _)| *name).collect();
        assert_eq!(failed, own, "{fault:?}");
    }
}

fn is_about_one_command(case: &str) -> bool {
    case.starts_with("connections::another_connection_sees_")
}

/// A case whose needs the fixture does not meet is skipped, and neither passes nor fails.
#[test]
fn what_a_fixture_cannot_do_is_skipped() {
    let needs_more = |name: &str| {
        name.starts_with("events::")
            || name.starts_with("clock::jump")
            || (name.starts_with("notices::")
                && !name.ends_with("missed_notice_is_found_by_hearing"))
            || ["handoff::exactly_one_is_notified", "marks::mark_ends"].contains(&name)
            || name == "marks::mark_lasts_as_long_as_the_lease"
    };
    let mut skipped = Vec::new();
    let cases = all_cases();
    for case in cases.iter().filter(|case| needs_more(case.name)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        // Not by `run`, which would report the skip to the runner of these tests.
        let outcome =
            runtime.block_on(async { (case.body)(TestContext::start::<Poor>().await).await });
        skipped.push(format!("{}: {}", case.name, outcome.expect_err(case.name)));
    }
    assert_eq!(skipped.len(), 24, "{skipped:#?}");
    assert!(
        skipped.iter().any(|line| line == "events::expiry_is_an_event: the store gives no events")
    );
}
