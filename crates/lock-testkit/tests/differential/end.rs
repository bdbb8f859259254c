//! Ends of leases and waits, and the marks they leave, in the naive form of the rules.

use std::time::Duration;

use lock_core::{
    AcquireRequest, CancelRequest, Cancellation, Change, End, FencingToken, Lease, LeaseName,
    Notice, Release, ReleaseRequest, RequestId, Timestamp, Transfer, TransferRequest, TransferTo,
};

use super::{Command, Held, Mark, Waiting};
use crate::fault::Fault;

const FIVE_MINUTES: Duration = Duration::from_secs(300);
const HOUR: Duration = Duration::from_secs(3600);

impl Command<'_> {
    pub(super) fn end(&mut self, request: RequestId) -> Option<Held> {
        let at = self.key.held.iter().position(|held| held.lease.request == request)?;
        Some(self.key.held.remove(at))
    }

    /// Leaves a mark of a request that would have lasted this long.
    pub(super) fn mark(
        &mut self,
        request: RequestId,
        token: Option<FencingToken>,
        end: End,
        lasted_until: Option<Timestamp>,
    ) {
        let is_short = self.has(Fault::MarksAreShort);
        let most = self.now.after(HOUR);
        let least = self.now.after(FIVE_MINUTES);
        let until = lasted_until.unwrap_or(most).max(least).min(most);
        let until = if is_short { least } else { until };
        match self.key.marks.iter_mut().find(|mark| mark.request == request) {
            Some(mark) => mark.until = mark.until.max(until),
            None => self.key.marks.push(Mark { request, token, end, until }),
        }
    }

    /// The end of the request, or of its lease with this token.
    pub(super) fn end_of(&self, request: RequestId, token: Option<FencingToken>) -> Option<End> {
        let mark = self.key.marks.iter().find(|mark| mark.request == request)?;
        let is_meant = token.is_none() || mark.token.is_none() || mark.token == token;
        (is_meant || self.has(Fault::MarksIgnoreTheToken)).then(|| mark.end.clone())
    }

    fn end_of_lease(&self, name: &LeaseName) -> Option<End> {
        self.end_of(name.request, Some(name.token))
    }

    pub(crate) fn release(&mut self, request: &ReleaseRequest) -> Release {
        self.settle();
        let name = &request.lease;
        if self.named(name, Fault::ReleasesIgnoreTheToken).is_none() {
            return self.end_of_lease(name).map_or(Release::NotHeld, Release::Ended);
        }
        self.give_back(name.request);
        Release::Released
    }

    fn give_back(&mut self, request: RequestId) {
        let ended = self.end(request).unwrap();
        self.changes.push(Change::Released(ended.lease));
        self.promote();
    }

    pub(crate) fn cancel(&mut self, request: &CancelRequest) -> Cancellation {
        let id = request.request;
        self.settle_for(id);
        let told = self.notices.len();
        let token = self.held(id).map(|held| held.lease.token);
        let reply = if let Some(waiting) = self.leave(id) {
            self.changes.push(Change::Cancelled(waiting.shown));
            self.promote();
            Cancellation::Dequeued
        } else if token.is_some() {
            self.give_back(id);
            Cancellation::Released
        } else {
            if self.has(Fault::CancelsSettleTwice) {
                self.left.waiters = 64;
                self.settle();
            }
            Cancellation::Absent
        };
        if self.has(Fault::GrantsByCancelAreNotTold) {
            self.notices.truncate(told);
        }
        if request.answer_outstanding && !self.has(Fault::CancelsLeaveNoMark) {
            self.mark(id, token, End::Cancelled, Some(self.now));
        }
        reply
    }

    pub(super) fn leave(&mut self, request: RequestId) -> Option<Waiting> {
        let at = self.key.queue.iter().position(|it| it.shown.request == request)?;
        let left = self.key.queue.remove(at);
        if self.key.queue.is_empty() {
            self.key.last_arrival = Timestamp::default();
        }
        Some(left)
    }

    pub(crate) fn transfer(&mut self, request: &TransferRequest) -> Transfer {
        let (name, receiver) = (&request.lease, request.to.request());
        self.settle_for(receiver);
        let forgets = self.has(Fault::TransfersForgetTheGiver);
        let giver = self.named(name, Fault::TransfersIgnoreTheToken);
        let Some((from, giver_mailbox)) = giver.map(|held| (held.lease.clone(), held.mailbox))
        else {
            return match self.held(receiver) {
                Some(held) if held.given_by.as_ref() == Some(name) && !forgets => {
                    Transfer::Transferred(held.lease.clone())
                }
                _ => self.end_of_lease(name).map_or(Transfer::NotHeld, Transfer::Ended),
            };
        };
        if self.held(receiver).is_some() {
            return Transfer::AlreadyHolds;
        }
        let waiting = self.key.queue.iter().find(|it| it.shown.request == receiver);
        let terms = waiting.map(|waiting| waiting.request.clone());
        let (to, mailbox, unclaimed) = match (&request.to, terms) {
            (TransferTo::Owner { owner, request, metadata }, None)
                if self.end_of(receiver, None).is_none()
                    || self.has(Fault::TransfersPassMarksBy) =>
            {
                let terms = AcquireRequest::new(*request, from.key.clone(), owner.clone())
                    .with_mode(from.mode)
                    .with_ttl(from.ttl)
                    .with_metadata(metadata.clone());
                let token = self.token();
                (Lease::granted(&terms, token, self.now), None, false)
            }
            (to, Some(terms)) if terms.mode == from.mode && self.is_meant(to, &terms) => {
                let waiting = self.leave(receiver).unwrap();
                (self.handed(&waiting), waiting.mailbox, true)
            }
            _ => return Transfer::NotWaiting,
        };
        self.end(from.request);
        if !self.has(Fault::TransfersAreNotTold) {
            self.tell_grant(mailbox, &to);
        }
        let given_by = Some(from.name());
        self.put(Held { lease: to.clone(), mailbox, unclaimed, given_by });
        let end = End::Transferred { by: request.by.clone(), to: to.owner.clone() };
        let (key, token) = (from.key.clone(), Some(from.token));
        let told = Notice::Ended { key, request: from.request, token, end: end.clone() };
        self.tell(giver_mailbox, told);
        self.mark(from.request, token, end, from.expires_at);
        self.changes.push(Change::Transferred { from, to: to.clone() });
        Transfer::Transferred(to)
    }

    fn is_meant(&self, to: &TransferTo, terms: &AcquireRequest) -> bool {
        match to {
            TransferTo::Owner { owner, .. } => {
                *owner == terms.owner || self.has(Fault::TransfersIgnoreTheOwner)
            }
            _ => true,
        }
    }
}
