//! `POST /v1/acquire`: one call waits in the queue as long as the client wants it to.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use lock_core::{
    Acquire, Attempt, Error, ErrorKind, HeadStart, KeepAlive, Lease, LockKey, Metadata, Mode,
    Operation, OwnerId, Priority, RequestId, SessionId, Ttl, Wait,
};
use serde::{Deserialize, Serialize};

use crate::Service;
use crate::access::Caller;
use crate::extract::Body;
use crate::problem::Problem;

/// How long a place lives after its last call, unless the client says otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// What a client asks for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asks {
    key: LockKey,
    owner: OwnerId,
    request: Option<RequestId>,
    session: Option<SessionId>,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    ttl: Ttl,
    priority: Option<Priority>,
    head_start: Option<HeadStart>,
    #[serde(default)]
    wait_ms: u64,
    keep_alive: Option<KeepAlive>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Serialize)]
pub(super) struct Granted {
    lease: Lease,
}

impl Asks {
    pub(super) fn request(&self) -> RequestId {
        self.request.unwrap_or_else(RequestId::random)
    }

    pub(super) fn is_allowed(&self, caller: &Caller) -> Result<(), Problem> {
        caller.needs_key(&self.key)
    }

    pub(super) fn wait(&self, service: &Service) -> Result<Duration, Problem> {
        let (wait, longest) = (Duration::from_millis(self.wait_ms), service.config.longest_wait);
        if wait <= longest {
            return Ok(wait);
        }
        let longest = longest.as_millis();
        Err(Problem::invalid(format!("wait_ms is {}, at most {longest}", self.wait_ms)))
    }

    /// What all ways to acquire have in common.
    fn of<P>(&self, acquire: Acquire<P>, request: RequestId) -> Acquire<P> {
        let acquire = acquire.owner(self.owner.clone()).request(request).mode(self.mode);
        let acquire = acquire.ttl(self.ttl).metadata(self.metadata.clone());
        let acquire = match self.session {
            Some(session) => acquire.session(session),
            None => acquire,
        };
        match (self.head_start, self.priority) {
            (Some(head_start), _) => acquire.head_start(head_start),
            (None, Some(priority)) => acquire.priority(priority),
            (None, None) => acquire,
        }
    }

    /// A request that waits in the queue.
    pub(super) fn queued(&self, service: &Service, request: RequestId) -> Acquire<Wait> {
        let acquire = self.of(service.manager.acquire(self.key.clone()), request);
        match self.keep_alive {
            Some(keep_alive) => acquire.keep_alive(keep_alive),
            None => acquire.keep_alive(KEEP_ALIVE),
        }
    }

    /// Asks once.
    pub(super) async fn once(
        &self,
        service: &Service,
        request: RequestId,
    ) -> Result<Attempt, Error> {
        self.of(service.manager.try_acquire(self.key.clone()), request).await
    }

    /// The error of one who asked once.
    pub(super) fn held(&self, position: lock_core::Timed<lock_core::QueuePosition>) -> Error {
        let error = Error::new(ErrorKind::WaitOver, Operation::Acquire);
        error.with_key(self.key.clone()).with_position(position)
    }
}

pub(super) async fn acquire(
    State(service): State<Service>,
    caller: Caller,
    Body(asks): Body<Asks>,
) -> Result<Json<Granted>, Problem> {
    asks.is_allowed(&caller)?;
    let (request, wait) = (asks.request(), asks.wait(&service)?);
    let lease = if wait.is_zero() {
        match asks.once(&service, request).await {
            Ok(Attempt::Acquired(guard)) => guard.into_lease().await.map_err(Error::from),
            Ok(Attempt::Held(position)) => Err(asks.held(position)),
            Err(error) => Err(error),
        }
    } else {
        let _waiting = service.waits(&caller)?;
        asks.queued(&service, request).wait(wait).lease().await
    };
    match lease {
        Ok(lease) => Ok(Json(Granted { lease })),
        Err(error) => {
            let problem = Problem::from(error).with_request(request);
            Err(service.veil(caller).problem(problem))
        }
    }
}
