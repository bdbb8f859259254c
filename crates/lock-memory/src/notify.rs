//! The mailboxes of the managers that use the store.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use futures_core::Stream;
use lock_core::{MailboxId, Notice};

use crate::wake::Wakes;

/// The number of notices that a mailbox which was emptied keeps the memory of.
const KEPT: usize = 64;

/// The open mailboxes.
///
/// A notice is put in while the shard of its key is locked, so that those of one key come out in
/// their order. Nothing is dropped: a manager gets at most one notice for each of its requests.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    open: DashMap<MailboxId, Arc<Mutex<Mailbox>>, RandomState>,
}

/// The notices that were not taken out yet, and who waits for the next.
#[derive(Debug, Default)]
struct Mailbox {
    notices: VecDeque<Notice>,
    reader: Option<Waker>,
    /// `true` if the mailbox was opened again.
    is_closed: bool,
}

impl Mailboxes {
    /// Opens a mailbox; the stream that was opened before ends.
    pub(crate) fn open(self: &Arc<Self>, mailbox: MailboxId) -> Notices {
        let mut wakes = Wakes::default();
        let opened = Arc::default();
        if let Some(before) = self.open.insert(mailbox, Arc::clone(&opened)) {
            let mut before = lock(&before);
            before.is_closed = true;
            wakes.extend(before.reader.take());
        }
        Notices { mailboxes: Arc::clone(self), mailbox, opened }
    }

    /// Delivers notices to their mailboxes; those for mailboxes that are not open are dropped.
    pub(crate) fn tell(&self, notices: Vec<(MailboxId, Notice)>, wakes: &mut Wakes) {
        for (mailbox, notice) in notices {
            if let Some(open) = self.open.get(&mailbox) {
                let mut open = lock(&open);
                open.notices.push_back(notice);
                wakes.extend(open.reader.take());
            }
        }
    }
}

/// The notices of one mailbox, which closes when they are dropped.
#[derive(Debug)]
pub(crate) struct Notices {
    mailboxes: Arc<Mailboxes>,
    mailbox: MailboxId,
    /// The mailbox, or one that was opened again since.
    opened: Arc<Mutex<Mailbox>>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut opened = lock(&self.opened);
        if let Some(notice) = opened.notices.pop_front() {
            if opened.notices.is_empty() {
                opened.notices.shrink_to(KEPT);
            }
            return Poll::Ready(Some(notice));
        }
        if opened.is_closed {
            return Poll::Ready(None);
        }
        let replaced = opened.reader.replace(cx.waker().clone());
        drop((opened, replaced));
        Poll::Pending
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let is_own = |_: &MailboxId, open: &Arc<_>| Arc::ptr_eq(open, &self.opened);
        let closed = self.mailboxes.open.remove_if(&self.mailbox, is_own);
        drop(closed);
    }
}

fn lock(mailbox: &Mutex<Mailbox>) -> MutexGuard<'_, Mailbox> {
    mailbox.lock().unwrap_or_else(PoisonError::into_inner)
}
