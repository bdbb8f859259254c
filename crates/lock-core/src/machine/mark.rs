//! Rule 13: what a request leaves that was ended by force, or cancelled too early to be sure.

use std::time::Duration;

use super::KeyState;
use super::expiry_set::{Expiring, ExpirySet};
use super::{Step, take};
use crate::{End, FencingToken, LeaseName, RequestId, Timestamp};

/// Lifetime of a mark, unless the lease or queue position would have lasted longer: 5 minutes.
pub const MARK_SPAN: Duration = Duration::from_secs(5 * 60);
/// Maximum lifetime of a mark: 1 hour.
pub const MARK_MAX_SPAN: Duration = Duration::from_secs(60 * 60);
/// Maximum number of marks that a key keeps: 1,024.
pub const MARK_LIMIT: usize = 1024;

/// Record of how a request ended, for commands of it that arrive later.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Mark {
    request: RequestId,
    /// The token of the lease that was ended; `None` when the request had none.
    token: Option<FencingToken>,
    end: End,
    until: Timestamp,
}

impl Expiring for Mark {
    fn request(&self) -> RequestId {
        self.request
    }
    fn ends_at(&self) -> Option<Timestamp> {
        Some(self.until)
    }
}

impl KeyState {
    /// Leaves a mark of a request that would have lasted until `lasted_until`; `None` is for ever.
    ///
    /// Of two marks of one request the first stays, since it has the end of the request, for as
    /// long as the longer of both.
    pub(super) fn mark(
        &mut self,
        now: Timestamp,
        request: RequestId,
        token: Option<FencingToken>,
        end: End,
        lasted_until: Option<Timestamp>,
    ) {
        let longest = now.after(MARK_MAX_SPAN);
        let until = lasted_until.map_or(longest, |until| until.max(now.after(MARK_SPAN)));
        let until = until.min(longest);
        let marks = self.marks.get_or_insert_default();
        let lengthened =
            marks.update_alive(request, now, |mark| mark.until = mark.until.max(until));
        if lengthened.is_some() {
            return;
        }
        marks.remove(request);
        if marks.len() >= MARK_LIMIT
            && let Some(first) = marks.first_to_end().map(Expiring::request)
        {
            marks.remove(first);
        }
        marks.insert(Mark { request, token, end, until });
    }

    pub(super) fn drop_marks(&mut self, step: &mut Step) {
        let Some(marks) = &mut self.marks else { return };
        while let Some(first) = marks.first_to_end()
            && first.is_over(step.now)
            && take(&mut step.left.marks)
        {
            let request = first.request;
            marks.remove(request);
        }
        if matches!(**marks, ExpirySet::Empty) {
            self.marks = None;
        }
    }

    fn mark_of(&self, now: Timestamp, request: RequestId) -> Option<&Mark> {
        self.marks.as_ref()?.get_alive(request, now)
    }

    /// Returns the end of the request, if it left a mark.
    pub(super) fn end_of(&self, now: Timestamp, request: RequestId) -> Option<End> {
        self.mark_of(now, request).map(|mark| mark.end.clone())
    }

    /// Returns the end of the lease, if its request left a mark.
    pub(super) fn end_of_lease(&self, now: Timestamp, lease: &LeaseName) -> Option<End> {
        let mark = self.mark_of(now, lease.request)?;
        mark.token.is_none_or(|token| token == lease.token).then(|| mark.end.clone())
    }
}
