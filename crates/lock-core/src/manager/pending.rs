//! A request that was sent and is not granted yet: whatever becomes of the future that waits for
//! it, the store is told when it ends.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::bounded::bounded;
use super::departure::{Departing, Departure};
use super::evidence::Answered;
use super::mailbox::{Entered, News};
use super::{LockGuard, Shared, Stay};
use crate::{
    AcquireRequest, Acquisition, CancelRequest, Error, ErrorKind, Grant, HearRequest, Heard, Lease,
    LockKey, OnHeld, Operation, Result, Timed,
};

/// A request that was sent and is not granted yet.
///
/// Dropped, it is cancelled in the background, also when the answer never came.
pub(super) struct Pending {
    request: AcquireRequest,
    stay: Stay,
    entered: Entered,
    /// The last answer, while the request has a place in the queue by it and no notice after it
    /// can have been lost.
    queued: Option<Answered>,
    /// Whether the request has a place in the queue, as far as the store told.
    has_place: bool,
    /// The number of acquires that were sent and may still arrive.
    outstanding: usize,
}

impl Pending {
    pub(super) fn new(shared: &Arc<Shared>, request: AcquireRequest) -> Result<Self> {
        let stay = Stay::enter(shared, Operation::Acquire)
            .map_err(|error| error.with_key(request.key.clone()))?;
        let request = request.with_mailbox(shared.mailbox.id);
        let entered = shared.mailbox.enter(request.id, request.key.clone());
        Ok(Self { request, stay, entered, queued: None, has_place: false, outstanding: 0 })
    }

    pub(super) const fn key(&self) -> &LockKey {
        &self.request.key
    }

    /// The manager that the request is of.
    pub(super) fn shared(&self) -> &Shared {
        &self.stay.shared
    }

    /// Waits until the mailbox is open, the first time, for at most `limit`: what is told before is
    /// told to nobody.
    pub(super) async fn until_told(&self, limit: Duration) {
        let mailbox = &self.stay.shared.mailbox;
        if !mailbox.was_opened() {
            // Without it the request is served later, and not otherwise.
            let opened = Box::pin(tokio::time::timeout(limit, mailbox.until_opened())).await;
            if opened.is_err() {
                mailbox.note_opened();
            }
        }
    }

    /// Sends the request, and waits for the answer for `limit`.
    pub(super) async fn acquire(&mut self, limit: Duration) -> Result<Answer> {
        let sent = Instant::now();
        // Counted before, in case that this future is dropped.
        self.outstanding += 1;
        let call = self.stay.shared.store.acquire(&self.request);
        let reply = bounded(limit, Operation::Acquire, Some(&self.request.key), call).await;
        if reply.as_ref().err().is_none_or(|error| !error.is_unknown()) {
            self.outstanding -= 1;
        }
        let Timed { observed_at, value, .. } = reply?;
        let answered = Answered { sent, observed_at };
        self.note(answered, matches!(value, Acquisition::Queued(_)));
        Ok(Answer { answered, value: value.into() })
    }

    /// Keeps the request waiting, and waits for the answer for `limit`.
    pub(super) async fn hear(&mut self, limit: Duration) -> Result<Answer> {
        let sent = Instant::now();
        let requests = [HearRequest::new(self.request.key.clone(), self.request.id)
            .with_mailbox(self.stay.shared.mailbox.id)];
        let call = async {
            let answer = self.stay.shared.store.hear(&requests).await.pop();
            answer.unwrap_or_else(|| Err(self.corrupt("no answer")))
        };
        let reply = bounded(limit, Operation::Hear, Some(&self.request.key), call).await;
        let Timed { observed_at, value, .. } = reply?;
        let answered = Answered { sent, observed_at };
        self.note(answered, matches!(value, Heard::Queued(_)));
        Ok(Answer { answered, value: value.into() })
    }

    fn note(&mut self, answered: Answered, has_place: bool) {
        self.queued = has_place.then_some(answered);
        self.has_place = has_place;
    }

    /// Waits for news of the request.
    pub(super) async fn news(&self) -> News {
        self.entered.news().await
    }

    /// Relies on no answer that came before: notices may have been lost.
    pub(super) const fn forget_answers(&mut self) {
        self.queued = None;
    }

    /// The guard of a lease that came as an answer.
    pub(super) fn guard(&mut self, answered: Answered, lease: Lease) -> LockGuard {
        let lasts = answered.lasts(lease.expires_at);
        self.turn_into_guard(lease, answered.sent, lasts)
    }

    /// The guard of a lease that came as news, if that can be relied on.
    pub(super) fn guard_by_notice(&mut self, grant: &Grant) -> Option<LockGuard> {
        let answered = self.queued?;
        let lasts = answered.lasts_by_notice(grant, Instant::now())?;
        let lease = Lease::granted(&self.request, grant.token, grant.granted_at);
        let lease = lease.with_expires_at(grant.expires_at);
        Some(self.turn_into_guard(lease, answered.sent, lasts))
    }

    fn turn_into_guard(
        &mut self,
        lease: Lease,
        since: Instant,
        lasts: Option<Duration>,
    ) -> LockGuard {
        self.forget_place();
        let outstanding = std::mem::take(&mut self.outstanding) > 0;
        let guard = LockGuard::new(self.stay.clone(), lease, since, lasts, outstanding);
        self.entered.catch_up(&guard, &self.stay.shared.renewals);
        guard
    }

    /// Notes that the request has no place in a queue.
    pub(super) const fn forget_place(&mut self) {
        self.queued = None;
        self.has_place = false;
    }

    /// The error of an answer that was not asked for.
    pub(super) fn corrupt(&self, cause: impl Into<String>) -> Error {
        Error::new(ErrorKind::Corrupt, Operation::Acquire)
            .with_key(self.request.key.clone())
            .with_source(cause.into())
            .unknown()
    }

    fn keep_alive(&self) -> Duration {
        match self.request.on_held {
            OnHeld::Queue { keep_alive, .. } => keep_alive.span(),
            OnHeld::Refuse => Duration::ZERO,
        }
    }
}

/// An answer, and what the lease in it is counted from.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) answered: Answered,
    pub(super) value: Standing,
}

/// What a request has by an answer, whether it was asked or heard.
#[derive(Debug)]
pub(super) enum Standing {
    Granted(Lease),
    Queued(crate::QueuePosition),
    Held(crate::QueuePosition),
    QueueFull(crate::QueuePosition),
    Ended(crate::End),
    Absent,
}

impl From<Acquisition> for Standing {
    fn from(acquisition: Acquisition) -> Self {
        match acquisition {
            Acquisition::Granted(lease) => Self::Granted(lease),
            Acquisition::Queued(position) => Self::Queued(position),
            Acquisition::Held(position) => Self::Held(position),
            Acquisition::QueueFull(position) => Self::QueueFull(position),
            Acquisition::Ended(end) => Self::Ended(end),
        }
    }
}

impl From<Heard> for Standing {
    fn from(heard: Heard) -> Self {
        match heard {
            Heard::Granted(lease) => Self::Granted(lease),
            Heard::Queued(position) => Self::Queued(position),
            Heard::Ended(end) => Self::Ended(end),
            Heard::Absent => Self::Absent,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let answer_outstanding = self.outstanding > 0;
        if !self.has_place && !answer_outstanding {
            return;
        }
        // It may wait for its keep-alive, and hold for the claim window after that, or hold now.
        let longest = self.request.ttl.span().map(|ttl| ttl.max(self.keep_alive() * 2));
        let cancel = CancelRequest::new(self.request.key.clone(), self.request.id);
        Departure {
            stay: self.stay.clone(),
            departing: Departing::Request(cancel.with_answer_outstanding(answer_outstanding)),
            gone_by: longest.map(|longest| Instant::now() + longest),
        }
        .leave();
    }
}
