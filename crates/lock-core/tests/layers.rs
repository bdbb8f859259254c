//! The decorators: what a prefix hides, and what a trace shows.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

mod common;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use common::manager;
use lock_core::layer::{Prefixed, Traced};
use lock_core::{
    AcquireRequest, Acquisition, EventFilter, InspectQuery, KeepAlive, Lease, LeaseName, ListQuery,
    LockBackend, LockInspector, LockKey, Metadata, OwnerId, RenewRequest, Renewal, RequestId,
    Result, Timed, Ttl, WaitsQuery, Watched,
};
use lock_memory::MemoryBackend;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

fn prefixed(store: &MemoryBackend) -> Prefixed<MemoryBackend> {
    Prefixed::new(store.clone(), "team-a/").unwrap()
}

fn ask(key: &str, owner: &str) -> AcquireRequest {
    let (key, owner) = (LockKey::parse(key).unwrap(), OwnerId::parse(owner).unwrap());
    AcquireRequest::new(RequestId::random(), key, owner)
}

/// The leases of all pages.
async fn list(store: &impl LockInspector) -> Vec<Lease> {
    let (mut query, mut leases) = (ListQuery::all(), Vec::new());
    loop {
        let page = store.list(&query).await.unwrap().value;
        leases.extend(page.items);
        let Some(next) = page.next else { return leases };
        query = query.after(next);
    }
}

#[tokio::test(start_paused = true)]
async fn prefix_is_put_before_every_key_and_never_shown() {
    let store = MemoryBackend::new();
    let below = prefixed(&store);
    let (first, second) = (ask("key", "alice"), ask("key", "bob").queueing(KeepAlive::default()));
    let Acquisition::Granted(lease) = below.acquire(&first).await.unwrap().value else {
        panic!("held")
    };
    assert_eq!(lease.key, first.key);
    let Acquisition::Queued(position) = below.acquire(&second).await.unwrap().value else {
        panic!("free")
    };
    assert_eq!(position.holder.unwrap().token, lease.token);
    let inspection = below.inspect(&InspectQuery::new(first.key.clone())).await.unwrap().value;
    assert_eq!((&inspection.key, &inspection.leases[0]), (&first.key, &lease));
    assert_eq!(inspection.waiters.items[0].key, first.key);
    assert_eq!(
        below.waits_of(&WaitsQuery::new(second.owner)).await.unwrap().value.items[0].key,
        first.key
    );
    assert_eq!(list(&store).await[0].key.as_str(), "team-a/key");
    assert_eq!(list(&below).await, [lease]);
}

#[tokio::test(start_paused = true)]
async fn prefix_hides_what_is_not_below_it() {
    let store = MemoryBackend::new();
    let below = prefixed(&store);
    for key in ["team-a", "team-a/", "team-b/key", "key"] {
        let _ = store.acquire(&ask(key, "alice")).await.unwrap();
        let _ = store.acquire(&ask(key, "bob").queueing(KeepAlive::default())).await.unwrap();
    }
    assert_eq!(list(&below).await, []);
    let waits = WaitsQuery::new(OwnerId::parse("bob").unwrap());
    assert_eq!(below.waits_of(&waits).await.unwrap().value.items, []);
    let reply = below.acquire(&ask("key", "carol")).await.unwrap();
    assert!(matches!(reply.value, Acquisition::Granted(_)));
}

#[tokio::test(start_paused = true)]
async fn prefixed_events_show_the_keys_without_it() {
    let store = MemoryBackend::new();
    let below = prefixed(&store);
    let mut events = below.watch(&EventFilter::all().with_prefix("k"), None).await.unwrap();
    let _ = store.acquire(&ask("key", "alice")).await.unwrap();
    let _ = below.acquire(&ask("other", "alice")).await.unwrap();
    let _ = below.acquire(&ask("key", "alice")).await.unwrap();
    let Some(Watched::Event(event)) = poll_fn(|cx| events.as_mut().poll_next(cx)).await else {
        panic!("no event")
    };
    assert_eq!(event.key().as_str(), "key");
}

#[tokio::test(start_paused = true)]
async fn key_too_long_for_its_prefix_is_named_and_spares_its_batch() {
    let below = prefixed(&MemoryBackend::new());
    let long = ask(&"k".repeat(LockKey::MAX_BYTES), "alice");
    let error = below.acquire(&long).await.unwrap_err();
    assert_eq!(error.invalid_input().unwrap().field(), "key");
    assert!(!error.is_unknown());
    let held = ask("key", "alice");
    let Acquisition::Granted(lease) = below.acquire(&held).await.unwrap().value else {
        panic!("held")
    };
    let renew = |key: &LockKey| {
        let name = LeaseName::new(key.clone(), lease.request, lease.token);
        RenewRequest::new(name, Ttl::default())
    };
    let answers = below.renew(&[renew(&held.key), renew(&long.key), renew(&held.key)]).await;
    let is_renewed = |reply: &Result<Timed<Renewal>>| {
        reply.as_ref().is_ok_and(|reply| matches!(reply.value, Renewal::Renewed { .. }))
    };
    assert_eq!(answers.iter().map(is_renewed).collect::<Vec<_>>(), [true, false, true]);
}

/// Collects the spans that end, each with its fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields(BTreeMap::new());
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(context.span(id).unwrap().extensions_mut().get_mut::<Fields>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        let extensions = span.extensions();
        let fields = extensions.get::<Fields>().unwrap().0.iter();
        let fields = fields.map(|(name, value)| format!(" {name}={value}")).collect::<String>();
        self.0.lock().unwrap().push(format!("{}{fields}", span.name()));
    }
}

/// Collects the events that have a key, each with its level and fields.
#[derive(Clone, Default)]
struct Events(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Events {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        if fields.0.contains_key("lock.key") {
            let fields = fields.0.iter().map(|(name, value)| format!(" {name}={value}"));
            let line = format!("{}{}", event.metadata().level(), fields.collect::<String>());
            self.0.lock().unwrap().push(line);
        }
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn events_of_renewals_losses_and_deadlocks_name_key_owner_and_token() {
    let events = Events::default();
    let subscriber = tracing_subscriber::registry().with(events.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let store = MemoryBackend::new();
    let (alice, bob) = (manager(&store, "alice"), manager(&store, "bob"));
    let guard = alice.acquire("key").await.unwrap();
    let token = guard.token().to_string();
    guard.renew_now().await.unwrap();
    let adopted = alice.adopt(guard.lease()).await.unwrap();
    assert!(bob.evict(adopted.lease(), "stuck").await.unwrap());
    adopted.lost().await;
    let session = alice.session();
    let _held = session.acquire("other").await.unwrap();
    let _ = session.acquire("other").await.unwrap_err();
    let seen = events.0.lock().unwrap().join("\n").replace(&token, "TOKEN");
    insta::assert_snapshot!(seen, @r"
    DEBUG lock.key=key lock.owner=alice lock.token=TOKEN message=a lease was renewed
    DEBUG lock.key=key lock.owner=alice lock.token=TOKEN message=a lease was lost reason=another guard took charge of it
    WARN by=bob lock.key=key lock.owner=alice lock.token=TOKEN message=a lease was evicted reason=stuck
    WARN lock.key=key lock.owner=alice lock.token=TOKEN message=a lease was lost reason=it was evicted by `bob`: stuck
    WARN deadlock=`alice` waits for `other`, held by itself lock.key=other lock.owner=alice message=a request was the victim of a deadlock
    ");
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn spans_name_key_owner_and_token_and_no_metadata() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let alice = manager(&Traced::new(MemoryBackend::new()), "alice");
    let metadata = Metadata::parse([("url", "https://user:secret@host")]).unwrap();
    let guard = alice.acquire("key").metadata(metadata).await.unwrap();
    let request = guard.lease().request.to_string();
    let token = guard.token().to_string();
    guard.renew_now().await.unwrap();
    guard.release().await.unwrap();
    let seen =
        spans.0.lock().unwrap().join("\n").replace(&token, "TOKEN").replace(&request, "REQUEST");
    assert!(!seen.contains("secret"), "{seen}");
    insta::assert_snapshot!(seen, @r"
    lock.store lock.operation=listen
    lock.store lock.key=key lock.operation=acquire lock.request=REQUEST
    lock.acquire lock.key=key lock.owner=alice lock.token=TOKEN
    lock.store lock.count=1 lock.operation=renew
    lock.renew lock.key=key lock.owner=alice lock.token=TOKEN
    lock.store lock.key=key lock.operation=release lock.request=REQUEST
    lock.release lock.key=key lock.owner=alice lock.token=TOKEN
    ");
}
