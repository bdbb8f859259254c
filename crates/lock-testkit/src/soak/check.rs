//! The checks of every history: one function for each promise.

use std::collections::BTreeMap;
use std::fmt;

use super::clock::{Moment, millis};
use super::history::{History, Request};
use super::stall;

/// The smallest difference of ranks that is checked: the store counts milliseconds.
const RANKS_APART: Moment = millis(10);

/// The broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Broken {
    /// Two believed at once in leases that exclude each other.
    Overlap,
    /// A later lease of a key has no higher token.
    TokenOrder,
    /// A waiter was overtaken by a request of worse rank.
    Overtaking,
    /// A free key was not taken by a living waiter in time.
    Stall,
    /// Something was left in the store.
    Leftover,
    /// A worker failed on its own.
    Failure,
}

/// A broken promise, and the requests concerned.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) broken: Broken,
    pub(super) at: Moment,
    detail: String,
}

impl Finding {
    pub(super) fn new(broken: Broken, at: Moment, detail: String) -> Self {
        Self { broken, at, detail }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}: {}", self.broken, self.at, self.detail)
    }
}

/// The result of a check.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) findings: Vec<Finding>,
    /// The longest time that a free key was not taken by a living waiter.
    pub(super) longest_stall: Moment,
    /// The number of leases beside another that the store had lost with its data.
    pub(super) excused: usize,
    /// The number of times that a key was free while somebody waited, without an excuse. A notice
    /// that arrives before the answer to the release leaves no time in between.
    pub(super) times_free: usize,
}

/// Checks every promise.
pub(super) fn check(history: &History) -> Verdict {
    let mut by_key: BTreeMap<u8, Vec<Request>> = BTreeMap::new();
    for request in history.requests() {
        by_key.entry(request.key).or_default().push(request);
    }
    let mut verdict = Verdict::default();
    let findings = &mut verdict.findings;
    for left in &history.leftovers {
        findings.push(Finding::new(Broken::Leftover, 0, left.clone()));
    }
    for failure in &history.failures {
        findings.push(Finding::new(Broken::Failure, 0, failure.clone()));
    }
    for requests in by_key.values() {
        overlaps(requests, &history.wipes, &mut verdict);
        tokens(requests, &history.wipes, &mut verdict.findings);
        overtaking(requests, &mut verdict.findings);
        stall::check(requests, history, &mut verdict);
    }
    verdict
}

/// Returns `true` if the store lost its data in between.
fn is_wiped(wipes: &[Moment], from: Moment, to: Moment) -> bool {
    wipes.iter().any(|wipe| (from..=to).contains(wipe))
}

fn show(request: &Request) -> String {
    let Request { id, worker, key, permits, .. } = request;
    let token = request.granted.map_or(0, |grant| grant.token);
    format!("{id:016x} of worker {worker} (key {key}, {permits} permits, token {token})")
}

/// No two holders believe at once in leases that exclude each other, whatever happened to them,
/// unless the store lost its data in between.
fn overlaps(requests: &[Request], wipes: &[Moment], verdict: &mut Verdict) {
    let mut beliefs: Vec<_> = requests.iter().filter_map(|it| Some((it.belief()?, it))).collect();
    beliefs.sort_unstable_by_key(|(span, _)| *span);
    let mut alive: Vec<((Moment, Moment), &Request)> = Vec::new();
    for (span, request) in beliefs {
        alive.retain(|(other, _)| other.1 > span.0);
        let is_lost = |other: &&((Moment, Moment), &Request)| is_wiped(wipes, other.0.0, span.0);
        let (lost, others): (Vec<_>, Vec<_>) = alive.iter().partition(is_lost);
        for (_, holder) in lost {
            verdict.excused += usize::from(span.0 < span.1);
            // The resource refuses the one that the store forgot.
            if let (Some(first), Some(second)) = (holder.granted, request.granted)
                && second.token <= first.token
            {
                let detail = format!("{} came before {}", show(holder), show(request));
                verdict.findings.push(Finding::new(Broken::TokenOrder, span.0, detail));
            }
        }
        let differs = others.iter().find(|(_, it)| it.permits != request.permits);
        let is_full = others.len() >= request.permits.max(1) as usize;
        if let Some((other, holder)) =
            differs.or(others.first()).filter(|_| is_full || differs.is_some())
            && span.0 < span.1
        {
            let detail = format!(
                "{} holds from {} to {}, and {} from {} to {}",
                show(holder),
                other.0,
                other.1,
                show(request),
                span.0,
                span.1
            );
            verdict.findings.push(Finding::new(Broken::Overlap, span.0, detail));
        }
        alive.push((span, request));
    }
}

/// A request that was asked after another had a guard has a higher token; of exclusive leases the
/// later guard has the higher token; no two have the same token.
fn tokens(requests: &[Request], wipes: &[Moment], findings: &mut Vec<Finding>) {
    let mut granted: Vec<_> = requests.iter().filter_map(|it| Some((it.granted?, it))).collect();
    let mut broken = |at, first: &Request, second: &Request| {
        let detail = format!("{} came before {}", show(first), show(second));
        findings.push(Finding::new(Broken::TokenOrder, at, detail));
    };
    granted.sort_unstable_by_key(|(grant, _)| grant.token);
    for pair in granted.windows(2).filter(|pair| pair[0].0.token == pair[1].0.token) {
        broken(pair[1].0.at, pair[0].1, pair[1].1);
    }
    granted.sort_unstable_by_key(|(grant, _)| grant.at);
    let mut highest: Option<(u64, &Request)> = None;
    let mut until_now = granted.iter().peekable();
    for request in requests {
        while let Some((grant, holder)) = until_now.next_if(|(grant, _)| grant.at < request.asked) {
            if highest.is_none_or(|(token, _)| token < grant.token) {
                highest = Some((grant.token, holder));
            }
        }
        if let Some((grant, (token, holder))) = request.granted.zip(highest)
            && grant.token < token
        {
            broken(grant.at, holder, request);
        }
    }
    for pair in granted.windows(2) {
        let ((first, one), (second, other)) = (pair[0], pair[1]);
        let are_exclusive = one.permits == 0 && other.permits == 0;
        // A guard whose lease was over when it was made is lost, and not relied on.
        let are_good = first.at < first.until && second.at < second.until;
        if are_exclusive
            && are_good
            && second.token < first.token
            && first.at >= other.asked
            && !is_wiped(wipes, other.asked, second.at)
        {
            broken(second.at, one, other);
        }
    }
}

/// A waiter is not overtaken by a request of worse rank that was certainly granted after the waiter
/// had its place, and before the waiter lost or left it: so by no request that came later by more
/// than the difference of their head starts.
fn overtaking(requests: &[Request], findings: &mut Vec<Finding>) {
    let mut granted: Vec<_> = requests.iter().filter_map(|it| Some((it.granted?, it))).collect();
    granted.sort_unstable_by_key(|(grant, _)| grant.at);
    for waiter in requests {
        let Some((place, still)) = place(waiter) else { continue };
        let until = waiter.granted.map_or(still, |grant| grant.at);
        let from = granted.partition_point(|(grant, _)| grant.at < place);
        for (grant, other) in granted[from..].iter().take_while(|(grant, _)| grant.at < until) {
            let came_first = match waiter.granted {
                Some(own) => grant.token < own.token,
                None => grant.at < still,
            };
            let is_worse = rank(place, waiter) + i128::from(RANKS_APART) < rank(other.asked, other);
            if came_first && is_worse && other.not_before() > place {
                let detail = format!("{} before {}", show(other), show(waiter));
                findings.push(Finding::new(Broken::Overtaking, grant.at, detail));
            }
        }
    }
}

fn rank(moment: Moment, request: &Request) -> i128 {
    i128::from(moment) - i128::from(request.head_start)
}

/// The first and the last moment at which a waiter certainly had its queue position. `None` if it
/// lost one and may have another than the first.
fn place(waiter: &Request) -> Option<(Moment, Moment)> {
    let (_, place) = *waiter.queued.first()?;
    let (still, _) = *waiter.queued.last()?;
    (waiter.absent.is_empty() && waiter.sent.iter().all(|sent| *sent <= place))
        .then_some((place, still))
}

#[cfg(test)]
mod tests;
