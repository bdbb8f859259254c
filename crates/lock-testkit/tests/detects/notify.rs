//! Broken stores: notices.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use lock_core::{End, Grant, LockBackend, MailboxId, Notice, NoticeStream, Result};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    pub(super) async fn listen_broken(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let is_new = self.story().open.insert(mailbox);
        let mailbox = match self.fault {
            Fault::MailboxesOpenOnce if !is_new => MailboxId::random(),
            _ => mailbox,
        };
        let notices = self.inner.listen(mailbox).await?;
        Ok(Box::pin(Notices { store: self.clone(), notices, told: 0 }))
    }

    /// The notice as sent, if it is.
    fn tell_notice(&self, notice: Notice) -> Option<Notice> {
        self.learn();
        let story = self.story();
        let is_hidden = match (&notice, self.fault) {
            (Notice::Granted(_), Fault::TellsNoGrants) => true,
            (Notice::Granted(grant), Fault::TellsOwnGrants) => {
                story.granted_by.get(&grant.request).is_some_and(|seat| *seat != self.seat)
            }
            (Notice::Granted(grant), Fault::TellsReceiversNothing) => {
                story.transferred.contains(&grant.request)
            }
            (Notice::Wanted { .. }, fault) => fault == Fault::TellsNoAppeals,
            (Notice::Ask { .. }, fault) => fault == Fault::TellsNobodyToAsk,
            (Notice::Ended { end: End::Transferred { .. }, .. }, fault) => {
                fault == Fault::TellsGiversNothing
            }
            (Notice::Ended { token: Some(_), .. }, fault) => fault == Fault::TellsNoEvictions,
            (Notice::Ended { token: None, .. }, fault) => fault == Fault::TellsNoEvictedWaiters,
            _ => false,
        };
        (!is_hidden).then_some(notice)
    }

    /// The next grant that all mailboxes receive.
    fn shout(&self, told: &mut usize) -> Option<Notice> {
        if !self.is(Fault::TellsEverybodyOfTheGrant) {
            return None;
        }
        let lease = self.story().handed.get(*told).cloned()?;
        *told += 1;
        let grant = Grant::new(lease.key, lease.request, lease.token, lease.granted_at);
        Some(Notice::Granted(grant.with_expires_at(lease.expires_at)))
    }
}

/// The notices of one mailbox.
struct Notices {
    store: Broken,
    notices: NoticeStream,
    /// The number of such grants that this mailbox has received.
    told: usize,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let Self { store, notices, told } = self.get_mut();
        if let Some(notice) = store.shout(told) {
            return Poll::Ready(Some(notice));
        }
        loop {
            let Some(notice) = ready!(notices.as_mut().poll_next(context)) else {
                return Poll::Ready(None);
            };
            if let Some(notice) = store.tell_notice(notice) {
                return Poll::Ready(Some(notice));
            }
        }
    }
}
