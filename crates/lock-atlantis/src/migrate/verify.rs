//! The verification of a migration: a pure comparison of the records read from both sides.

use std::collections::{HashMap, HashSet};

use super::{Finding, Record, Records, Report};

/// Adds the remaining differences of the sides to the report, and returns the records of the source
/// that the target has to the byte.
pub(super) fn compare(report: &mut Report, source: Records, target: &Records) -> Vec<Record> {
    // A store that distinguishes more records than Atlantis may have several under one key.
    let mut held: HashMap<&str, Vec<Vec<u8>>> = HashMap::new();
    for record in &target.records {
        held.entry(record.key()).or_default().push(record.encode());
    }
    let known: HashSet<_> = report.moved.iter().chain(&report.same).cloned().collect();
    let skipped = report.conflicts.iter().chain(&report.refused);
    let skipped: HashSet<_> = skipped.map(|finding| finding.record.clone()).collect();
    let present: HashSet<_> = source.records.iter().map(|record| record.name().clone()).collect();

    let mut differences = Vec::new();
    let mut agreed = Vec::new();
    for record in source.records {
        let there = held.get(record.key());
        if there.is_some_and(|there| there.contains(&record.encode())) {
            agreed.push(record);
        } else if !skipped.contains(record.name()) {
            let reason = match (known.contains(record.name()), there.is_some()) {
                (false, _) => "it appeared at the source meanwhile",
                (true, true) => "it changed meanwhile, at the source or at the target",
                (true, false) => "it disappeared from the target meanwhile",
            };
            differences.push(Finding::new(record.name(), reason));
        }
    }
    let gone = known.difference(&present);
    differences
        .extend(gone.map(|name| Finding::new(name, "it disappeared from the source meanwhile")));
    differences.sort_by(|one, other| one.record.cmp(&other.record));
    report.differences = differences;

    let is_other =
        |record: &&Record| !present.contains(record.name()) && !known.contains(record.name());
    report.others = target.records.iter().filter(is_other).count();
    agreed
}
