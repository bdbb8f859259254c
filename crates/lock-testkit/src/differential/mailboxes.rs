//! The notices in the store's mailboxes, compared with those of the machine.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use lock_core::{LockStore, MailboxId, Notice, NoticeStream};

use super::values;

/// The longest wait for the last notice, in real time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The open mailboxes, and the notices of each so far.
pub(super) struct Mailboxes(Vec<Mailbox>);

struct Mailbox {
    id: MailboxId,
    stream: NoticeStream,
    told: Vec<Notice>,
}

impl Mailboxes {
    /// Opens all mailboxes.
    pub(super) async fn open(store: &dyn LockStore) -> Result<Self, String> {
        let mut mailboxes = Vec::new();
        for id in values::mailboxes() {
            let stream = store.listen(id).await.map_err(|error| format!("{error:?}"))?;
            mailboxes.push(Mailbox { id, stream, told: Vec::new() });
        }
        Ok(Self(mailboxes))
    }

    /// Takes the notices that have arrived.
    pub(super) async fn listen(&mut self) -> Result<(), String> {
        for mailbox in &mut self.0 {
            while let Some(notice) = mailbox.next_at_once().await {
                mailbox.take(notice)?;
            }
        }
        Ok(())
    }

    /// Waits for as many notices as `right`, and returns the mailbox that differs: the missing
    /// notices and the unexpected ones.
    pub(super) async fn end(
        mut self,
        right: &[(MailboxId, Notice)],
    ) -> Result<(), (String, String)> {
        for mailbox in &mut self.0 {
            let right = right.iter().filter(|(to, _)| *to == mailbox.id).map(|(_, notice)| notice);
            let right: Vec<_> = right.cloned().collect();
            let complete = async {
                while mailbox.told.len() < right.len() {
                    let next = poll_fn(|context| mailbox.stream.as_mut().poll_next(context)).await;
                    mailbox.take(next)?;
                }
                Ok(())
            };
            // A mailbox that is short of notices after this time receives no more.
            let cut = tokio::time::timeout(PATIENCE, complete).await.unwrap_or(Ok(()));
            cut.map_err(|cut: String| (String::new(), cut))?;
            let (missing, wrong) = difference(&right, &mailbox.told);
            if !missing.is_empty() || !wrong.is_empty() {
                let of = |notices: Vec<String>| format!("{:?} is told {notices:?}", mailbox.id);
                return Err((of(missing), of(wrong)));
            }
        }
        Ok(())
    }
}

impl Mailbox {
    async fn next_at_once(&mut self) -> Option<Option<Notice>> {
        poll_fn(|context| match self.stream.as_mut().poll_next(context) {
            Poll::Ready(notice) => Poll::Ready(Some(notice)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    fn take(&mut self, notice: Option<Notice>) -> Result<(), String> {
        match notice {
            Some(Notice::MayHaveMissed) | None => {
                Err(format!("the notices of {:?} are cut off by {notice:?}", self.id))
            }
            Some(notice) => {
                self.told.push(notice);
                Ok(())
            }
        }
    }
}

/// The notices found only in the first list, and those found only in the second.
fn difference(right: &[Notice], told: &[Notice]) -> (Vec<String>, Vec<String>) {
    let mut counts = BTreeMap::<String, i64>::new();
    for notice in right {
        *counts.entry(format!("{notice:?}")).or_default() += 1;
    }
    for notice in told {
        *counts.entry(format!("{notice:?}")).or_default() -= 1;
    }
    let times = |wanted: i64| {
        let counts = counts.iter().filter(move |(_, count)| **count * wanted > 0);
        counts.map(|(notice, _)| notice.clone()).collect()
    };
    (times(1), times(-1))
}
