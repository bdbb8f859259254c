//! What a case has at hand: a fresh store, its clock, and short ways to ask.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, EvictRequest, Eviction,
    HeadStart, Inspection, KeepAlive, Lease, LockKey, LockStore, OwnerId, Place, Reason, Release,
    ReleaseRequest, RenewRequest, Renewal, RequestId, Transfer, TransferRequest, TransferTo, Ttl,
    WaitRequest, Wake,
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

    /// The keep-alive of this length.
    #[must_use]
    pub fn keep_alive(span: Duration) -> KeepAlive {
        KeepAlive::parse(span).expect("the cases use valid keep-alives")
    }

    /// The head start of this length.
    #[must_use]
    pub fn head_start(span: Duration) -> HeadStart {
        HeadStart::parse(span).expect("the cases use valid head starts")
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
        Self::ask(key, owner).queueing(Self::keep_alive(Self::KEEP_ALIVE))
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

    /// Makes the lease of the request last its ttl from now, which it must.
    pub async fn renewed(&self, asked: &AcquireRequest) -> Lease {
        match self.renew(asked).await {
            Renewal::Renewed(lease) => lease,
            other => panic!("expected a renewed lease, got {other:?}"),
        }
    }

    /// Waits for news of the request for at most `timeout`.
    pub async fn wait(&self, asked: &AcquireRequest, timeout: Duration) -> Wake {
        let awaited = WaitRequest::new(asked.key.clone(), asked.request, timeout);
        self.store.wait(&awaited).await.expect("wait answers")
    }

    /// Hands the lease of the request over.
    pub async fn transfer(&self, asked: &AcquireRequest, to: TransferTo) -> Transfer {
        let given = TransferRequest::new(asked.key.clone(), asked.request, to);
        self.store.transfer(&given).await.expect("transfer answers")
    }

    /// Takes away every lease of `key`, by `admin` for `maintenance`.
    pub async fn evict(&self, key: &str) -> Eviction {
        let reason = Reason::parse("maintenance").expect("a valid reason");
        let eviction = EvictRequest::new(Self::key(key), Self::owner("admin"), reason);
        self.store.evict(&eviction).await.expect("evict answers")
    }

    /// Looks at `key`.
    pub async fn inspect(&self, key: &str) -> Inspection {
        self.store.inspect(&Self::key(key)).await.expect("inspect answers")
    }

    /// The requests that hold `key`, the first to end first.
    pub async fn holding(&self, key: &str) -> Vec<RequestId> {
        self.inspect(key).await.leases.iter().map(|lease| lease.request).collect()
    }

    /// The requests that wait for `key`, the next first.
    pub async fn waiting(&self, key: &str) -> Vec<RequestId> {
        self.inspect(key).await.waiters.iter().map(|waiter| waiter.request).collect()
    }

    /// Looks at `key`, which nobody may hold or wait for.
    pub async fn free(&self, key: &str) {
        let seen = self.inspect(key).await;
        assert_eq!(seen, Inspection::free(Self::key(key), seen.observed_at));
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("store", &self.store).finish_non_exhaustive()
    }
}
