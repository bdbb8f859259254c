//! The receiver of a transfer whose outcome is not known yet.

use std::sync::Arc;

use tokio::time::Instant;

use super::releaser::{ReleaseCommand, ReleaseJob};
use super::{Shared, TrackerToken};
use crate::{CancelRequest, Lease, RequestId, SessionId};

/// A request that a lease is being transferred to: until it is known what became of that, it may hold.
pub(super) struct Successor {
    shared: Arc<Shared>,
    request: CancelRequest,
    gone_by: Option<Instant>,
    session: SessionId,
    pub(super) may_hold: bool,
}

impl Successor {
    pub(super) fn new(shared: &Arc<Shared>, lease: &Lease, request: RequestId) -> Self {
        let cancel = CancelRequest::new(lease.key.clone(), request);
        let request = cancel.with_answer_outstanding(true);
        let gone_by = lease.ttl.span().map(|span| Instant::now() + span);
        let (shared, session) = (Arc::clone(shared), lease.session);
        Self { shared, request, gone_by, session, may_hold: true }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.may_hold {
            let command = ReleaseCommand::Request(self.request.clone());
            let tracker = TrackerToken::new(&self.shared);
            ReleaseJob::new(tracker, command, self.gone_by, self.session).leave();
        }
    }
}
