//! The holders and the queue of a key as tables.

use lock_core::{
    AgeingStep, HeadStart, Inspection, Lease, Mode, Priority, Timed, Timestamp, Waiter,
};
use maud::{Markup, html};

use super::chain::Wait;
use super::feed::Kept;
use super::overtaking::{self, Turn};
use super::{address, chain, history, time};
use crate::problem::Problem;

/// What the page of a key shows.
#[derive(Debug)]
pub(super) struct LockView<'a> {
    /// Whether the reader may act.
    pub(super) can_operate: bool,
    pub(super) seen: &'a Timed<Inspection>,
    /// Number of waiters on the pages before.
    pub(super) before: u64,
    pub(super) waits: Result<Vec<Wait>, Problem>,
    pub(super) kept: Kept,
    pub(super) offers_events: bool,
}

impl LockView<'_> {
    pub(super) fn summary(&self) -> String {
        let Inspection { holders, waiting, .. } = self.seen.value;
        match holders {
            0 => "free".to_owned(),
            1 => format!("1 holder, {waiting} waiting"),
            _ => format!("{holders} holders, {waiting} waiting"),
        }
    }

    pub(super) fn content(&self) -> Markup {
        let lock = &self.seen.value;
        html! {
            p.summary {
                (self.summary())
                span.asof { "as of " (time::clock(self.seen.observed_at)) }
            }
            h2 #holders { "Holders" }
            @if lock.leases.is_empty() {
                p.empty { "Nobody holds this key." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="holders" { (self.holders()) }
            }
            (chain::view(&self.waits, self.seen.observed_at))
            h2 #queue { "Queue" }
            @if lock.waiters.items.is_empty() {
                p.empty { "Nobody waits." }
            } @else {
                div.scroll tabindex="0" role="region" aria-labelledby="queue" { (self.queue()) }
                (self.pages())
                (self.turns())
            }
            (history::view(&self.kept, self.offers_events, self.seen.observed_at))
        }
    }

    fn holders(&self) -> Markup {
        let lock = &self.seen.value;
        let more = lock.holders.saturating_sub(lock.leases.len() as u64);
        html! {
            table.holders {
                thead {
                    tr {
                        th scope="col" { "Owner" }
                        th.mode scope="col" { "Mode" }
                        th.number scope="col" { "Held for" }
                        th.number scope="col" { "Time left" }
                        th.request scope="col" { "Request and token" }
                        th scope="col" { "Acts" }
                    }
                }
                tbody {
                    @for lease in &lock.leases { (holder(lease, self.seen.observed_at, self.can_operate)) }
                    @if more > 0 { tr { td.more colspan="6" { "and " (more) " more" } } }
                }
            }
        }
    }

    fn queue(&self) -> Markup {
        let waiters = &self.seen.value.waiters.items;
        html! {
            table.queue {
                thead {
                    tr {
                        th.number scope="col" { "Place" }
                        th scope="col" { "Owner" }
                        th.mode scope="col" { "Mode" }
                        th.number scope="col" { "Waiting for" }
                        th.number.head scope="col" { "Head start" }
                        th.rank scope="col" { abbr title="Time of arrival less the head start: the order of the queue" { "Rank" } }
                        th scope="col" { "Passed by" }
                        th.request scope="col" { "Request" }
                        th scope="col" { "Acts" }
                    }
                }
                tbody {
                    @for (index, place) in (0..waiters.len()).zip(self.before + 1..) {
                        (self.waiter(place, &waiters[..index], &waiters[index]))
                    }
                }
            }
        }
    }

    fn waiter(&self, place: u64, ahead: &[Waiter], waiter: &Waiter) -> Markup {
        let Waiter { key, request, head_start, .. } = waiter;
        let rank = waiter.enqueued_at.as_micros();
        let rank = rank.saturating_sub(Timestamp::default().after(head_start.span()).as_micros());
        let passes = overtaking::passes(ahead, waiter);
        html! {
            tr {
                td.number { (place) }
                th scope="row" { bdi { (waiter.owner) } }
                td.mode { (mode(waiter.mode)) }
                td.number { (time::since(waiter.enqueued_at, self.seen.observed_at)) }
                td.number.head { (words(*head_start)) }
                td.clock.rank { (time::clock(Timestamp::from_micros(rank))) }
                td.passed {
                    @for pass in passes.iter().take(3) {
                        div {
                            bdi { (pass.owner) } ", came " (time::words(pass.later)) " later, head start "
                            (time::words(pass.head_start.span()))
                        }
                    }
                    @if passes.len() > 3 { div { "and " (passes.len() - 3) " more" } }
                }
                td.mono.request { (request) }
                td.acts {
                    @if self.can_operate {
                        a id={ "cancel-" (request) } href=(address::of_waiter("cancel", key, *request)) {
                            "Cancel" span.unseen { " the request of " bdi { (waiter.owner) } }
                        }
                    }
                }
            }
        }
    }

    fn pages(&self) -> Markup {
        let lock = &self.seen.value;
        html! {
            @if lock.waiters.next.is_some() || self.before > 0 {
                nav.pages aria-label="Pages of the queue" {
                    @if self.before > 0 { a href=(address::of_key(&lock.key)) { "Head of the queue" } }
                    @if let Some(next) = &lock.waiters.next {
                        @let before = self.before + lock.waiters.items.len() as u64;
                        a rel="next" href={ (address::of_key_with(&lock.key, "after", next.as_str())) "&before=" (before) } {
                            "Further waiters"
                        }
                    }
                }
                p.note { "Requests are compared with those on the same page." }
            }
        }
    }

    /// Why holders were granted the key after the first of the queue had come.
    fn turns(&self) -> Markup {
        let lock = &self.seen.value;
        let oldest = lock.waiters.items.iter().min_by_key(|waiter| waiter.enqueued_at);
        let turns: Vec<_> = oldest
            .into_iter()
            .flat_map(|waiter| lock.leases.iter().map(move |lease| (waiter, lease)))
            .filter_map(|(waiter, lease)| {
                Some((waiter, lease, overtaking::turn(lease, waiter, &self.kept)?))
            })
            .collect();
        html! {
            @if !turns.is_empty() {
                ul.turns {
                    @for (waiter, lease, turn) in turns {
                        li {
                            strong { bdi { (lease.owner) } } " was granted the key "
                            (time::words(lease.granted_at.since(waiter.enqueued_at))) " after "
                            strong { bdi { (waiter.owner) } } " came: " (reason(turn)) "."
                        }
                    }
                }
            }
        }
    }
}

fn holder(lease: &Lease, now: Timestamp, can_operate: bool) -> Markup {
    let Lease { key, request, token, .. } = lease;
    let act = |name| address::of_lease(name, key, *request, *token);
    html! {
        tr {
            th scope="row" { bdi { (lease.owner) } }
            td.mode { (mode(lease.mode)) }
            td.number { (time::since(lease.granted_at, now)) }
            td.number { (time::left(lease.expires_at, now)) }
            td.mono.request { (request) br; "token " (token) }
            td.acts {
                @if can_operate {
                    a id={ "evict-" (request) } href=(act("evict")) {
                        "Evict" span.unseen { " " bdi { (lease.owner) } }
                    }
                    a id={ "transfer-" (request) } href=(act("transfer")) {
                        "Transfer" span.unseen { " the lease of " bdi { (lease.owner) } }
                    }
                }
            }
        }
    }
}

/// The mode in words.
pub(super) fn mode(mode: Mode) -> Markup {
    html! {
        @match mode {
            Mode::Exclusive => "exclusive",
            Mode::Upgrade { .. } => "upgrade",
            Mode::Shared { limit: None } => "shared",
            Mode::Shared { limit: Some(limit) } => { "shared, at most " (limit) }
        }
    }
}

/// The head start, with the priority that has it by default.
pub(super) fn words(head_start: HeadStart) -> String {
    let step = AgeingStep::default();
    let mut priorities = Priority::ALL.into_iter();
    let span = time::words(head_start.span());
    match priorities.find(|priority| priority.head_start(step) == head_start) {
        Some(priority) => format!("{span} ({priority})"),
        None => span,
    }
}

fn reason(turn: Turn) -> String {
    match turn {
        Turn::CameEarlier => "it came earlier and stood before it".to_owned(),
        Turn::HeadStart(head_start) => {
            format!("it came later, with a head start of {}", time::words(head_start.span()))
        }
        Turn::SharedAtOnce => {
            "it came later with a larger head start, and shares the key with those that held it"
                .to_owned()
        }
        Turn::AtOnce => "it came later, with a larger head start".to_owned(),
        Turn::Transferred => "the lease was transferred to it, past the queue".to_owned(),
        Turn::Unknown => "it came earlier, had a larger head start or received the lease by a \
                          transfer; the events that tell which are not kept"
            .to_owned(),
    }
}
