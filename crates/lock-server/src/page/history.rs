//! The kept events of a key.

use lock_core::{ChangeKind, Timestamp};
use maud::{Markup, html};

use super::feed::{KEPT, Kept};
use super::record::Record;
use super::time;

/// Events that are shown.
const SHOWN: usize = 50;

/// The events of a key, the last first, or why there are none.
pub(super) fn view(kept: &Kept, offers_events: bool, now: Timestamp) -> Markup {
    html! {
        h2 #history { "History" }
        @match kept.since {
            _ if !offers_events => p.empty { "None: this store records no events." },
            None => {
                p.empty {
                    "None yet: events are kept from the first use of this page on, and dropped ten \
                     minutes after the last."
                }
            }
            Some(since) => {
                p.note {
                    "Events since " (time::clock(since)) ", at most " (KEPT) " of all keys together."
                }
                @if kept.records.is_empty() {
                    p.empty { "Nothing happened to this key since then." }
                } @else {
                    div.scroll tabindex="0" role="region" aria-labelledby="history" {
                        (table(kept, now))
                    }
                }
            }
        }
    }
}

fn table(kept: &Kept, now: Timestamp) -> Markup {
    html! {
        table.history {
            thead {
                tr {
                    th scope="col" { "Time" }
                    th.number scope="col" { "Ago" }
                    th scope="col" { "Event" }
                    th scope="col" { "Owner" }
                    th scope="col" { "Details" }
                }
            }
            tbody {
                @for record in kept.records.iter().take(SHOWN) {
                    tr {
                        td.clock { (time::clock(record.at)) }
                        td.number { (time::since(record.at, now)) }
                        td { (event(record.kind)) }
                        td { bdi { (record.owner) } }
                        td { (details(record)) }
                    }
                }
            }
        }
        @if kept.records.len() > SHOWN {
            p.note { "and " (kept.records.len() - SHOWN) " earlier ones" }
        }
    }
}

const fn event(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Queued => "queued",
        ChangeKind::Granted => "granted",
        ChangeKind::Released => "released",
        ChangeKind::Expired => "expired",
        ChangeKind::Cancelled => "cancelled",
        ChangeKind::Lapsed => "lapsed",
        ChangeKind::Transferred => "transferred",
        ChangeKind::Evicted => "evicted",
        ChangeKind::WaiterEvicted => "evicted from the queue",
        _ => "changed",
    }
}

fn details(record: &Record) -> Markup {
    html! {
        @if let Some((to, _)) = &record.to { "to " bdi { (to) } " " }
        @if let Some((by, reason)) = &record.ended { "by " bdi { (by) } ": " bdi { (reason) } " " }
        @if let Some(token) = record.token { span.mono { "token " (token) } }
    }
}
