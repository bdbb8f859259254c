//! A layer that records commands and answers of a store, and can be made to lose notices.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures_core::Stream;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, EventCursor,
    EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard, InspectQuery,
    Inspection, Lease, ListQuery, LockBackend, LockInspector, LockStore, MailboxId, Notice,
    NoticeStream, Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest,
    Renewal, RequestId, Result, Timed, Transfer, TransferRequest, Waiter, WaitsQuery,
};

use super::clock::{Moment, millis, now};
use super::record::{Event, Record};

/// The history of a process, in a file.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
}

impl Log {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::options().create(true).append(true).open(path)? })
    }

    /// Writes a line in one step, so that the system has all of it or nothing when the process is
    /// killed.
    pub(super) fn note(&self, request: RequestId, event: Event) {
        let line = format!("{}\n", Record { at: now(), request: short(request), event });
        (&self.file).write_all(line.as_bytes()).expect("the history can be written");
    }
}

/// Enough of a request's identity to distinguish it from the others of a round.
fn short(request: RequestId) -> u64 {
    request.to_bits() as u64
}

/// Records commands and answers of a store.
#[derive(Debug)]
pub(super) struct Recorder {
    store: Arc<dyn LockStore>,
    log: Arc<Log>,
    planted: Option<Arc<Early>>,
}

/// A planted fault: notices of grants are lost if they arrive before the request is known to wait,
/// or within a millisecond after that.
#[derive(Default)]
struct Early(Mutex<HashMap<RequestId, Option<Moment>>>);

impl Early {
    fn set(&self, request: RequestId, answered: Option<Moment>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(request, answered);
    }

    fn loses(&self, notice: &Notice) -> bool {
        let Notice::Granted(grant) = notice else { return false };
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = known.get(&grant.request).copied().flatten();
        answered.is_none_or(|answered| now() < answered + millis(1))
    }
}

impl fmt::Debug for Early {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Early")
    }
}

impl Recorder {
    pub(super) fn new(store: Arc<dyn LockStore>, log: Arc<Log>, is_planted: bool) -> Self {
        Self { store, log, planted: is_planted.then(Arc::default) }
    }
}

/// The notices of a mailbox without those that are lost.
struct Lossy {
    notices: NoticeStream,
    early: Arc<Early>,
}

impl Stream for Lossy {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        loop {
            match self.notices.as_mut().poll_next(cx) {
                Poll::Ready(Some(notice)) if self.early.loses(&notice) => {}
                other => return other,
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for Recorder {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let notices = self.store.listen(mailbox).await?;
        Ok(match &self.planted {
            Some(early) => Box::pin(Lossy { notices, early: Arc::clone(early) }),
            None => notices,
        })
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let sent = now();
        self.log.note(request.id, Event::Sent);
        if let Some(early) = &self.planted {
            early.set(request.id, None);
        }
        let answer = self.store.acquire(request).await;
        match answer.as_ref().map(|answer| &answer.value) {
            Ok(Acquisition::Queued(_)) => {
                self.log.note(request.id, Event::Queued { sent });
                if let Some(early) = &self.planted {
                    early.set(request.id, Some(now()));
                }
            }
            Ok(Acquisition::Granted(_)) | Err(_) => {}
            Ok(_) => self.log.note(request.id, Event::Gone),
        }
        answer
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let sent = now();
        let answers = self.store.hear(requests).await;
        for (request, answer) in requests.iter().zip(&answers) {
            match answer.as_ref().map(|answer| &answer.value) {
                Ok(Heard::Queued(_)) => self.log.note(request.request, Event::Queued { sent }),
                Ok(Heard::Absent) => self.log.note(request.request, Event::Absent),
                Ok(_) | Err(_) => {}
            }
        }
        answers
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let answers = self.store.renew(requests).await;
        for (request, answer) in requests.iter().zip(&answers) {
            if answer.as_ref().is_ok_and(|it| !matches!(it.value, Renewal::Renewed { .. })) {
                self.log.note(request.lease.request, Event::Gone);
            }
        }
        answers
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let answer = self.store.release(request).await;
        if answer.is_ok() {
            self.log.note(request.lease.request, Event::Gone);
        }
        answer
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let answer = self.store.cancel(request).await;
        if answer.is_ok() {
            self.log.note(request.request, Event::Gone);
        }
        answer
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.store.transfer(request).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.store.evict(request).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.store.request_release(appeal).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Recorder {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.store.inspect(query).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        self.store.list(query).await
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        self.store.waits_of(query).await
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.store.watch(filter, after).await
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }
}
