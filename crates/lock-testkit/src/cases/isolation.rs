//! Isolation: keys and owners are compared as exact texts.

use lock_core::{Holder, ListQuery, OwnerId, Ttl};

use super::expect_eq;
use crate::TestContext;

/// Each key is held by an owner of its own and released, without effect on the others.
async fn are_apart(context: &TestContext, keys: &[&str]) {
    let ask = |(number, key): (usize, &&str)| TestContext::ask(key, &format!("owner {number}"));
    let mut held = Vec::new();
    for request in keys.iter().enumerate().map(ask) {
        held.push(context.granted(&request).await);
    }
    for lease in &held {
        expect_eq!(context.only_lease(lease.key.as_str()).await, *lease);
    }
    for lease in &held {
        let again = TestContext::ask(lease.key.as_str(), "another");
        expect_eq!(context.refused(&again).await.holder, Some(Holder::from(lease)));
    }
    let in_order = held.clone();
    held.sort_by_key(|lease| lease.key.clone());
    for lease in &in_order {
        expect_eq!(context.list(ListQuery::all()).await, held);
        context.released(lease).await;
        context.free(lease.key.as_str()).await;
        held.retain(|other| other.key != lease.key);
    }
    expect_eq!(context.list(ListQuery::all()).await, []);
}

/// The characters of patterns are literal.
pub async fn glob_characters_are_plain(context: TestContext) {
    are_apart(
        &context,
        &["a*", "ab", "a?", "a[b]", "*", "?", "[a-z]", "a", "^a$", "a.", "a%", "a_"],
    )
    .await;
}

/// A key that is a prefix of another is another key.
pub async fn prefixes_are_different_keys(context: TestContext) {
    are_apart(&context, &["a", "a/", "a/b", "a/b/", "a/b/c", "a//b", "ab", "/a"]).await;
}

/// Keys that look alike but have other code points are other keys.
pub async fn unicode_keys_are_exact(context: TestContext) {
    let accents = ["\u{e9}", "e\u{301}", "e", "\u{c9}"];
    let likes = ["ß", "ss", "Ω", "\u{2126}", "\u{ff41}", "a", "\u{430}"];
    let signs = ["\u{1f468}\u{200d}\u{1f4bb}", "\u{1f468}\u{1f4bb}", "a\u{200b}", "\u{10ffff}"];
    are_apart(&context, &[&accents[..], &likes, &signs].concat()).await;
}

/// The longest keys and owners differ by their last byte.
pub async fn longest_key_works(context: TestContext) {
    let long = |last: char, most: usize| {
        "ü".repeat(most / 2 - 1) + &"x".repeat(1 + most % 2) + &String::from(last)
    };
    let most = context.expected().key_bytes;
    let (key, other) = (long('1', most), long('2', most));
    are_apart(&context, &[&key, &other, "ü"]).await;
    let (alice, bob) = (long('a', OwnerId::MAX_BYTES), long('b', OwnerId::MAX_BYTES));
    let held = context.granted(&TestContext::ask(&key, &alice)).await;
    context.queued(&TestContext::queueing(&key, &bob)).await;
    expect_eq!(context.waits_of(&bob).await, context.inspect(&key).await.waiters.items);
    expect_eq!(context.waits_of(&alice).await, []);
    let query = ListQuery::all().with_prefix(&key).with_owner(TestContext::owner(&alice));
    expect_eq!(context.list(query).await, [held]);
}

/// The separators that stores use in their own names are literal.
pub async fn separators_are_plain(context: TestContext) {
    let braces = ["{", "}", "{}", "{a}b", "{a}c", "a", ":", "a:", "a:b", "a:b:c", "::"];
    let slashes = ["/", "\\", "a\\", "a\\/", "|", ",", ";", "#", "..", ".", "-", "--", "@", "$1"];
    let quotes = ["'", "\"", "`", "''", "' OR 1=1 --", "\u{2028}", " ", "  ", " a", "a ", "a b"];
    are_apart(&context, &[&braces[..], &slashes, &quotes].concat()).await;
}

/// Upper and lower case are different keys.
pub async fn keys_are_case_sensitive(context: TestContext) {
    are_apart(
        &context,
        &["prod", "Prod", "PROD", "\u{e4}", "\u{c4}", "i", "I", "\u{131}", "\u{130}"],
    )
    .await;
}

/// Similar owners are different owners, and hold and wait separately.
pub async fn owners_are_exact(context: TestContext) {
    let owners = ["alice", "Alice", "alice ", "alice:1", "al*ce", "ali", "\u{e4}", "a\u{308}", "*"];
    for owner in owners {
        let request = TestContext::ask(&format!("key of {owner}"), owner);
        let held = context.granted(&request).await;
        context
            .queued(&TestContext::queueing(request.key.as_str(), &format!("{owner}/next")))
            .await;
        context.queued(&TestContext::queueing("key of alice", owner)).await;
        expect_eq!(held.owner, request.owner);
    }
    for owner in owners {
        let held = context.list(ListQuery::all().with_owner(TestContext::owner(owner))).await;
        let keys: Vec<_> = held.iter().map(|lease| lease.key.as_str()).collect();
        expect_eq!(keys, [format!("key of {owner}")]);
        let waits = context.waits_of(owner).await;
        expect_eq!(waits.len(), 1, "{waits:?}");
        expect_eq!((waits[0].key.as_str(), waits[0].owner.as_str()), ("key of alice", owner));
    }
}

/// The changes of one key do not change what another shows.
pub async fn keys_do_not_affect_each_other(context: TestContext) {
    context.granted(&TestContext::ask("calm", "alice").with_ttl(Ttl::Never)).await;
    context.queued(&TestContext::queueing("calm", "bob")).await;
    let before = context.inspect("calm").await;
    let ask =
        |owner| TestContext::queueing("busy", owner).with_ttl(TestContext::ttl(TestContext::BRIEF));
    let (alice, bob, carol) = (ask("alice"), ask("bob"), ask("carol"));
    context.granted(&alice).await;
    context.queued(&bob).await;
    context.queued(&carol).await;
    context.dequeued(&bob).await;
    context.elapse(TestContext::BRIEF).await;
    context.granted(&carol).await;
    expect_eq!(context.evict("busy").await.leases.len(), 1);
    context.granted(&ask("alice")).await;
    context.elapse(TestContext::BRIEF).await;
    context.free("busy").await;
    let after = context.inspect("calm").await;
    expect_eq!((after.leases, after.waiters), (before.leases, before.waiters));
}

/// Two thousand keys that were held, waited for and released are free and not listed.
pub async fn many_keys_leave_nothing_behind(context: TestContext) {
    let key = |number: u32| format!("key/{number}");
    for number in 0..2000 {
        let held = context.granted(&TestContext::ask(&key(number), "alice")).await;
        if number % 10 == 0 {
            let waiting = TestContext::queueing(&key(number), "bob");
            context.queued(&waiting).await;
            context.dequeued(&waiting).await;
        }
        context.released(&held).await;
    }
    expect_eq!(context.list(ListQuery::all()).await, []);
    expect_eq!(context.waits_of("bob").await, []);
    for number in (0..2000).step_by(50) {
        context.free(&key(number)).await;
    }
}
