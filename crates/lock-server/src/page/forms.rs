//! `GET /page/ACT`: the form of an act, which shows what it is about to end.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use lock_core::{FencingToken, InspectQuery, Inspection, LockKey, RequestId, Timed};
use maud::{Markup, html};
use serde::Deserialize;

use super::csrf::Visitor;
use super::failure::Failure;
use super::layout::Document;
use super::security::FORM_REFERRER;
use super::site::Site;
use super::{address, lock_view, time};
use crate::access::Caller;
use crate::problem::Problem;

/// The lease or the waiter that a form is about.
#[derive(Debug, Deserialize)]
pub(super) struct About {
    key: LockKey,
    request: RequestId,
    token: Option<FencingToken>,
}

type Asked = Result<Query<About>, QueryRejection>;

pub(super) async fn evict(
    State(site): State<Arc<Site>>,
    caller: Caller,
    headers: HeaderMap,
    about: Asked,
) -> Result<Response, Failure> {
    let (about, seen) = asked(&site, &caller, about).await?;
    let facts = holder(&about, &seen)?;
    let fields = html! { (by()) (reason()) };
    let effect = "The lease ends at once, its holder is told by whom and why, and the next in the \
                  queue is granted the key. Work of the holder that does not heed the loss goes on.";
    let submit = html! { button.grave type="submit" { "Evict" } };
    Ok(document(
        &site,
        &headers,
        &Form {
            about: &about,
            act: "evict",
            title: "Evict a holder",
            parts: &[html! { (fields) (submit) }],
            facts,
            effect,
        },
    ))
}

pub(super) async fn cancel(
    State(site): State<Arc<Site>>,
    caller: Caller,
    headers: HeaderMap,
    about: Asked,
) -> Result<Response, Failure> {
    let (about, seen) = asked(&site, &caller, about).await?;
    let now = seen.observed_at;
    let waiters = &seen.value.waiters.items;
    let waiter = waiters.iter().find(|waiter| waiter.request == about.request);
    let waiter = waiter.ok_or_else(|| gone(&about, "the request does not wait any more"))?;
    let facts = html! {
        dt { "Waiting" } dd { bdi { (waiter.owner) } ", for " (time::since(waiter.enqueued_at, now)) }
        dt { "Mode" } dd { (lock_view::mode(waiter.mode)) }
        dt { "Head start" } dd { (lock_view::words(waiter.head_start)) }
        dt { "Request" } dd.mono { (waiter.request) }
    };
    let fields = html! {
        (by()) (reason())
        button.grave type="submit" { "Cancel the request" }
    };
    let effect = "The request is evicted from the queue, and its client is told by whom and why. If it \
                  is granted the key before that, nothing happens.";
    Ok(document(
        &site,
        &headers,
        &Form {
            about: &about,
            act: "cancel",
            title: "Cancel a request",
            parts: &[fields],
            facts,
            effect,
        },
    ))
}

pub(super) async fn transfer(
    State(site): State<Arc<Site>>,
    caller: Caller,
    headers: HeaderMap,
    about: Asked,
) -> Result<Response, Failure> {
    let (about, seen) = asked(&site, &caller, about).await?;
    let facts = holder(&about, &seen)?;
    let to_waiter = html! {
        h2 { "To a request that waits" }
        @if seen.value.waiters.items.is_empty() {
            p.empty { "Nobody waits." }
        } @else {
            (by())
            label {
                span { "Request" }
                select name="waiter" required {
                    @for waiter in &seen.value.waiters.items {
                        option value=(waiter.request) {
                            (waiter.owner) " (" (lock_view::mode(waiter.mode)) ")"
                        }
                    }
                }
            }
            button.grave type="submit" { "Transfer" }
        }
    };
    let to_owner = html! {
        h2 { "To an owner that does not wait" }
        (by())
        label { span { "New owner" } input name="owner" required maxlength="1024"; }
        label {
            span { "Request of the new owner, 32 hex digits; random if empty" }
            input.mono name="receiver" maxlength="32" pattern="[0-9a-f]{32}";
        }
        button.grave type="submit" { "Transfer" }
    };
    let effect = "The lease goes to the receiver with a new token, past the queue. The holder is told \
                  by whom and to whom; a transfer carries no reason. Metadata is not handed on to an \
                  owner that does not wait.";
    Ok(document(
        &site,
        &headers,
        &Form {
            about: &about,
            act: "transfer",
            title: "Transfer a lease",
            parts: &[to_waiter, to_owner],
            facts,
            effect,
        },
    ))
}

/// A form as it is shown.
struct Form<'a> {
    about: &'a About,
    act: &'static str,
    title: &'static str,
    facts: Markup,
    effect: &'static str,
    /// One form each.
    parts: &'a [Markup],
}

fn document(site: &Site, headers: &HeaderMap, form: &Form<'_>) -> Response {
    let known = Visitor::of(headers);
    let visitor = known.clone().unwrap_or_else(Visitor::new);
    let csrf = site.csrf.token(&visitor);
    let About { key, request, token } = form.about;
    let content = html! {
        h1 { (form.title) }
        dl.facts { dt { "Key" } dd { a href=(address::of_key(key)) { bdi { (key) } } } (form.facts) }
        p { (form.effect) }
        @for part in form.parts {
            form.act method="post" action={ "/page/" (form.act) } {
                input type="hidden" name="csrf" value=(csrf);
                input type="hidden" name="key" value=(key);
                input type="hidden" name="request" value=(request);
                @if let Some(token) = token { input type="hidden" name="token" value=(token); }
                (part)
            }
        }
        p { a href=(address::of_key(key)) { "Back without a change" } }
    };
    let mut response = ([FORM_REFERRER], Document::fixed(form.title, content)).into_response();
    if known.is_none() {
        response.headers_mut().insert(header::SET_COOKIE, visitor.cookie());
    }
    response
}

/// The request or lease that the form is about, and the state of its key.
async fn asked(
    site: &Site,
    caller: &Caller,
    about: Asked,
) -> Result<(About, Timed<Inspection>), Failure> {
    let Query(about) = about?;
    caller.needs_key(&about.key)?;
    let most = InspectQuery::MAX_LIMIT.try_into().expect("not zero");
    let query = InspectQuery::new(about.key.clone()).with_limit(most);
    let seen = site.service.bounded(site.service.store.inspect(&query)).await?;
    Ok((about, seen))
}

fn holder(about: &About, seen: &Timed<Inspection>) -> Result<Markup, Failure> {
    let is_it =
        |it: &&lock_core::Lease| it.request == about.request && Some(it.token) == about.token;
    let lease = seen.value.leases.iter().find(is_it);
    let lease = lease.ok_or_else(|| gone(about, "the lease is not held any more"))?;
    let (now, waiting) = (seen.observed_at, seen.value.waiting);
    Ok(html! {
        dt { "Holder" } dd { bdi { (lease.owner) } ", for " (time::since(lease.granted_at, now)) }
        dt { "Mode" } dd { (lock_view::mode(lease.mode)) }
        dt { "Time left" } dd { (time::left(lease.expires_at, now)) }
        dt { "Request" } dd.mono { (lease.request) }
        dt { "Token" } dd.mono { (lease.token) }
        dt { "Waiting" } dd {
            (waiting)
            @if let Some(next) = seen.value.waiters.items.first() { ", next " bdi { (next.owner) } }
        }
    })
}

fn gone(about: &About, detail: &str) -> Failure {
    Failure::of_act(Problem::new(StatusCode::GONE, "not_held", detail), &about.key)
}

fn by() -> Markup {
    html! {
        label {
            span { "Your name" }
            input name="by" required maxlength="1024" autocomplete="username";
        }
    }
}

fn reason() -> Markup {
    html! {
        label { span { "Reason" } input name="reason" required maxlength="1024" autocomplete="off"; }
    }
}
