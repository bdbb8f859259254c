//! `ls`, `show`, `wait` and `watch`: what there is and what happens.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use lock_core::{
    Change, EventFilter, Inspection, Lease, ListQuery, LockKey, Mode, SessionId, Timed, Timestamp,
    Ttl, Watched,
};
use tokio::time::{Instant, sleep};

use crate::exit::{Exit, Failure};
use crate::output::{Output, print_json, print_text, span, time};
use crate::store::Store;
use crate::table::table;

/// The longest pause before a key is looked at again.
const GLANCE: Duration = Duration::from_secs(2);

pub(crate) async fn ls(
    store: &Store,
    prefix: Option<String>,
    out: Output,
) -> Result<Exit, Failure> {
    let manager = store.manager(None)?;
    let mut query = ListQuery::all();
    if let Some(prefix) = prefix {
        query = query.with_prefix(prefix);
    }
    let mut leases = Vec::new();
    let now = loop {
        let page = manager.list(&query).await?;
        leases.extend(page.value.items);
        match page.value.next {
            Some(next) => query = query.after(next),
            None => break page.observed_at,
        }
    };
    if out.is_json {
        leases.iter().try_for_each(print_json)?;
        return Ok(Exit::Done);
    }
    let rows = leases.iter().map(|lease| {
        let [owner, mode, token, held, left] = holder_row(lease, now);
        [lease.key.to_string(), owner, mode, token, held, left]
    });
    print_text(&table(["KEY", "OWNER", "MODE", "TOKEN", "HELD", "LEFT"], rows.collect()))?;
    Ok(Exit::Done)
}

pub(crate) async fn show(store: &Store, key: LockKey, out: Output) -> Result<Exit, Failure> {
    let seen = store.manager(None)?.inspect(key).await?;
    out.show(&seen.value, || shown(&seen))?;
    Ok(Exit::Done)
}

pub(crate) async fn wait(
    store: &Store,
    key: LockKey,
    wait: Option<Duration>,
    out: Output,
) -> Result<Exit, Failure> {
    let manager = store.manager(None)?;
    let give_up_at = wait.and_then(|wait| Instant::now().checked_add(wait));
    let mut pause = Duration::from_millis(50);
    loop {
        let seen = manager.inspect(key.clone()).await?;
        if seen.value.holders == 0 {
            return Ok(Exit::Done);
        }
        let left = give_up_at.map(|limit| limit.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            out.warn(&in_the_way(&seen, None));
            return Ok(Exit::Contended);
        }
        sleep(left.map_or(pause, |left| left.min(pause))).await;
        pause = (pause * 2).min(GLANCE);
    }
}

pub(crate) async fn watch(
    store: &Store,
    prefix: Option<String>,
    out: Output,
) -> Result<Exit, Failure> {
    let filter = EventFilter::all().with_prefix(prefix.unwrap_or_default());
    let mut events = store.manager(None)?.watch(&filter, None).await?;
    while let Some(watched) = poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
        match watched {
            Watched::Event(event) => {
                out.show(&event, || {
                    format!("{} {} {}", time(event.at), event.key(), happened(&event.change))
                })?;
            }
            Watched::Missed(count) => out.warn(&format!("{count} events were missed")),
            _ => {}
        }
    }
    Ok(Exit::Done)
}

/// Describes a change, for people.
fn happened(change: &Change) -> String {
    match change {
        Change::Granted(lease) => format!("granted to {} under token {}", lease.owner, lease.token),
        Change::Released(lease) => format!("released by {}", lease.owner),
        Change::Expired(lease) => format!("expired for {}", lease.owner),
        Change::Queued(waiter) => format!("queued for {}", waiter.owner),
        Change::Cancelled(waiter) => format!("cancelled for {}", waiter.owner),
        Change::Lapsed(waiter) => format!("lapsed for {}", waiter.owner),
        Change::Evicted { lease, by, reason } => {
            format!("evicted from {} by {by}: {reason}", lease.owner)
        }
        Change::WaiterEvicted { waiter, by, reason } => {
            format!("waiter {} evicted by {by}: {reason}", waiter.owner)
        }
        Change::Transferred { from, to } => {
            format!("transferred from {} to {}", from.owner, to.owner)
        }
        other => format!("{other:?}"),
    }
}

fn holder_row(lease: &Lease, now: Timestamp) -> [String; 5] {
    [
        lease.owner.to_string(),
        mode(lease.mode),
        lease.token.to_string(),
        span(lease.age(now)),
        lease.remaining(now).map_or_else(|| "until released".to_owned(), span),
    ]
}

fn mode(mode: Mode) -> String {
    match mode {
        Mode::Exclusive => "exclusive".to_owned(),
        Mode::Upgrade { .. } => "upgrade".to_owned(),
        Mode::Shared { limit: None } => "shared".to_owned(),
        Mode::Shared { limit: Some(limit) } => format!("1 of {limit}"),
    }
}

/// The holders and the queue of a key, for people.
fn shown(seen: &Timed<Inspection>) -> String {
    let (now, seen) = (seen.observed_at, &seen.value);
    if seen.holders == 0 && seen.waiting == 0 {
        return format!("{} is free", seen.key);
    }
    let holders = seen.leases.iter().map(|lease| {
        let metadata = lease.metadata.iter().map(|(name, value)| format!("{name}={value}"));
        let [owner, mode, token, held, left] = holder_row(lease, now);
        [owner, mode, token, held, left, metadata.collect::<Vec<_>>().join(" ")]
    });
    let columns = ["HOLDER", "MODE", "TOKEN", "HELD", "LEFT", "METADATA"];
    let mut text = table(columns, holders.collect());
    if seen.waiting > 0 {
        let waiters = seen.waiters.items.iter().enumerate().map(|(place, waiter)| {
            let waits = Duration::from_micros(
                now.as_micros().saturating_sub(waiter.enqueued_at.as_micros()),
            );
            [
                (place + 1).to_string(),
                waiter.owner.to_string(),
                mode(waiter.mode),
                span(waits),
                span(waiter.head_start.span()),
                waiter.request.to_string(),
            ]
        });
        let columns = ["PLACE", "WAITER", "MODE", "WAITS", "HEAD START", "REQUEST"];
        // Writing to a string does not fail.
        let _ = write!(text, "\n\n{}", table(columns, waiters.collect()));
        let hidden = seen.waiting - seen.waiters.items.len().min(seen.waiting as usize) as u64;
        if hidden > 0 {
            let _ = write!(text, "\nand {hidden} more");
        }
    }
    text
}

/// Describes in one line the holder or waiter that blocks a request.
pub(crate) fn in_the_way(seen: &Timed<Inspection>, session: Option<SessionId>) -> String {
    let (now, seen) = (seen.observed_at, &seen.value);
    let mut text = format!("waiting for {}", seen.key);
    let place = session.and_then(|id| seen.waiters.items.iter().position(|it| it.session == id));
    // Writing to a string does not fail.
    if let Some(place) = place {
        let _ = write!(text, ", place {} of {}", place + 1, seen.waiting);
    }
    match seen.leases.as_slice() {
        [] => {}
        [lease, others @ ..] => {
            let _ = write!(text, "; held by {} for {}", lease.owner, span(lease.age(now)));
            match (lease.ttl, lease.remaining(now)) {
                (Ttl::Never, _) | (_, None) => {}
                (_, Some(left)) => drop(write!(text, ", {} left unless renewed", span(left))),
            }
            if !others.is_empty() {
                let _ = write!(text, " and {} more", seen.holders.saturating_sub(1));
            }
        }
    }
    if let Some(ahead) = place.and_then(|place| place.checked_sub(1)) {
        let _ = write!(text, "; behind {}", seen.waiters.items[ahead].owner);
    }
    text
}
