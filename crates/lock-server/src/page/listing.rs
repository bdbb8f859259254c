//! `GET /`: the locks that are held, page by page, and the search for them.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use lock_core::{Cursor, InspectQuery, Inspection, ListQuery, LockKey, OwnerId, Timed, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::task::JoinSet;

use super::address;
use super::failure::Failure;
use super::layout::Document;
use super::lock_view::mode;
use super::search::Search;
use super::site::Site;
use super::time;
use crate::Service;
use crate::access::Caller;
use crate::problem::Problem;

/// Leases that one step of the listing reads, which a page shows if they are all asked for.
const PAGE: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

/// Leases that one step of a search reads.
const STEP: NonZeroU32 = NonZeroU32::new(500).expect("500 is not zero");

/// Number of steps after which a search that finds little shows what it has.
const STEPS: usize = 100;

/// Keys after which a search shows what it has.
const ENOUGH: usize = 50;

/// Leases of one key that are shown.
const HOLDERS: NonZeroU32 = NonZeroU32::new(3).expect("3 is not zero");

#[derive(Debug, Deserialize)]
pub(super) struct Asks {
    #[serde(default)]
    q: String,
    #[serde(default)]
    owner: String,
    after: Option<Cursor>,
}

/// What a page shows.
#[derive(Debug)]
struct Found {
    locks: Vec<Inspection>,
    now: Timestamp,
    next: Option<Cursor>,
}

pub(super) async fn listing(
    State(site): State<Arc<Site>>,
    caller: Caller,
    asks: Result<Query<Asks>, QueryRejection>,
) -> Result<Document, Failure> {
    let Query(asks) = asks?;
    let found = find(&site.service, caller, &asks).await?;
    Ok(Document {
        title: "Locks".to_owned(),
        changes: Some("/page/changes".to_owned()),
        head: html! { h1 { "Locks" } (form(&asks)) },
        summary: summary(&found),
        content: content(&asks, &found),
    })
}

/// Reads as many steps of the store's listing as it takes, and inspects the keys at once.
async fn find(service: &Service, caller: Caller, asks: &Asks) -> Result<Found, Failure> {
    let search = Search::parse(&asks.q);
    let (limit, steps) = if search.is_selective() { (STEP, STEPS) } else { (PAGE, 1) };
    let mut query =
        ListQuery::all().with_limit(limit).with_prefix(caller.narrowed(search.prefix().to_owned()));
    if !asks.owner.trim().is_empty() {
        query = query.with_owner(OwnerId::parse(asks.owner.trim())?);
    }
    let veil = service.veil_of(caller, "page");
    query.cursor = asks.after.clone().map(|after| veil.after(after)).transpose()?;
    let mut keys = BTreeSet::new();
    for _ in 0..steps {
        let page = service.bounded(service.store.list(&query)).await?.value;
        let covered = page.items.into_iter().filter(|lease| veil.covers(&lease.key));
        let matching = covered.filter(|lease| search.matches(lease.key.as_str()));
        keys.extend(matching.map(|lease| lease.key));
        query.cursor = page.next;
        if query.cursor.is_none() || keys.len() >= ENOUGH {
            break;
        }
    }
    let seen = inspect(service, keys, HOLDERS).await?;
    let now = seen.iter().map(|seen| seen.observed_at).max().unwrap_or_default();
    let held = seen.into_iter().map(|seen| seen.value).filter(|lock| lock.holders > 0);
    let mut locks: Vec<_> = held.collect();
    locks.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Found { locks, now, next: veil.next(query.cursor) })
}

/// Inspects keys at once, each with this many leases and waiters.
pub(super) async fn inspect(
    service: &Service,
    keys: BTreeSet<LockKey>,
    limit: NonZeroU32,
) -> Result<Vec<Timed<Inspection>>, Problem> {
    let mut inspections = JoinSet::new();
    for key in keys {
        let service = service.clone();
        inspections.spawn(async move {
            let query = InspectQuery::new(key).with_limit(limit);
            service.bounded(service.store.inspect(&query)).await
        });
    }
    inspections.join_all().await.into_iter().collect()
}

fn form(asks: &Asks) -> Markup {
    html! {
        form.search role="search" method="get" action="/" {
            label {
                span { "Key" }
                input type="search" name="q" value=(asks.q) placeholder="part, or a pattern with * and ?";
            }
            label {
                span { "Owner" }
                input type="search" name="owner" value=(asks.owner) placeholder="whole name";
            }
            button type="submit" { "Search" }
        }
    }
}

fn summary(found: &Found) -> String {
    let count = found.locks.len();
    let waiting: u64 = found.locks.iter().map(|lock| lock.waiting).sum();
    let more = if found.next.is_some() { " on this page" } else { "" };
    match count {
        0 => format!("no locks{more}"),
        1 => format!("1 lock{more}, {waiting} waiting"),
        _ => format!("{count} locks{more}, {waiting} waiting"),
    }
}

fn content(asks: &Asks, found: &Found) -> Markup {
    let next = found.next.as_ref().map(|next| page(asks, next.as_str()));
    html! {
        @if found.locks.is_empty() {
            p.empty { (empty(asks, found)) }
        } @else {
            table.locks {
                caption {
                    (summary(found))
                    span.asof { "as of " (time::clock(found.now)) }
                }
                thead {
                    tr {
                        th scope="col" { "Key" }
                        th.mode scope="col" { "Mode" }
                        th scope="col" { "Holder" }
                        th.number.age scope="col" { "Held for" }
                        th.number scope="col" { "Time left" }
                        th.number scope="col" { "Waiting" }
                    }
                }
                @for lock in &found.locks { (rows(lock, found.now)) }
            }
        }
        @if asks.after.is_some() || next.is_some() {
            nav.pages aria-label="Pages of the list" {
                @if asks.after.is_some() {
                    a href=(page(asks, "")) { "First page" }
                }
                @if let Some(next) = &next { a #next rel="next" href=(next) { "Next page" } }
            }
        }
    }
}

/// The address of a page of the same search.
fn page(asks: &Asks, after: &str) -> String {
    let parts = [("q", asks.q.as_str()), ("owner", &asks.owner), ("after", after)];
    let parts = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let parts: Vec<_> =
        parts.map(|(name, value)| format!("{name}={}", address::encoded(value))).collect();
    format!("/?{}", parts.join("&"))
}

fn empty(asks: &Asks, found: &Found) -> &'static str {
    let is_search = !asks.q.trim().is_empty() || !asks.owner.trim().is_empty();
    match (is_search, found.next.is_some()) {
        (_, true) => "Nothing found so far. The next page goes on with the search.",
        (true, false) if asks.after.is_some() => "Nothing more found.",
        (true, false) => "Nothing held matches the search.",
        (false, false) => "Nothing is held.",
    }
}

/// The rows of a key, one for each holder that is shown.
fn rows(lock: &Inspection, now: Timestamp) -> Markup {
    let shown = lock.leases.len() as u64;
    let more = lock.holders.saturating_sub(shown);
    let span = (shown + u64::from(more > 0)).max(1);
    let span = (span > 1).then_some(span);
    html! {
        tbody {
            @for (index, lease) in lock.leases.iter().enumerate() {
                tr {
                    @if index == 0 {
                        th scope=(if span.is_some() { "rowgroup" } else { "row" }) rowspan=[span] {
                            a href=(address::of_key(&lock.key)) { bdi { (lock.key) } }
                        }
                        td.mode rowspan=[span] { (mode(lease.mode)) }
                    }
                    td { bdi { (lease.owner) } }
                    td.number.age { (time::since(lease.granted_at, now)) }
                    td.number { (time::left(lease.expires_at, now)) }
                    @if index == 0 {
                        td.number rowspan=[span] { (lock.waiting) }
                    }
                }
            }
            @if more > 0 {
                tr { td.more colspan="3" { "and " (more) " more" } }
            }
        }
    }
}
