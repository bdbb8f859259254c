//! The mailboxes that are open in this process, and what others put into them.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use lock_core::{MailboxId, Notice};
use tokio::sync::mpsc;

use crate::cell;
use crate::watch::Watching;

/// Handle of an open mailbox; dropping it closes the mailbox.
pub type Listening = Box<dyn Any + Send + Sync>;

/// The mailboxes that are open in this process.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    open: Mutex<HashMap<MailboxId, mpsc::UnboundedSender<Notice>>>,
}

impl Mailboxes {
    /// Opens a mailbox; the stream that was opened before ends.
    pub(crate) fn open(self: &Arc<Self>, mailbox: MailboxId) -> Notices {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.lock().insert(mailbox, sender.clone());
        let mailboxes = Arc::clone(self);
        Notices { mailboxes, mailbox, sender: sender.downgrade(), receiver, listening: None }
    }

    /// Tells a mailbox, or gives the notice back when it is not open here.
    pub(crate) fn tell(&self, mailbox: MailboxId, notice: Notice) -> Option<Notice> {
        match self.lock().get(&mailbox) {
            Some(open) => open.send(notice).err().map(|unsent| unsent.0),
            None => Some(notice),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<MailboxId, mpsc::UnboundedSender<Notice>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The notices of one mailbox, which closes when they are dropped.
pub(crate) struct Notices {
    mailboxes: Arc<Mailboxes>,
    mailbox: MailboxId,
    /// The mailbox, if it was not opened again since.
    sender: mpsc::WeakUnboundedSender<Notice>,
    receiver: mpsc::UnboundedReceiver<Notice>,
    /// The mailbox in the store.
    pub(crate) listening: Option<Listening>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.receiver.poll_recv(cx)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let mut open = self.mailboxes.lock();
        let own = self.sender.upgrade();
        let is_own =
            |open: &mpsc::UnboundedSender<_>| own.is_some_and(|own| own.same_channel(open));
        if open.get(&self.mailbox).is_some_and(is_own) {
            open.remove(&self.mailbox);
        }
    }
}

/// The inbox into which a store puts others' notices for one mailbox of this process.
#[derive(Clone)]
pub struct Inbox(To);

#[derive(Clone)]
enum To {
    Mailbox(Arc<Mailboxes>, MailboxId),
    Watchers(Arc<Watching>),
}

impl Inbox {
    pub(crate) fn of_mailbox(mailboxes: &Arc<Mailboxes>, mailbox: MailboxId) -> Self {
        Self(To::Mailbox(Arc::clone(mailboxes), mailbox))
    }

    pub(crate) fn of_watchers(watching: &Arc<Watching>) -> Self {
        Self(To::Watchers(Arc::clone(watching)))
    }

    /// Puts a notice in, as [`notify`](crate::StateStore::notify) was given it.
    pub fn deliver(&self, notice: &[u8]) {
        // An unreadable notice may have been any.
        self.put(cell::read(notice).unwrap_or(Notice::MayHaveMissed));
    }

    /// Says that notices may have been lost.
    pub fn may_have_missed(&self) {
        self.put(Notice::MayHaveMissed);
    }

    fn put(&self, notice: Notice) {
        match &self.0 {
            To::Mailbox(mailboxes, mailbox) => drop(mailboxes.tell(*mailbox, notice)),
            To::Watchers(watching) => watching.hint(),
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            To::Mailbox(_, mailbox) => write!(f, "Inbox({mailbox})"),
            To::Watchers(_) => f.write_str("Inbox(watchers)"),
        }
    }
}
