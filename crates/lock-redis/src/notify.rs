//! The mailboxes that are open on this backend, and the notices that come for them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_core::Stream;
use lock_core::{FencingToken, Grant, LockKey, MailboxId, Notice};
use tokio::sync::mpsc;

use crate::command::request_release;
use crate::end;
use crate::record::{ended, term, told};
use crate::reply::{self, Term};

/// The open mailboxes.
///
/// Nothing is dropped: a manager gets at most a few notices for each of its requests.
#[derive(Debug, Default)]
pub(crate) struct Mailboxes(Mutex<HashMap<MailboxId, mpsc::UnboundedSender<Notice>>>);

impl Mailboxes {
    /// Opens a mailbox; the stream that was opened before ends. `closed` is notified when the
    /// mailbox closes.
    pub(crate) fn open(
        self: &Arc<Self>,
        mailbox: MailboxId,
        closed: impl Fn(MailboxId) + Send + 'static,
    ) -> Notices {
        let (sender, notices) = mpsc::unbounded_channel();
        let weak = sender.downgrade();
        let ended = self.table().insert(mailbox, sender);
        // The reader is woken here, where the table is free again.
        drop(ended);
        let mailboxes = Arc::clone(self);
        Notices { mailboxes, mailbox, sender: weak, notices, closed: Box::new(closed) }
    }

    pub(crate) fn is_open(&self, mailbox: MailboxId) -> bool {
        self.table().contains_key(&mailbox)
    }

    pub(crate) fn all(&self) -> Vec<MailboxId> {
        self.table().keys().copied().collect()
    }

    /// Delivers to a mailbox; notices for one that is not open are dropped.
    pub(crate) fn tell(&self, mailbox: MailboxId, notice: Notice) {
        // A waker may do anything, even call back: none is woken while the table is locked.
        let sender = self.table().get(&mailbox).cloned();
        if let Some(sender) = sender {
            // The stream may be being dropped.
            drop(sender.send(notice));
        }
    }

    /// Tells every mailbox that notices may have been lost.
    pub(crate) fn tell_missed(&self) {
        let senders: Vec<_> = self.table().values().cloned().collect();
        for sender in senders {
            drop(sender.send(Notice::MayHaveMissed));
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<MailboxId, mpsc::UnboundedSender<Notice>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The notices of one mailbox, which closes when they are dropped.
pub(crate) struct Notices {
    mailboxes: Arc<Mailboxes>,
    mailbox: MailboxId,
    /// Distinguishes the mailbox from one that was opened again.
    sender: mpsc::WeakUnboundedSender<Notice>,
    notices: mpsc::UnboundedReceiver<Notice>,
    closed: Box<dyn Fn(MailboxId) + Send>,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.notices.poll_recv(cx)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let Some(own) = self.sender.upgrade() else { return };
        let mut table = self.mailboxes.table();
        if table.get(&self.mailbox).is_some_and(|sender| sender.same_channel(&own)) {
            table.remove(&self.mailbox);
            drop(table);
            (self.closed)(self.mailbox);
        }
    }
}

/// Reads a notice as `prelude.lua` writes it.
pub(crate) fn parse(message: &[u8]) -> Option<Notice> {
    let (kind, rest) = message.split_first()?;
    let (request, rest) = rest.split_at_checked(told::REST - told::REQUEST)?;
    let request = reply::request(request)?;
    let key = |text: &[u8]| LockKey::parse(str::from_utf8(text).ok()?).ok();
    match kind {
        b'g' => {
            let (term, name) = rest.split_at_checked(term::REST)?;
            let term = Term::parse(term)?;
            let grant = Grant::new(key(name)?, request, term.token, term.granted_at);
            Some(Notice::Granted(grant.with_expires_at(term.expires_at)))
        }
        b'e' => {
            let (token, rest) = rest.split_at_checked(ended::LENGTH)?;
            let token = FencingToken::new(reply::double(token)?);
            let (length, rest) = rest.split_first_chunk()?;
            let (ending, name) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            Some(Notice::Ended { key: key(name)?, request, token, end: end::parse(ending)? })
        }
        b'w' => {
            let (token, rest) = rest.split_at_checked(ended::LENGTH)?;
            let token = FencingToken::new(reply::double(token)?)?;
            let (length, rest) = rest.split_first_chunk()?;
            let (asked, name) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
            let (within, by, reason) = request_release::parse(asked)?;
            Some(Notice::Wanted { key: key(name)?, request, token, by, reason, within })
        }
        b'a' => Some(Notice::Ask { key: key(rest)?, request }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// A waker that counts how often it could call back.
    #[derive(Default)]
    struct CallsBack(Arc<Mailboxes>, AtomicUsize);

    impl Wake for CallsBack {
        fn wake(self: Arc<Self>) {
            assert!(self.0.0.try_lock().is_ok(), "the table is free while a task is woken");
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn wakers_may_call_back() {
        let mailboxes = Arc::<Mailboxes>::default();
        let waker = Arc::new(CallsBack(Arc::clone(&mailboxes), AtomicUsize::new(0)));
        let task = Waker::from(Arc::clone(&waker));
        let mailbox = MailboxId::random();
        let mut notices = mailboxes.open(mailbox, |_| {});
        let mut poll = || {
            let mut context = Context::from_waker(&task);
            while Pin::new(&mut notices).poll_next(&mut context).is_ready() {}
        };
        poll();
        mailboxes.tell(mailbox, Notice::MayHaveMissed);
        poll();
        mailboxes.tell_missed();
        poll();
        let _again = mailboxes.open(mailbox, |_| {});
        assert_eq!(waker.1.load(Ordering::Relaxed), 3);
    }
}
