//! The mailbox of a manager: the table of its waiters, and the task that reads the notices.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::backoff::Backoff;
use super::guard::LockGuard;
use super::hold::LossReason;
use super::renewal::Renewals;
use crate::{
    End, FencingToken, Grant, LeaseName, LockKey, LockStore, MailboxId, Notice, RequestId,
};

/// The mailbox of a manager, and the only table of the waiters of its process.
///
/// A request is entered before it is sent, so no notice comes before its waiter is known.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) id: MailboxId,
    waiters: Mutex<HashMap<Name, Row, RandomState>>,
    /// Whether the store was asked to listen, and answered or refused.
    was_opened: AtomicBool,
    opened: Notify,
}

type Name = (RequestId, LockKey);

/// A request in the table.
#[derive(Debug, Default)]
struct Row {
    slot: Arc<Slot>,
    /// The number of waiters that share it: nearly always one.
    waiters: usize,
}

/// What was told about one request since its waiter last looked.
#[derive(Debug, Default)]
struct Slot {
    news: Mutex<Option<News>>,
    told: Notify,
    /// The last lease of the request that was ended by force, for a guard that is made after it was
    /// told.
    ended: Mutex<Option<(FencingToken, End)>>,
}

/// What a waiter is told.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// The request was granted.
    Granted(Grant),
    /// The store knows more than was told: ask it.
    Ask,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        Self {
            id: MailboxId::random(),
            waiters: Mutex::default(),
            was_opened: AtomicBool::new(false),
            opened: Notify::new(),
        }
    }

    /// Whether the first attempt to open the mailbox is over.
    pub(super) fn was_opened(&self) -> bool {
        self.was_opened.load(Ordering::Acquire)
    }

    /// Waits until the first attempt to open the mailbox is over.
    pub(super) async fn until_opened(&self) {
        loop {
            let opened = self.opened.notified();
            if self.was_opened() {
                return;
            }
            opened.await;
        }
    }

    /// Notes that requests are sent, whether the mailbox is open or not.
    pub(super) fn note_opened(&self) {
        self.was_opened.store(true, Ordering::Release);
        self.opened.notify_waiters();
    }

    /// Enters a request, which leaves when what is returned is dropped.
    ///
    /// Two waiters of one request share its slot: each that is told also tells the other to ask.
    pub(super) fn enter(self: &Arc<Self>, request: RequestId, key: LockKey) -> Entered {
        let mut waiters = self.waiters();
        let row = waiters.entry((request, key.clone())).or_default();
        row.waiters += 1;
        let slot = Arc::clone(&row.slot);
        drop(waiters);
        Entered { mailbox: Arc::clone(self), name: (request, key), slot }
    }

    /// The number of requests that are entered.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiters().len()
    }

    fn tell(&self, request: RequestId, key: LockKey, news: News) {
        let slot = self.waiters().get(&(request, key)).map(|row| Arc::clone(&row.slot));
        if let Some(slot) = slot {
            slot.tell(news);
        }
    }

    fn note_ended(&self, request: RequestId, key: LockKey, token: FencingToken, end: End) {
        let slot = self.waiters().get(&(request, key)).map(|row| Arc::clone(&row.slot));
        if let Some(slot) = slot {
            *slot.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some((token, end));
        }
    }

    /// Lets every waiter ask the store.
    fn tell_all_to_ask(&self) {
        let slots: Vec<_> = self.waiters().values().map(|row| Arc::clone(&row.slot)).collect();
        for slot in slots {
            slot.tell(News::Ask);
        }
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<Name, Row, RandomState>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    fn tell(&self, news: News) {
        let mut unread = self.news();
        // After an unread word to ask, no earlier answer counts, and so no grant by those answers.
        if !matches!(*unread, Some(News::Ask)) {
            *unread = Some(news);
        }
        drop(unread);
        self.told.notify_one();
    }

    fn news(&self) -> MutexGuard<'_, Option<News>> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entry of a request in the table.
#[derive(Debug)]
pub(super) struct Entered {
    mailbox: Arc<Mailbox>,
    name: Name,
    slot: Arc<Slot>,
}

impl Entered {
    /// Waits for news.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the news for the next call.
    pub(super) async fn news(&self) -> News {
        loop {
            if let Some(news) = self.slot.news().take() {
                return news;
            }
            self.slot.told.notified().await;
        }
    }
}

impl Entered {
    /// Tells a guard that was just made of a lease with this token what was told before.
    pub(super) fn catch_up(&self, guard: &LockGuard, renewals: &Renewals) {
        let ended = self.slot.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        match ended {
            Some((token, end)) if token == guard.token() => guard.lose(LossReason::Ended(end)),
            // Notices may have been lost, perhaps one of this lease.
            _ if matches!(*self.slot.news(), Some(News::Ask)) => renewals.renew_all(),
            _ => {}
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut waiters = self.mailbox.waiters();
        let Some(row) = waiters.get_mut(&self.name) else { return };
        row.waiters -= 1;
        if row.waiters == 0 {
            waiters.remove(&self.name);
        } else {
            drop(waiters);
            self.slot.tell(News::Ask);
        }
    }
}

/// Reads the notices until stopped.
pub(super) async fn read(
    mailbox: Arc<Mailbox>,
    renewals: Arc<Renewals>,
    store: Arc<dyn LockStore>,
) {
    tokio::select! {
        () = renewals.until_stopped() => {}
        () = listen(&mailbox, &renewals, &*store) => {}
    }
}

async fn listen(mailbox: &Mailbox, renewals: &Renewals, store: &dyn LockStore) {
    let mut backoff = Backoff::default();
    loop {
        match store.listen(mailbox.id).await {
            Ok(mut notices) => {
                backoff = Backoff::default();
                // Requests that were sent before the mailbox was open were told nothing.
                if mailbox.was_opened() {
                    dispatch(mailbox, renewals, Notice::MayHaveMissed);
                }
                mailbox.note_opened();
                while let Some(notice) = poll_fn(|cx| notices.as_mut().poll_next(cx)).await {
                    dispatch(mailbox, renewals, notice);
                }
            }
            Err(error) => {
                mailbox.note_opened();
                tracing::warn!(%error, "the mailbox cannot be listened to");
            }
        }
        backoff.pause().await;
    }
}

fn dispatch(mailbox: &Mailbox, renewals: &Renewals, notice: Notice) {
    match notice {
        Notice::Granted(grant) => {
            let (request, key) = (grant.request, grant.key.clone());
            mailbox.tell(request, key, News::Granted(grant));
        }
        Notice::Ask { key, request } => mailbox.tell(request, key, News::Ask),
        Notice::Ended { key, request, token, end } => {
            if let Some(token) = token {
                // In this order: a guard is entered first and looks here then.
                mailbox.note_ended(request, key.clone(), token, end.clone());
                let lease = LeaseName::new(key.clone(), request, token);
                renewals.lose(&lease, LossReason::Ended(end));
            }
            // A waiter may have been granted that lease and not know it yet: the store tells.
            mailbox.tell(request, key, News::Ask);
        }
        Notice::MayHaveMissed => {
            renewals.renew_all();
            mailbox.tell_all_to_ask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;

    #[test]
    fn grant_does_not_hide_that_notices_may_be_missing() {
        let mailbox = Arc::new(Mailbox::new());
        let (request, key) = (RequestId::from_bits(7), LockKey::parse("key").unwrap());
        let entered = mailbox.enter(request, key.clone());
        mailbox.tell_all_to_ask();
        let (token, at) = (FencingToken::new(1).unwrap(), Timestamp::from_micros(1));
        let grant = Grant::new(key.clone(), request, token, at);
        mailbox.tell(request, key, News::Granted(grant));
        assert!(matches!(*entered.slot.news(), Some(News::Ask)));
    }

    #[test]
    fn last_entry_of_a_request_leaves_the_table() {
        let mailbox = Arc::new(Mailbox::new());
        let (request, key) = (RequestId::from_bits(7), LockKey::parse("key").unwrap());
        let first = mailbox.enter(request, key.clone());
        let second = mailbox.enter(request, key);
        drop(first);
        assert_eq!(mailbox.len(), 1);
        assert!(matches!(*second.slot.news(), Some(News::Ask)));
        drop(second);
        assert_eq!(mailbox.len(), 0);
    }
}
