//! Detection of deadlocks between sessions.
//!
//! A request that waits in a session that holds other keys looks at the session of the holder. If that waits as well, the
//! detection follows the waits from session to session, and looks for a knot. Two equal looks make it
//! certain: every wait and lease of a knot that is there in both was there at one time between them.
//! The victim ends its own request; no manager ends a request of another.

mod graph;
mod policy;

pub use policy::{DeadlockPolicy, VictimChoice};

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::Shared;
use super::bounded::bounded;
use super::session::SessionScope;
use crate::{
    Deadlock, DeadlockMember, InspectQuery, Inspection, LockKey, Operation, QueuePosition,
    RequestId, Result, SessionId, Waiter, WaitsQuery,
};
use graph::{Graph, Wait};

/// Maximum number of sessions that one look follows.
const SESSIONS: usize = 64;
/// Maximum number of leases and of waiters of a key that are looked at.
const SHOWN: NonZeroU32 = NonZeroU32::new(256).expect("256 is not zero");
/// Pause before the second look: releases that are on their way arrive meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// A request that waits in a session.
#[derive(Debug)]
pub(super) struct Detector {
    pub(super) shared: Arc<Shared>,
    pub(super) key: LockKey,
    pub(super) request: RequestId,
    pub(super) session: SessionScope,
    pub(super) heartbeat: Duration,
}

impl Detector {
    /// Looks now, and then at each heartbeat, until the request is the victim of a deadlock.
    pub(super) async fn until_victim(self, position: Option<QueuePosition>) -> Deadlock {
        let mut holder = position.and_then(only_blocker);
        loop {
            // Nobody waits for a session that holds nothing.
            let is_idle = self.session.is_local && !self.shared.sessions.holds(self.session.id);
            let found = match is_idle {
                true => Ok(None),
                false => self.look(holder).await,
            };
            holder = None;
            match found {
                Ok(Some(deadlock)) => return deadlock,
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(lock.key = %self.key, %error, "no look for deadlocks");
                }
            }
            sleep(self.heartbeat).await;
        }
    }

    /// Looks whether the one session in the way waits, where there is only one, and goes on only then.
    async fn look(&self, holder: Option<SessionId>) -> Result<Option<Deadlock>> {
        match holder {
            Some(holder)
                if holder != self.session.id && self.waits_of(holder).await?.is_empty() =>
            {
                Ok(None)
            }
            _ => self.find().await,
        }
    }

    /// Looks twice, and returns the deadlock whose victim the request is.
    async fn find(&self) -> Result<Option<Deadlock>> {
        let members = self.knot().await?;
        let is_own = |member: &&DeadlockMember| member.waiter.request == self.request;
        let Some(own) = members.iter().find(is_own) else { return Ok(None) };
        let victim = self.shared.config.deadlock_policy.victim(&members, own);
        if victim.waiter.request != self.request {
            return Ok(None);
        }
        // Nobody but the session itself can change that it waits for itself.
        let is_alone = members.len() == 1 && !self.shared.sessions.has_departing(self.session.id);
        if !is_alone {
            sleep(PAUSE).await;
            let is_same = are_same(&self.knot().await?, &members);
            // A session that gives something back may go on with that.
            if !is_same || self.shared.sessions.has_departing(self.session.id) {
                return Ok(None);
            }
        }
        Ok(Some(Deadlock { members }))
    }

    /// The knot that the session is in, as one look shows it.
    async fn knot(&self) -> Result<Vec<DeadlockMember>> {
        let (mut graph, mut keys) = (Graph::default(), HashMap::new());
        let (mut known, mut open) = (BTreeSet::from([self.session.id]), VecDeque::new());
        let mut waits = vec![(self.request, self.key.clone())];
        loop {
            for (request, key) in waits {
                if !keys.contains_key(&key) {
                    keys.insert(key.clone(), self.inspect(&key).await?);
                }
                let Some(wait) = Wait::of(request, &keys[&key]) else { continue };
                for blocker in wait.all.iter().chain(&wait.any) {
                    if known.len() < SESSIONS && known.insert(blocker.session) {
                        open.push_back(blocker.session);
                    }
                }
                graph.insert(wait);
            }
            let Some(session) = open.pop_front() else { return Ok(graph.knot(self.session.id)) };
            let waiters = self.waits_of(session).await?;
            waits = waiters.into_iter().map(|waiter| (waiter.request, waiter.key)).collect();
        }
    }

    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        let query = InspectQuery::new(key.clone()).with_limit(SHOWN);
        let limit = self.shared.config.operation_timeout.span();
        let call = self.shared.store.inspect(&query);
        Ok(bounded(limit, Operation::Inspect, Some(key), call).await?.value)
    }

    async fn waits_of(&self, session: SessionId) -> Result<Vec<Waiter>> {
        let mut query = WaitsQuery::new(session);
        let mut waiters = Vec::new();
        loop {
            let limit = self.shared.config.operation_timeout.span();
            let call = self.shared.store.waits_of(&query);
            let page = bounded(limit, Operation::WaitsOf, None, call).await?.value;
            waiters.extend(page.items);
            match page.next {
                Some(next) => query = query.after(next),
                None => return Ok(waiters),
            }
        }
    }
}

/// The session of the holder, if nothing else is in the way of the request.
fn only_blocker(position: QueuePosition) -> Option<SessionId> {
    let is_next_of_one = position.position == 1 && position.holders == 1;
    position.holder.filter(|_| is_next_of_one).map(|holder| holder.session)
}

/// Returns `true` if every wait and lease is the same. Hearings in between do not count.
fn are_same(one: &[DeadlockMember], other: &[DeadlockMember]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.is_same(other))
}
