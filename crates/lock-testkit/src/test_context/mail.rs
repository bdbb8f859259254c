//! The notices of one mailbox, as a case reads them.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{FencingToken, Grant, LockStore, MailboxId, Notice, NoticeStream, RequestId};

/// The longest wait for an expected notice.
const SOON: Duration = Duration::from_secs(5);

/// The notices of one mailbox.
pub struct Mail {
    /// The mailbox.
    pub mailbox: MailboxId,
    notices: NoticeStream,
    /// The connection, since a stream may end with it.
    _store: Arc<dyn LockStore>,
}

impl Mail {
    pub(super) async fn open(mailbox: MailboxId, store: &Arc<dyn LockStore>) -> Self {
        let notices = store.listen(mailbox).await.expect("listen answers");
        Self { mailbox, notices, _store: Arc::clone(store) }
    }

    /// The next notice about a request, which must arrive soon.
    pub async fn next(&mut self) -> Notice {
        loop {
            let next = poll_fn(|cx| self.notices.as_mut().poll_next(cx));
            match tokio::time::timeout(SOON, next).await {
                // It is always allowed, and names no request.
                Ok(Some(Notice::MayHaveMissed)) => {}
                Ok(Some(notice)) => return notice,
                Ok(None) => panic!("expected a notice, got the end of the stream"),
                Err(_) => panic!("expected a notice, got none within {SOON:?}"),
            }
        }
    }

    /// The next notice, which must be a grant.
    pub async fn grant(&mut self) -> Grant {
        match self.next().await {
            Notice::Granted(grant) => grant,
            other => panic!("expected a notice of a grant, got {other:?}"),
        }
    }

    /// The next notice, which must be the end of this request.
    pub async fn end_of(
        &mut self,
        request: RequestId,
        token: Option<FencingToken>,
    ) -> lock_core::End {
        match self.next().await {
            Notice::Ended { request: ended, token: of, end, .. }
                if (ended, of) == (request, token) =>
            {
                end
            }
            other => panic!("expected a notice of the end of {request}, got {other:?}"),
        }
    }
}

impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("mailbox", &self.mailbox).finish_non_exhaustive()
    }
}
