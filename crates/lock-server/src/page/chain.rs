//! The waits of a key's holders on other keys, and whom they wait for in turn.

use std::num::NonZeroU32;

use lock_core::{InspectQuery, Lease, LockKey, OwnerId, SessionId, Timestamp, WaitsQuery};
use maud::{Markup, html};

use super::{address, time};
use crate::Service;
use crate::problem::Problem;

/// Holders whose waits are looked up.
const HOLDERS: usize = 5;

/// Waits of one holder that are shown.
const WAITS: NonZeroU32 = NonZeroU32::new(10).expect("10 is not zero");

/// Keys after which a chain is cut.
const LINKS: usize = 5;

/// A wait of a holder for another key.
#[derive(Debug)]
pub(super) struct Wait {
    holder: OwnerId,
    /// Whether the session that holds the key waits, or another one of its owner.
    is_session: bool,
    key: LockKey,
    since: Timestamp,
    /// Holders of the keys down the chain, each with the next key that its session waits for.
    links: Vec<Link>,
    end: End,
}

#[derive(Debug)]
struct Link {
    holder: OwnerId,
    waits_for: Option<LockKey>,
}

/// How a chain ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The last holder does not wait.
    Working,
    /// It leads back to a key of its own.
    Circle,
    /// There may be more.
    Cut,
}

/// Looks up the waits of these holders of the key.
pub(super) async fn waits(
    service: &Service,
    key: &LockKey,
    leases: &[Lease],
) -> Result<Vec<Wait>, Problem> {
    let mut waits = Vec::new();
    let mut asked: Vec<&OwnerId> = Vec::new();
    for lease in leases {
        if asked.len() == HOLDERS {
            break;
        }
        if asked.contains(&&lease.owner) {
            continue;
        }
        asked.push(&lease.owner);
        let query = WaitsQuery::new(lease.owner.clone()).with_limit(WAITS);
        let page = service.bounded(service.store.waits_of(&query)).await?.value;
        for waiter in page.items {
            // A wait for the key itself is in its queue.
            if waiter.key == *key {
                continue;
            }
            let is_session = leases.iter().any(|lease| lease.session == waiter.session);
            let (links, end) = follow(service, key, &waiter.key).await?;
            let (holder, since) = (waiter.owner, waiter.enqueued_at);
            waits.push(Wait { holder, is_session, key: waiter.key, since, links, end });
        }
    }
    Ok(waits)
}

/// Follows the first holder of each key to the key that it waits for.
async fn follow(
    service: &Service,
    start: &LockKey,
    key: &LockKey,
) -> Result<(Vec<Link>, End), Problem> {
    let (mut links, mut seen) = (Vec::new(), vec![start.clone()]);
    let mut key = key.clone();
    while links.len() < LINKS {
        let query = InspectQuery::new(key.clone()).with_limit(NonZeroU32::MIN);
        let lock = service.bounded(service.store.inspect(&query)).await?.value;
        let Some(lease) = lock.leases.into_iter().next() else {
            return Ok((links, End::Working));
        };
        seen.push(key);
        let next = waited_for(service, lease.session).await?;
        links.push(Link { holder: lease.owner, waits_for: next.clone() });
        match next {
            None => return Ok((links, End::Working)),
            Some(next) if seen.contains(&next) => return Ok((links, End::Circle)),
            Some(next) => key = next,
        }
    }
    Ok((links, End::Cut))
}

/// The key that a session waits for.
async fn waited_for(service: &Service, session: SessionId) -> Result<Option<LockKey>, Problem> {
    let query = WaitsQuery::new(session).with_limit(NonZeroU32::MIN);
    let page = service.bounded(service.store.waits_of(&query)).await?.value;
    Ok(page.items.into_iter().next().map(|waiter| waiter.key))
}

/// The waits as a list; nothing without any.
pub(super) fn view(waits: &Result<Vec<Wait>, Problem>, now: Timestamp) -> Markup {
    html! {
        @match waits {
            Err(problem) => {
                h2 { "Waits of the holders" }
                p.failure { "They could not be read: " (problem.detail) }
            }
            Ok(waits) if waits.is_empty() => {}
            Ok(waits) => {
                h2 { "Waits of the holders" }
                ul.chain { @for wait in waits { li { (line(wait, now)) } } }
            }
        }
    }
}

fn line(wait: &Wait, now: Timestamp) -> Markup {
    html! {
        strong { bdi { (wait.holder) } }
        @if !wait.is_session { ", in another session," }
        " has waited for " (link(&wait.key)) " for " (time::since(wait.since, now))
        @for step in &wait.links {
            ", held by " strong { bdi { (step.holder) } }
            @if let Some(key) = &step.waits_for { ", which waits for " (link(key)) }
        }
        @match wait.end {
            End::Working => "."
            End::Circle => { ". " strong.alarm { "The chain leads back to a key in it: a deadlock." } }
            End::Cut => ", and so on."
        }
    }
}

fn link(key: &LockKey) -> Markup {
    html! { a href=(address::of_key(key)) { bdi { (key) } } }
}
