//! Metadata: a lease shows it as it was given.

use lock_core::{ListQuery, Metadata};

use super::expect_eq;
use crate::TestContext;

/// Acquires with `metadata`, with and without a wait, and checks every answer that shows it.
async fn survives(context: &TestContext, metadata: Metadata) {
    let alice = TestContext::ask("key", "alice").with_metadata(metadata.clone());
    let bob = TestContext::queueing("key", "bob").with_metadata(metadata.clone());
    let held = context.granted(&alice).await;
    expect_eq!(held.metadata, metadata);
    context.queued(&bob).await;
    expect_eq!(context.granted(&alice).await.metadata, metadata);
    expect_eq!(context.inspect("key").await.leases[0].metadata, metadata);
    context.released(&held).await;
    expect_eq!(context.list(ListQuery::all()).await[0].metadata, metadata);
    let held = context.heard_granted(&bob).await;
    expect_eq!(held.metadata, metadata);
    context.renewed(&held).await;
    expect_eq!(context.only_lease("key").await.metadata, metadata);
    context.released(&held).await;
}

/// Metadata is shown as it was given, whatever its texts, also after a wait.
pub async fn metadata_is_kept(context: TestContext) {
    let texts = [("pull", "acme/infra#7"), ("ä \"'\\{}", "1\n2\t\0\u{1f512}"), ("empty", "")];
    survives(&context, Metadata::parse(texts).expect("valid metadata")).await;
    survives(&context, Metadata::default()).await;
}

/// The largest metadata that is allowed is kept whole.
pub async fn largest_metadata_is_kept(context: TestContext) {
    let name = "n".repeat(Metadata::MAX_NAME_BYTES);
    let text = "ü".repeat((Metadata::MAX_BYTES - name.len()) / "ü".len());
    survives(&context, Metadata::parse([(name, text)]).expect("valid metadata")).await;
}
