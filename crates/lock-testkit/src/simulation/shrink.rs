//! The smallest part of a plan that still fails.

use std::time::Duration;

use super::plan::Plan;

/// Leaves out as much of a plan as `fails` still holds for, until `is_time_up`.
pub(super) fn shrink(
    plan: Plan,
    mut fails: impl FnMut(&Plan) -> bool,
    mut is_time_up: impl FnMut() -> bool,
) -> Plan {
    let mut smallest = plan;
    loop {
        let before = size(&smallest);
        smallest = without(smallest, |plan| &mut plan.faults, &mut fails, &mut is_time_up);
        smallest = without(smallest, |plan| &mut plan.jobs, &mut fails, &mut is_time_up);
        smallest = shorter(smallest, &mut fails);
        if size(&smallest) == before || is_time_up() {
            return smallest;
        }
    }
}

fn size(plan: &Plan) -> (usize, usize, Duration) {
    (plan.faults.len(), plan.jobs.len(), plan.busy)
}

/// Leaves out halves, quarters and so on of one list of the plan.
fn without<T>(
    plan: Plan,
    list: impl Fn(&mut Plan) -> &mut Vec<T>,
    fails: &mut impl FnMut(&Plan) -> bool,
    is_time_up: &mut impl FnMut() -> bool,
) -> Plan {
    let mut smallest = plan;
    let mut chunk = list(&mut smallest).len().div_ceil(2);
    while chunk > 0 {
        let mut from = 0;
        while from < list(&mut smallest).len() && !is_time_up() {
            let mut tried = smallest.clone();
            let items = list(&mut tried);
            let end = (from + chunk).min(items.len());
            items.drain(from..end);
            if fails(&tried) {
                smallest = tried;
            } else {
                from += chunk;
            }
        }
        chunk /= 2;
    }
    smallest
}

/// Ends the busy time with the last event.
fn shorter(plan: Plan, fails: &mut impl FnMut(&Plan) -> bool) -> Plan {
    let jobs = plan.jobs.iter().map(|job| job.at);
    let faults = plan.faults.iter().map(|fault| fault.at + fault.lasts);
    let end = jobs.chain(faults).max().unwrap_or_default() + Duration::from_millis(1);
    if end < plan.busy {
        let tried = Plan { busy: end, ..plan.clone() };
        if fails(&tried) {
            return tried;
        }
    }
    plan
}
