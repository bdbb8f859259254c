//! The mailbox of a manager: the task that reads the notices.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::bounded::{bounded, unwinding};
use super::planted::{self, ManagerFault};
use super::renewal::Renewals;
use super::waiter_registry::WaiterRegistry;
use super::wanted::Wanted;
use crate::LossReason;
use crate::{LeaseName, LockStore, MailboxId, Notice, Operation};

/// Age from which a stream of notices counts as stable.
const STABLE: Duration = Duration::from_secs(1);

/// Task that receives the notices of a manager.
#[derive(Debug)]
pub(super) struct Mailbox {
    id: MailboxId,
    store: Arc<dyn LockStore>,
    waiters: Arc<WaiterRegistry>,
    renewals: Arc<Renewals>,
    /// The longest that an answer is waited for.
    longest: Duration,
    /// Completes when the store has opened the mailbox, refused to, or timed out.
    opened: CancellationToken,
}

impl Mailbox {
    pub(super) fn new(
        id: MailboxId,
        store: Arc<dyn LockStore>,
        waiters: Arc<WaiterRegistry>,
        renewals: Arc<Renewals>,
        longest: Duration,
    ) -> Self {
        Self { id, store, waiters, renewals, longest, opened: CancellationToken::new() }
    }

    pub(super) const fn id(&self) -> MailboxId {
        self.id
    }

    /// Waits at most `limit` until the mailbox is first open; earlier notices are lost.
    pub(super) async fn until_opened(&self, limit: Duration) {
        if !self.opened.is_cancelled() {
            // Without it the request is served later, and not otherwise.
            let in_time = Box::pin(tokio::time::timeout(limit, self.opened.cancelled())).await;
            if in_time.is_err() {
                self.opened.cancel();
            }
        }
    }

    /// Reads the notices, for ever.
    pub(super) async fn read(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            let listen = unwinding(Operation::Listen, self.store.listen(self.id));
            match bounded(self.longest, Operation::Listen, None, listen).await {
                Ok(mut notices) => {
                    let since = Instant::now();
                    // Requests that were sent before the mailbox was open got no notices.
                    if self.opened.is_cancelled() {
                        self.dispatch(Notice::MayHaveMissed);
                    }
                    self.opened.cancel();
                    let mut next = async || Ok(poll_fn(|cx| notices.as_mut().poll_next(cx)).await);
                    while let Ok(Some(notice)) = unwinding(Operation::Listen, next()).await {
                        self.dispatch(notice);
                    }
                    // A stream that ends at once is a failure like another.
                    if since.elapsed() >= STABLE {
                        backoff = Backoff::default();
                    }
                }
                Err(error) => {
                    self.opened.cancel();
                    tracing::warn!(%error, "the mailbox cannot be opened");
                }
            }
            backoff.pause().await;
        }
    }

    fn dispatch(&self, notice: Notice) {
        match notice {
            Notice::Granted(grant) => self.waiters.granted(grant),
            Notice::Ask { key, request } => self.waiters.ask(request, key),
            Notice::Ended { key, request, token, end } => {
                if let Some(token) = token {
                    // In this order: a guard is entered first and looks here then.
                    self.waiters.ended(request, key.clone(), token, end.clone());
                    let lease = LeaseName::new(key.clone(), request, token);
                    self.renewals.lose(&lease, LossReason::Ended(end));
                }
                // A waiter may have been granted that lease without knowing yet: the store decides.
                self.waiters.ask(request, key);
            }
            Notice::Wanted { key, request, token, by, reason, within } => {
                let lease = LeaseName::new(key, request, token);
                self.renewals.want(&lease, Wanted::requested(by, reason, within));
            }
            Notice::MayHaveMissed if planted::has(ManagerFault::IgnoresMayHaveMissed) => {}
            Notice::MayHaveMissed => {
                self.renewals.renew_all();
                self.waiters.ask_all();
            }
        }
    }
}
