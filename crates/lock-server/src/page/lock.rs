//! `GET /locks/KEY`: the holders, the queue and the history of a key.

use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use lock_core::{Cursor, InspectQuery, LockKey};
use maud::{Markup, html};
use serde::Deserialize;

use super::failure::Failure;
use super::layout::Document;
use super::lock_view::LockView;
use super::site::Site;
use super::{address, chain};
use crate::Role;
use crate::access::Caller;

/// Holders and waiters on a page.
const PAGE: NonZeroU32 = NonZeroU32::new(100).expect("100 is not zero");

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asks {
    /// Only where the path cannot name it.
    key: Option<LockKey>,
    after: Option<Cursor>,
    /// Number of waiters on the pages before.
    #[serde(default)]
    before: u64,
    notice: Option<String>,
}

pub(super) async fn by_path(
    State(site): State<Arc<Site>>,
    caller: Caller,
    key: Result<Path<String>, PathRejection>,
    asks: Result<Query<Asks>, QueryRejection>,
) -> Result<Document, Failure> {
    let (Path(key), Query(asks)) = (key?, asks?);
    page(&site, caller, LockKey::parse(key)?, asks).await
}

pub(super) async fn by_query(
    State(site): State<Arc<Site>>,
    caller: Caller,
    asks: Result<Query<Asks>, QueryRejection>,
) -> Result<Document, Failure> {
    let Query(mut asks) = asks?;
    let key = asks.key.take().ok_or_else(Failure::unknown_page)?;
    page(&site, caller, key, asks).await
}

async fn page(site: &Site, caller: Caller, key: LockKey, asks: Asks) -> Result<Document, Failure> {
    caller.needs_key(&key)?;
    site.wake();
    let service = &site.service;
    let mut query = InspectQuery::new(key.clone()).with_limit(PAGE);
    let veil = service.veil_of(caller.clone(), "queue");
    query.cursor = asks.after.map(|after| veil.after(after)).transpose()?;
    let mut seen = service.bounded(service.store.inspect(&query)).await?;
    // The waits of a holder are for other keys.
    let waits = match caller.sees_all() {
        true => chain::waits(service, &key, &seen.value.leases).await,
        false => Ok(Vec::new()),
    };
    seen.value = veil.inspection(seen.value);
    let can_operate = caller.needs(Role::Operate).is_ok();
    let kept = site.feed.of_key(&key, seen.observed_at);
    let offers_events = service.store.capabilities().events;
    let view =
        LockView { can_operate, seen: &seen, before: asks.before, waits, kept, offers_events };
    Ok(Document {
        title: format!("{key} - Locks"),
        changes: Some(format!("/page/changes?key={}", address::encoded(key.as_str()))),
        head: html! {
            h1 { bdi { (key) } }
            @if let Some(notice) = asks.notice.as_deref().and_then(done) { (notice) }
        },
        summary: view.summary(),
        content: view.content(),
    })
}

/// What an act did; the address carries its name alone, and never a text.
fn done(name: &str) -> Option<Markup> {
    let text = match name {
        "evicted" => "The holder was evicted and told why.",
        "cancelled" => "The request was taken out of the queue and told why.",
        "transferred" => "The lease was transferred.",
        _ => return None,
    };
    Some(html! { p.done role="status" { (text) } })
}
