//! Rule 13 in plain words: what a request leaves that was ended by force or cancelled early.

use std::collections::BTreeMap;
use std::time::Duration;

use lock_core::{End, FencingToken, LeaseName, RequestId, Timestamp};

const FIVE_MINUTES: Duration = Duration::from_secs(5 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
struct Mark {
    token: Option<FencingToken>,
    end: End,
    until: Timestamp,
}

/// The marks of a key, fewer than it may keep.
#[derive(Debug, Default)]
pub(crate) struct Marks(BTreeMap<RequestId, Mark>);

impl Marks {
    /// Drops the marks that are over.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        self.0.retain(|_, mark| mark.until > now);
    }

    /// A request is ended that would have lasted so long; the first of two ends stays.
    pub(crate) fn add(
        &mut self,
        now: Timestamp,
        request: RequestId,
        token: Option<FencingToken>,
        end: &End,
        lasted_until: Option<Timestamp>,
    ) {
        let (least, most) = (now.after(FIVE_MINUTES), now.after(HOUR));
        let until = lasted_until.unwrap_or(most).max(least).min(most);
        let mark = self.0.entry(request).or_insert(Mark { token, end: end.clone(), until });
        mark.until = mark.until.max(until);
    }

    /// Returns the end of the request.
    pub(crate) fn of(&self, now: Timestamp, request: RequestId) -> Option<&End> {
        self.0.get(&request).filter(|mark| mark.until > now).map(|mark| &mark.end)
    }

    /// Returns the end of the lease, or of its request if that had none.
    pub(crate) fn of_lease(&self, now: Timestamp, name: &LeaseName) -> Option<&End> {
        let token = self.0.get(&name.request)?.token;
        self.of(now, name.request).filter(|_| token.is_none() || token == Some(name.token))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
