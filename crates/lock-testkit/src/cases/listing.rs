//! Listing: every lease that is alive, page by page.

use std::num::NonZeroU32;
use std::slice;
use std::time::Duration;

use lock_core::{AcquireRequest, Cursor, ErrorKind, Lease, ListQuery, Mode, Operation, RequestId};

use super::expect_eq;
use crate::TestContext;

fn pages_of(limit: u32) -> ListQuery {
    ListQuery::all().with_limit(NonZeroU32::new(limit).expect("a page holds something"))
}

/// Acquires all keys, and returns the leases in the order in which the store lists them.
async fn hold(
    context: &TestContext,
    requests: impl IntoIterator<Item = AcquireRequest>,
) -> Vec<Lease> {
    let mut leases = Vec::new();
    for request in requests {
        leases.push(context.granted(&request).await);
    }
    leases.sort_by_key(|lease| (lease.key.clone(), lease.request));
    leases
}

/// Fifty leases on pages of seven are each listed once, as they were granted.
pub async fn every_lease_is_listed_once(context: TestContext) {
    let held =
        hold(&context, (0..50).map(|n| TestContext::ask(&format!("key/{n}"), "alice"))).await;
    expect_eq!(context.list(pages_of(7)).await, held);
    expect_eq!(context.list(pages_of(50)).await, held);
    expect_eq!(context.list(ListQuery::all()).await, held);
}

/// A prefix is literal, whatever characters it or the keys have.
pub async fn listing_filters_by_prefix(context: TestContext) {
    let keys =
        ["a*b/1", "a*b/2", "axb/1", "a", "A*b", "a?", "a?b", "a[x]", "ax", "a\\*b", "ä*", "*"];
    let held = hold(&context, keys.map(|key| TestContext::ask(key, "alice"))).await;
    for prefix in ["", "a", "a*", "a*b/", "a?", "a[x", "[", "a\\", "*", "?", "ä", "A", "a*b/1", "b"]
    {
        let listed = context.list(pages_of(2).with_prefix(prefix)).await;
        let lease_name = |lease: &&Lease| lease.key.as_str().starts_with(prefix);
        expect_eq!(listed, held.iter().filter(lease_name).cloned().collect::<Vec<_>>(), "{prefix}");
    }
}

/// Only the leases of exactly the named owner are listed.
pub async fn listing_filters_by_owner(context: TestContext) {
    let owners = ["alice", "alice2", "Alice", "al*", "alice:x"];
    let ask = |owner| {
        [("x", owner), ("y", owner)]
            .map(|(key, owner): (&str, &str)| TestContext::ask(&format!("{key}/{owner}"), owner))
    };
    let held = hold(&context, owners.into_iter().flat_map(ask)).await;
    for owner in owners.map(TestContext::owner) {
        let listed = context.list(pages_of(1).with_owner(owner.clone())).await;
        let theirs: Vec<_> = held.iter().filter(|lease| lease.owner == owner).cloned().collect();
        expect_eq!(listed, theirs, "{owner}");
        let listed = context.list(ListQuery::all().with_owner(owner).with_prefix("y/")).await;
        expect_eq!(listed, &theirs[1..]);
    }
    expect_eq!(context.list(ListQuery::all().with_owner(TestContext::owner("bob"))).await, []);
}

/// A request that waits is not listed until it is granted.
pub async fn waiters_are_not_listed(context: TestContext) {
    let (alice, bob) = (TestContext::ask("key", "alice"), TestContext::queueing("key", "bob"));
    let held = context.granted(&alice).await;
    context.queued(&bob).await;
    expect_eq!(context.list(ListQuery::all()).await, slice::from_ref(&held));
    expect_eq!(context.list(ListQuery::all().with_owner(bob.owner.clone())).await, []);
    context.released(&held).await;
    let held = context.granted(&bob).await;
    expect_eq!(context.list(ListQuery::all()).await, [held]);
}

/// A lease that is held from the first page to the last is listed, whatever happens in between:
/// others come and go, and its own end moves both ways.
pub async fn lease_held_throughout_is_listed_despite_changes(context: TestContext) {
    let passing = |n: u32| TestContext::ask(&format!("key/{n}/passing"), "bob");
    let held =
        hold(&context, (0..30).map(|n| TestContext::ask(&format!("key/{n}"), "alice"))).await;
    hold(&context, (0..10).map(passing)).await;
    let (mut query, mut listed) = (pages_of(4), Vec::<RequestId>::new());
    for turn in 0.. {
        let page = context.store().list(&query).await.expect("list answers").value;
        listed.extend(page.items.iter().map(|lease| lease.request));
        let Some(next) = page.next else { break };
        query = query.after(next);
        expect_eq!(context.evict(&format!("key/{turn}/passing")).await.leases.len(), 1);
        hold(&context, [passing(10 + turn)]).await;
        for (n, lease) in (1..).zip(&held).skip(turn as usize % 3).step_by(3) {
            let ttl = TestContext::ttl(Duration::from_secs(20 + n * 7 % 40));
            context.renewed_for(lease, ttl).await;
        }
    }
    for lease in held {
        assert!(listed.contains(&lease.request), "{} is missing", lease.key);
    }
}

/// A cursor of another store is refused as invalid.
pub async fn foreign_cursor_is_refused(context: TestContext) {
    let held = hold(&context, (0..3).map(|n| TestContext::ask(&format!("key/{n}"), "alice"))).await;
    for text in ["", "no cursor of any store", "ünüsable".repeat(9).as_str()] {
        let query = ListQuery::all().after(Cursor::new(text.to_owned()));
        let error = context.store().list(&query).await.expect_err("the cursor is refused");
        expect_eq!((error.kind(), error.operation()), (ErrorKind::InvalidInput, Operation::List));
        assert!(!error.is_unknown(), "nothing was done");
    }
    expect_eq!(context.list(pages_of(2)).await, held);
}

/// A lease that is over is not listed any more.
pub async fn over_leases_are_not_listed(context: TestContext) {
    let ttl = TestContext::ttl(TestContext::BRIEF);
    let brief = |n| TestContext::ask(&format!("key/{n}"), "alice").with_ttl(ttl);
    hold(&context, (0..5).map(brief)).await;
    let lasting = hold(&context, [TestContext::ask("key/lasting", "alice")]).await;
    context.elapse(TestContext::BRIEF).await;
    expect_eq!(context.list(pages_of(2)).await, lasting);
    expect_eq!(
        context.list(ListQuery::all().with_owner(TestContext::owner("alice"))).await,
        lasting
    );
}

/// Leases that share a key are each listed, also when a page ends between them.
pub async fn shared_leases_are_listed_each(context: TestContext) {
    let ask = |owner| TestContext::ask("key", owner).with_mode(Mode::READER);
    let mut held = hold(&context, ["alice", "bob", "bob", "carol", "dave"].map(ask)).await;
    held.extend(hold(&context, [TestContext::ask("other", "alice")]).await);
    expect_eq!(context.list(pages_of(1)).await, held);
    expect_eq!(context.list(pages_of(2)).await, held);
    let bobs = context.list(pages_of(1).with_owner(TestContext::owner("bob"))).await;
    expect_eq!(bobs.len(), 2);
}
