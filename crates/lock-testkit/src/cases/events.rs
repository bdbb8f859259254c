//! Events: the changes of a key, for watchers, if the store offers events.

mod ends;

use std::future::poll_fn;
use std::time::Duration;

use lock_core::{
    Change, ChangeKind, ChangeKinds, EventCursor, EventFilter, EventStream, LockEvent, Watched,
};

use super::expect_eq;
use crate::{Outcome, TestContext};

pub use ends::*;

async fn watch(context: &TestContext, filter: EventFilter) -> EventStream {
    watch_after(context, filter, None).await
}

async fn watch_after(
    context: &TestContext,
    filter: EventFilter,
    after: Option<&EventCursor>,
) -> EventStream {
    context.connect().await.watch(&filter, after).await.expect("the store gives events")
}

/// The next event, which must arrive soon.
async fn next(events: &mut EventStream) -> LockEvent {
    let next = poll_fn(|cx| events.as_mut().poll_next(cx));
    match tokio::time::timeout(Duration::from_secs(5), next).await {
        Ok(Some(Watched::Event(event))) => event,
        Ok(other) => panic!("expected an event, got {other:?}"),
        Err(_) => panic!("expected an event, got none within 5 seconds"),
    }
}

/// A watcher of a key sees its changes, in order and with the leases concerned.
pub async fn events_record_every_change_of_a_key(context: TestContext) -> Outcome {
    context.needs_events()?;
    let mut events = watch(&context, EventFilter::all()).await;
    let (alice, bob) = (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    let held = context.granted(&alice).await;
    context.queued(&bob).await;
    let waiting = context.only_waiter("key").await;
    context.released(&held).await;
    let handed = context.only_lease("key").await;
    let claimed = context.granted(&bob).await;
    context.released(&claimed).await;
    let first = next(&mut events).await;
    expect_eq!((first.at, first.change), (held.granted_at, Change::Granted(held.clone())));
    let second = next(&mut events).await;
    expect_eq!((second.at, second.change), (waiting.enqueued_at, Change::Queued(waiting.clone())));
    expect_eq!(next(&mut events).await.change, Change::Released(held.clone()));
    let fourth = next(&mut events).await;
    expect_eq!((fourth.at, fourth.change), (handed.granted_at, Change::Granted(handed.clone())));
    expect_eq!(next(&mut events).await.change, Change::Released(claimed.clone()));
    Ok(())
}

/// A watch after the cursor of an event sees what followed that event, each event once.
pub async fn watch_resumes_after_a_cursor(context: TestContext) -> Outcome {
    context.needs_events()?;
    let mut events = watch(&context, EventFilter::all()).await;
    let mut story = Vec::new();
    for key in ["a", "b", "c"] {
        let held = context.granted(&TestContext::ask(key, "alice")).await;
        context.released(&held).await;
        story.extend([next(&mut events).await, next(&mut events).await]);
    }
    for (seen, event) in (1..).zip(&story) {
        let filter = EventFilter::all();
        let mut resumed = watch_after(&context, filter, Some(&event.cursor)).await;
        for expected in &story[seen..] {
            expect_eq!(next(&mut resumed).await, *expected, "after {seen} events");
        }
    }
    let last = story.last().expect("six events").cursor.clone();
    let mut resumed = watch_after(&context, EventFilter::all(), Some(&last)).await;
    let held = context.granted(&TestContext::ask("d", "alice")).await;
    expect_eq!(next(&mut resumed).await.change, Change::Granted(held.clone()));
    Ok(())
}

/// A watcher sees the kinds, keys and owners that it asked for, and no others.
pub async fn events_are_filtered(context: TestContext) -> Outcome {
    context.needs_events()?;
    let kinds = ChangeKinds::NONE.with(ChangeKind::Released);
    let mut released = watch(&context, EventFilter::all().with_kinds(kinds)).await;
    let mut prefixed = watch(&context, EventFilter::all().with_prefix("a*")).await;
    let mut of_bob =
        watch(&context, EventFilter::all().with_owner(TestContext::owner("bob"))).await;
    for (key, owner) in [("ab", "alice"), ("b", "bob2"), ("a*b", "bob"), ("a", "Bob")] {
        let held = context.granted(&TestContext::ask(key, owner)).await;
        context.released(&held).await;
        let (granted, given_back) = (Change::Granted(held.clone()), Change::Released(held));
        expect_eq!(next(&mut released).await.change, given_back);
        if key == "a*b" {
            for events in [&mut prefixed, &mut of_bob] {
                expect_eq!(next(events).await.change, granted);
                expect_eq!(next(events).await.change, given_back);
            }
        }
    }
    Ok(())
}
