//! The mailboxes of the managers that use the store.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use futures_core::Stream;
use lock_core::{MailboxId, Notice};
use tokio::sync::mpsc;

/// The open mailboxes.
///
/// A notice is put in while the shard of its key is locked, so that those of one key come out in
/// their order. Nothing is dropped: a manager is told at most once for each of its requests.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    open: DashMap<MailboxId, mpsc::UnboundedSender<Notice>, RandomState>,
}

impl Mailboxes {
    /// Opens a mailbox; the stream that was opened before ends.
    pub(crate) fn open(self: &Arc<Self>, mailbox: MailboxId) -> Notices {
        let (sender, notices) = mpsc::unbounded_channel();
        let weak = sender.downgrade();
        self.open.insert(mailbox, sender);
        Notices { mailboxes: Arc::clone(self), mailbox, sender: weak, notices }
    }

    /// Tells each mailbox its notices; those that are not open are told nothing.
    pub(crate) fn tell(&self, notices: Vec<(MailboxId, Notice)>) {
        for (mailbox, notice) in notices {
            if let Some(sender) = self.open.get(&mailbox) {
                // A stream that is just being dropped is told nothing.
                drop(sender.send(notice));
            }
        }
    }
}

/// The notices of one mailbox, which closes when they are dropped.
#[derive(Debug)]
pub(crate) struct Notices {
    mailboxes: Arc<Mailboxes>,
    mailbox: MailboxId,
    /// By which the mailbox is told from one that was opened again.
    sender: mpsc::WeakUnboundedSender<Notice>,
    notices: mpsc::UnboundedReceiver<Notice>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.notices.poll_recv(cx)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        if let Some(own) = self.sender.upgrade() {
            self.mailboxes.open.remove_if(&self.mailbox, |_, sender| sender.same_channel(&own));
        }
    }
}
