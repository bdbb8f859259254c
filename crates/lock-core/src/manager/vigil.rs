//! The task that watches for leases that others end, so that their holders learn why, and at once.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use super::hold::LossReason;
use super::renewal::Renewals;
use crate::{Change, ChangeKind, ChangeKinds, EventFilter, LockStore, Watched};

/// How long to wait before a store is listened to again that could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// Watches until stopped, or not at all when the store offers no events: then the next renewal
/// tells of the loss, and not why.
pub(super) async fn keep(renewals: Arc<Renewals>, store: Arc<dyn LockStore>) {
    if !store.capabilities().events {
        return;
    }
    tokio::select! {
        () = renewals.until_stopped() => {}
        () = watch(&renewals, &*store) => {}
    }
}

async fn watch(renewals: &Renewals, store: &dyn LockStore) {
    let kinds = ChangeKinds::NONE
        .with(ChangeKind::Expired)
        .with(ChangeKind::Evicted)
        .with(ChangeKind::Transferred);
    let filter = EventFilter::all().with_kinds(kinds);
    loop {
        match store.watch(&filter).await {
            Ok(mut events) => {
                while let Some(watched) = poll_fn(|cx| events.as_mut().poll_next(cx)).await {
                    if let Watched::Event(event) = watched {
                        tell(renewals, event.change);
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "evictions cannot be watched for"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn tell(renewals: &Renewals, change: Change) {
    match change {
        Change::Expired(lease) => renewals.lose(&lease, LossReason::Expired),
        Change::Evicted { lease, by, reason } => {
            renewals.lose(&lease, LossReason::Evicted { by, reason });
        }
        Change::Transferred { from, to } => {
            renewals.lose(&from, LossReason::Transferred { to: to.owner });
        }
        _ => {}
    }
}
