//! `GET /queues`: the pull requests that wait for projects, by the names of Atlantis.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use lock_compat::{ProjectName, ProjectQueue, PullName};
use lock_core::{Cursor, ListQuery, OwnerId, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;

use super::failure::Failure;
use super::layout::Document;
use super::listing::inspect;
use super::site::Site;
use super::{address, time};
use crate::Service;
use crate::access::Caller;

/// Leases that one step of the listing reads.
const STEP: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

/// Number of steps after which a page shows what it has.
const STEPS: usize = 20;

/// Queues after which a page shows what it has.
const ENOUGH: usize = 50;

/// Waiters of one queue that are shown.
const WAITERS: NonZeroU32 = NonZeroU32::new(3).expect("3 is not zero");

#[derive(Debug, Deserialize)]
pub(super) struct Asks {
    after: Option<Cursor>,
}

/// What a page shows.
#[derive(Debug, Default)]
struct Found {
    queues: Vec<ProjectQueue>,
    now: Timestamp,
    next: Option<Cursor>,
}

pub(super) async fn queues(
    State(site): State<Arc<Site>>,
    caller: Caller,
    asks: Result<Query<Asks>, QueryRejection>,
) -> Result<Document, Failure> {
    let Query(asks) = asks?;
    let is_first = asks.after.is_none();
    let found = find(&site.service, caller, asks).await?;
    Ok(Document {
        title: "Queues - Locks".to_owned(),
        changes: Some("/page/changes".to_owned()),
        head: html! { h1 { "Queues of pull requests" } },
        summary: summary(&found),
        content: content(&found, is_first),
    })
}

/// Reads steps of the store's listing until there are enough queues in which somebody waits.
async fn find(service: &Service, caller: Caller, asks: Asks) -> Result<Found, Failure> {
    let prefix = caller.narrowed(ProjectName::PREFIX.to_owned());
    let mut query = ListQuery::all().with_limit(STEP).with_prefix(prefix);
    let veil = service.veil_of(caller, "queues");
    query.cursor = asks.after.map(|after| veil.after(after)).transpose()?;
    let mut found = Found::default();
    for _ in 0..STEPS {
        let page = service.bounded(service.store.list(&query)).await?.value;
        let keys = page.items.into_iter().map(|lease| lease.key);
        let keys: BTreeSet<_> = keys.filter(|key| veil.covers(key)).collect();
        for seen in inspect(service, keys, WAITERS).await? {
            found.now = found.now.max(seen.observed_at);
            let queue = ProjectQueue::of(&seen.map(|lock| veil.inspection(lock)));
            found.queues.extend(queue.filter(|queue| queue.waiting > 0));
        }
        query.cursor = page.next;
        if query.cursor.is_none() || found.queues.len() >= ENOUGH {
            break;
        }
    }
    found.queues.sort_by(|one, other| one.key.cmp(&other.key));
    found.next = veil.next(query.cursor);
    Ok(found)
}

fn summary(found: &Found) -> String {
    let (count, more) =
        (found.queues.len(), if found.next.is_some() { " on this page" } else { "" });
    let waiting: u64 = found.queues.iter().map(|queue| queue.waiting).sum();
    match count {
        0 => format!("no queues{more}"),
        1 => format!("1 queue{more}, {waiting} waiting"),
        _ => format!("{count} queues{more}, {waiting} waiting"),
    }
}

fn content(found: &Found, is_first: bool) -> Markup {
    html! {
        @if found.queues.is_empty() {
            p.empty {
                @if found.next.is_some() {
                    "Nobody waits so far. The next page goes on."
                } @else if is_first {
                    "No pull request waits for a project."
                } @else {
                    "Nobody else waits."
                }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Queues" {
                table.locks {
                    caption {
                        (summary(found))
                        span.asof { "as of " (time::clock(found.now)) }
                    }
                    thead {
                        tr {
                            th scope="col" { "Project" }
                            th scope="col" { "Host" }
                            th scope="col" { "Holder" }
                            th.number scope="col" { "Held for" }
                            th.number scope="col" { "Waiting" }
                            th scope="col" { "Next, and waiting for" }
                        }
                    }
                    tbody { @for queue in &found.queues { (row(queue)) } }
                }
            }
        }
        @if !is_first || found.next.is_some() {
            nav.pages aria-label="Pages of the list" {
                @if !is_first { a href="/queues" { "First page" } }
                @if let Some(next) = &found.next {
                    a #next rel="next" href={ "/queues?after=" (address::encoded(next.as_str())) } {
                        "Next page"
                    }
                }
            }
        }
    }
}

fn row(queue: &ProjectQueue) -> Markup {
    let ProjectQueue { key, name, holder, waiting, waiters, .. } = queue;
    let more = waiting.saturating_sub(waiters.len() as u64);
    html! {
        tr {
            th scope="row" {
                a href=(address::of_key(key)) { bdi { (name) } }
            }
            td { bdi { (name.host) } }
            td {
                @if let Some(holder) = holder {
                    (who(name, holder.pull.as_ref(), &holder.owner))
                    @if holder.is_unclaimed { ", not yet claimed" }
                }
            }
            td.number { @if let Some(holder) = holder { (time::words(holder.held)) } }
            td.number { (waiting) }
            td {
                @for waiter in waiters {
                    div {
                        (who(name, waiter.pull.as_ref(), &waiter.owner)) ", "
                        (time::words(waiter.waited))
                    }
                }
                @if more > 0 { div { "and " (more) " more" } }
            }
        }
    }
}

/// The number of a pull request of the project's repository, and the whole name of anybody else.
fn who(name: &ProjectName, pull: Option<&PullName>, owner: &OwnerId) -> Markup {
    let own = pull.filter(|pull| pull.repo_full_name == name.project.repo_full_name);
    html! {
        @match own.filter(|pull| pull.host == name.host) {
            Some(pull) => { "#" (pull.num) }
            None => bdi { (owner) },
        }
    }
}
