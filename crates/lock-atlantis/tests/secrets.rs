//! Tokens in clone URLs appear in no log, no error and no `Debug` output.

#![expect(clippy::unwrap_used, reason = "a failed test panics")]

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use lock_compat::conformance::{LegacyFixture, lock};
use lock_compat::legacy::{CloneUrl, CommandName, Outcome, ProjectLock, ProjectResult, pull_key};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

mod stores;

const TOKEN: &str = "hunter2";

/// Everything that is logged, as text.
#[derive(Clone, Debug, Default)]
struct Log(Arc<Mutex<String>>);

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = writeln!(self.0.lock().unwrap(), "{field}={value:?}");
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        attributes.record(&mut self.clone());
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.clone());
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut self.clone());
    }
}

fn secret(num: i64) -> ProjectLock {
    let mut lock = lock("owner/repo", "path", "default", num);
    let url = format!("https://atlantis:{TOKEN}@github.com/owner/repo.git");
    lock.pull.base_repo.clone_url = CloneUrl::new(url);
    lock
}

/// Runs every operation of a store, and returns everything visible besides the answers.
async fn seen<F: LegacyFixture>() -> String {
    let fixture = F::start().await;
    let (store, mut seen) = (fixture.backend(), String::new());
    let mut see = |it: &dyn Debug| seen += &format!("{it:?}\n");
    see(&store);
    see(&store.try_lock(secret(1)).await);
    see(&store.try_lock(secret(2)).await);
    see(&store.list().await);
    see(&store.get_lock(&secret(1).project, "default").await);
    let plan = ProjectResult::new("default", "path", CommandName::Plan, Outcome::Success);
    see(&store.update_pull_with_results(&secret(1).pull, std::slice::from_ref(&plan)).await);
    see(&store.get_pull_status(&secret(1).pull).await);
    let damaged =
        format!(r#"{{"Pull":{{"BaseRepo":{{"CloneURL":"{TOKEN}"}}}},"Projects":"{TOKEN}"}}"#);
    fixture.put_status(&pull_key(&secret(1).pull).unwrap(), damaged.as_bytes()).await;
    see(&store.get_pull_status(&secret(1).pull).await);
    see(&store.update_pull_with_results(&secret(1).pull, &[plan]).await);
    see(&store.unlock(&secret(1).project, "default").await);
    fixture.put_lock(&secret(3), damaged.replace("Projects", "Project").as_bytes()).await;
    see(&store.list().await);
    see(&store.unlock_by_pull("owner/repo", 3).await);
    see(&store.try_lock(secret(4)).await);
    seen
}

async fn assert_secrets_are_hidden<F: LegacyFixture>() {
    let log = Log::default();
    let subscriber = tracing_subscriber::registry().with(log.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let told = seen::<F>().await + &log.0.lock().unwrap();
    assert!(told.contains("cannot be read") && told.contains("redacted"), "{told}");
    assert!(!told.contains(TOKEN), "{told}");
}

#[tokio::test]
async fn adapter_shows_no_token() {
    assert_secrets_are_hidden::<stores::OverMemory>().await;
}

#[tokio::test]
async fn adapter_over_redis_shows_no_token() {
    assert_secrets_are_hidden::<stores::OverRedis>().await;
}

#[tokio::test]
async fn atlantis_redis_shows_no_token() {
    assert_secrets_are_hidden::<stores::Atlantis>().await;
}

#[tokio::test]
async fn fallback_shows_no_token() {
    assert_secrets_are_hidden::<stores::WithFallback>().await;
}
