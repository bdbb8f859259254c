//! What a case has at hand: a fresh store, its clock, and short ways to ask.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, KeepAlive, Lease,
    LockKey, LockStore, OwnerId, Place, Release, ReleaseRequest, RenewRequest, Renewal, RequestId,
    Ttl,
};

use crate::Fixture;

/// What a case has at hand: a fresh store, its clock, and short ways to ask.
///
/// The short ways panic upon an error of the store, which is how a case fails.
pub struct World {
    fixture: Box<dyn Fixture>,
    store: Arc<dyn LockStore>,
}

impl World {
    /// The keep-alive of every waiter that [`queueing`](Self::queueing) makes.
    pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
    /// The ttl of every request that [`ask`](Self::ask) makes.
    pub const TTL: Duration = Duration::from_secs(30);

    /// Starts a fresh store.
    pub async fn start<F: Fixture>() -> Self {
        let fixture = Box::new(F::start().await);
        let store = fixture.connect().await;
        Self { fixture, store }
    }

    /// The first connection to the store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn LockStore> {
        &self.store
    }

    /// Reaches the store as another process would.
    pub async fn connect(&self) -> Arc<dyn LockStore> {
        self.fixture.connect().await
    }

    /// Lets this much time pass on the store's clock.
    pub async fn elapse(&self, span: Duration) {
        self.fixture.elapse(span).await;
    }

    /// Sets the store's clock back, if it can be.
    pub async fn set_back(&self, span: Duration) -> bool {
        self.fixture.set_back(span).await
    }

    /// What the store must say of itself.
    #[must_use]
    pub fn expected(&self) -> Capabilities {
        self.fixture.expected()
    }

    /// The key `text`.
    #[must_use]
    pub fn key(text: &str) -> LockKey {
        LockKey::parse(text).expect("the cases use valid keys")
    }

    /// The owner `text`.
    #[must_use]
    pub fn owner(text: &str) -> OwnerId {
        OwnerId::parse(text).expect("the cases use valid owners")
    }

    /// The ttl of this length.
    #[must_use]
    pub fn ttl(span: Duration) -> Ttl {
        Ttl::parse(span).expect("the cases use valid ttls")
    }

    /// A new exclusive request for `key`, refused when held.
    #[must_use]
    pub fn ask(key: &str, owner: &str) -> AcquireRequest {
        AcquireRequest::new(RequestId::random(), Self::key(key), Self::owner(owner))
            .with_ttl(Self::ttl(Self::TTL))
    }

    /// A new exclusive request for `key`, queued when held.
    #[must_use]
    pub fn queueing(key: &str, owner: &str) -> AcquireRequest {
        let keep_alive = KeepAlive::parse(Self::KEEP_ALIVE).expect("a valid keep-alive");
        Self::ask(key, owner).queueing(keep_alive)
    }

    /// Asks, and answers what became of it.
    pub async fn acquire(&self, asked: &AcquireRequest) -> Acquisition {
        self.store.acquire(asked).await.expect("acquire answers")
    }

    /// Asks, and must be granted.
    pub async fn granted(&self, asked: &AcquireRequest) -> Lease {
        match self.acquire(asked).await {
            Acquisition::Granted(lease) => lease,
            other => panic!("expected a grant, got {other:?}"),
        }
    }

    /// Asks, and must be queued.
    pub async fn queued(&self, asked: &AcquireRequest) -> Place {
        match self.acquire(asked).await {
            Acquisition::Queued(place) => place,
            other => panic!("expected a place in the queue, got {other:?}"),
        }
    }

    /// Asks, and must be refused.
    pub async fn refused(&self, asked: &AcquireRequest) -> Place {
        match self.acquire(asked).await {
            Acquisition::Held(place) => place,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// Gives the lease of the request back.
    pub async fn release(&self, asked: &AcquireRequest) -> Release {
        let held = ReleaseRequest::new(asked.key.clone(), asked.request);
        self.store.release(&held).await.expect("release answers")
    }

    /// Ends the request.
    pub async fn cancel(&self, asked: &AcquireRequest) -> Cancellation {
        let ended = CancelRequest::new(asked.key.clone(), asked.request);
        self.store.cancel(&ended).await.expect("cancel answers")
    }

    /// Makes the lease of the request last its ttl from now.
    pub async fn renew(&self, asked: &AcquireRequest) -> Renewal {
        let renewal = RenewRequest::new(asked.key.clone(), asked.request, asked.ttl);
        let mut renewals = self.store.renew(&[renewal]).await;
        assert_eq!(renewals.len(), 1, "one answer for one renewal");
        renewals.remove(0).expect("renew answers")
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("store", &self.store).finish_non_exhaustive()
    }
}
