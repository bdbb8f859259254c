//! Stalls: keys that are free while somebody waits for them, for longer than a hand-off may take.

use super::check::{Broken, Finding, Verdict};
use super::clock::{Moment, millis};
use super::history::{Disturbance, History, Request};
use super::spans::Spans;

/// The longest time that a key may stay free while a living waiter waits and the store answers.
pub(super) const LONGEST: Moment = millis(100);

/// A living waiter takes a free key at once.
///
/// A key counts as free when nobody has a guard and no dead or disturbed process may have a lease
/// of it. A waiter that was granted the lock and does not know counts as waiting: so a lost notice
/// is a stall. A waiter is alive from an answer that it waits on, as long as its process is well.
/// After a disturbance, the next answer shows that commands arrive; notices may arrive later, and
/// until then what is granted is noticed at the next heartbeat.
pub(super) fn check(requests: &[Request], history: &History, verdict: &mut Verdict) {
    let taken = requests.iter().flat_map(|request| taken(request, history));
    let waiting = requests.iter().flat_map(|request| waiting(request, history));
    let silences = Spans::union(history.silences.iter().copied());
    let waiting = Spans::union(waiting).without(&silences);
    let free = waiting.without(&Spans::union(taken));
    let deaf: Vec<_> = requests.iter().flat_map(|request| deaf(request, history)).collect();
    for (from, to) in free.iter() {
        let is_deaf = deaf.iter().any(|span| span.0 < to && from < span.1);
        let limit = if is_deaf { LONGEST + history.terms.heartbeat() } else { LONGEST };
        verdict.times_free += 1;
        if !is_deaf {
            verdict.longest_stall = verdict.longest_stall.max(to - from);
        }
        if to - from > limit {
            let waits = requests
                .iter()
                .filter(|it| self::waiting(it, history).any(|span| span.0 < to && from < span.1));
            let names: Vec<_> =
                waits.map(|it| format!("{:016x} of worker {}", it.id, it.worker)).collect();
            let detail = format!(
                "key {} is free for {} ms while {} wait: {}",
                requests[0].key,
                (to - from) / 1_000,
                names.len(),
                names.join(", ")
            );
            verdict.findings.push(Finding::new(Broken::Stall, from, detail));
        }
    }
}

fn disturbances<'a>(
    request: &'a Request,
    history: &'a History,
) -> impl Iterator<Item = &'a Disturbance> {
    let hits = |it: &&Disturbance| it.worker.is_none_or(|worker| worker == request.worker);
    history.disturbances.iter().filter(hits)
}

/// The times in which the process of the request did not run while it had to.
fn late<'a>(
    request: &'a Request,
    history: &'a History,
) -> impl Iterator<Item = (Moment, Moment)> + 'a {
    let spans = history.workers[request.worker].late_after(request.asked).iter();
    spans.map(|(from, to)| ((*from).max(request.asked), *to))
}

/// The times in which the request may have the key, or block others, without being a waiter that
/// could take it.
fn taken(request: &Request, history: &History) -> Vec<(Moment, Moment)> {
    let mut spans = Vec::new();
    let Request { granted, gave_up, gone, killed, .. } = *request;
    let terms = history.terms;
    // An expiry is noticed at a heartbeat.
    let lapse = terms.bequest() + terms.heartbeat() + LONGEST;
    if let Some(grant) = granted {
        // Granted at once, it has the key from the sending on.
        let sent = request.sent.last().copied().unwrap_or(request.asked);
        let is_direct = request.queued.last().is_none_or(|(_, answered)| *answered < sent);
        let from = if is_direct { sent } else { grant.at };
        let left = grant.over.unwrap_or(grant.at).max(grant.until.min(grant.at + terms.ttl));
        spans.push((from, gone.unwrap_or(left + lapse)));
    }
    if let Some(gave_up) = gave_up {
        spans.push((gave_up, gone.unwrap_or(gave_up + lapse)));
    }
    if let Some(killed) = killed
        && gone.is_none()
    {
        spans.push((killed, killed + lapse));
    }
    let ends = gone.or(killed).unwrap_or(Moment::MAX);
    spans.extend(late(request, history).take_while(|span| span.0 < ends));
    // A request without an answer at that time may have been granted without knowing.
    for it in disturbances(request, history) {
        let is_over = gone.is_some_and(|gone| gone < it.from);
        if is_over || request.asked > it.until {
            continue;
        }
        let certain = [granted.map(|grant| grant.at), gone, waits_again(request, it)];
        let until = certain.into_iter().flatten().filter(|at| *at >= it.until).min();
        spans.push((it.from.max(request.asked), until.unwrap_or(it.until + it.settling + lapse)));
    }
    spans
}

/// The times at which the request is certainly in the queue again after a disturbance.
fn waits_again(request: &Request, disturbance: &Disturbance) -> Option<Moment> {
    request.queued.iter().find(|(sent, _)| *sent >= disturbance.until).map(|(_, at)| *at)
}

/// The times in which the process of the request may miss notices, while it asked for the key.
fn deaf<'a>(
    request: &'a Request,
    history: &'a History,
) -> impl Iterator<Item = (Moment, Moment)> + 'a {
    let end = request.gone.or(request.killed).unwrap_or(Moment::MAX);
    let spans = disturbances(request, history)
        .map(move |it| (it.from.max(request.asked), (it.until + it.settling).min(end)));
    spans.filter(|(from, to)| from < to)
}

/// The times in which the request certainly waits, and its process would read notices.
fn waiting<'a>(
    request: &'a Request,
    history: &'a History,
) -> impl Iterator<Item = (Moment, Moment)> + 'a {
    let ends = [request.granted.map(|it| it.at), request.gave_up, request.gone, request.killed];
    let end = ends.into_iter().flatten().min();
    let mut places = Vec::new();
    for &(_, from) in &request.queued {
        let breaks = request.sent.iter().chain(&request.absent).copied();
        let lost = breaks.filter(|at| *at > from).min();
        let last = request.queued.last().map_or(from, |(_, at)| *at);
        // Without an end it waits as long as it is known to.
        let until = [end, lost].into_iter().flatten().min().unwrap_or(last);
        places.push((from, until));
    }
    let ill = disturbances(request, history).map(|it| {
        let again = waits_again(request, it).unwrap_or(Moment::MAX);
        (it.from, again)
    });
    let late = late(request, history);
    let left = Spans::union(places).without(&Spans::union(ill.chain(late)));
    left.iter().collect::<Vec<_>>().into_iter()
}
