//! What a case has at hand: a fresh store, its clock, and short ways to ask.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a case fails by panicking")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, EvictRequest, Eviction,
    HeadStart, Inspection, KeepAlive, Lease, ListQuery, LockKey, LockStore, OwnerId, Place, Reason,
    Release, ReleaseRequest, RenewRequest, Renewal, RequestId, Transfer, TransferRequest,
    TransferTo, Ttl, WaitRequest, Waiter, Wake,
};
use tokio::time::Instant;

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
    /// What a lease or a waiter lasts whose end a case waits for.
    pub const BRIEF: Duration = Duration::from_millis(500);
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

    /// Why this world's `admin` evicts.
    #[must_use]
    pub fn reason() -> Reason {
        Reason::parse("maintenance").expect("a valid reason")
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

    /// New exclusive requests for `key` that wait as long as a case may take.
    #[must_use]
    pub fn patient(count: usize) -> Vec<AcquireRequest> {
        let keep_alive = Self::keep_alive(KeepAlive::MAX);
        let ask = |number| Self::ask("key", &format!("owner-{number}")).queueing(keep_alive);
        (0..count).map(ask).collect()
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

    /// A request that holds `key`, and one that waits for it.
    pub async fn holder_and_waiter(&self) -> (AcquireRequest, AcquireRequest) {
        let (holder, waiter) = (Self::ask("key", "alice"), Self::queueing("key", "bob"));
        self.granted(&holder).await;
        self.queued(&waiter).await;
        (holder, waiter)
    }

    /// Gives the lease of the request back.
    pub async fn release(&self, asked: &AcquireRequest) -> Release {
        let held = ReleaseRequest::new(asked.key.clone(), asked.request);
        self.store.release(&held).await.expect("release answers")
    }

    /// Gives the lease of the request back, which must hold.
    pub async fn released(&self, asked: &AcquireRequest) {
        assert_eq!(self.release(asked).await, Release::Released);
    }

    /// Ends the request, which must wait.
    pub async fn dequeued(&self, asked: &AcquireRequest) {
        assert_eq!(self.cancel(asked).await, Cancellation::Dequeued);
    }

    /// Ends the request.
    pub async fn cancel(&self, asked: &AcquireRequest) -> Cancellation {
        let ended = CancelRequest::new(asked.key.clone(), asked.request);
        self.store.cancel(&ended).await.expect("cancel answers")
    }

    /// Releases the key that `holder` has, then lets each of the waiters have it, of which each
    /// must hold in its turn; then the key must be free.
    pub async fn served(&self, holder: &AcquireRequest, turns: &[&AcquireRequest]) {
        let mut last = holder;
        for next in turns {
            assert_eq!(self.release(last).await, Release::Released);
            assert_eq!(self.granted(next).await.request, next.request);
            last = next;
        }
        assert_eq!(self.release(last).await, Release::Released);
        self.free(holder.key.as_str()).await;
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

    /// Waits for news of the request until it is granted or `patience` is over.
    ///
    /// A wait is a hint and may end for no reason, so it is repeated, but not without end.
    pub async fn news(
        store: Arc<dyn LockStore>,
        asked: AcquireRequest,
        patience: Duration,
    ) -> Option<Lease> {
        let end = Instant::now() + patience;
        for _ in 0..10 {
            let rest = end - Instant::now();
            let awaited = WaitRequest::new(asked.key.clone(), asked.request, rest);
            match store.wait(&awaited).await.expect("wait answers") {
                Wake::Granted(lease) => return Some(lease),
                _ if Instant::now() >= end => return None,
                _ => {}
            }
        }
        panic!("the wait for {asked:?} ends all the time for no reason");
    }

    /// Hands the lease of the request over.
    pub async fn transfer(&self, asked: &AcquireRequest, to: TransferTo) -> Transfer {
        let given = TransferRequest::new(asked.key.clone(), asked.request, to);
        self.store.transfer(&given).await.expect("transfer answers")
    }

    /// Takes away every lease of `key`, by `admin` for `maintenance`.
    pub async fn evict(&self, key: &str) -> Eviction {
        let eviction = EvictRequest::new(Self::key(key), Self::owner("admin"), Self::reason());
        self.store.evict(&eviction).await.expect("evict answers")
    }

    /// Takes away the lease of the request alone, by `admin` for `maintenance`.
    pub async fn evict_only(&self, asked: &AcquireRequest) -> Eviction {
        let (key, by) = (asked.key.clone(), Self::owner("admin"));
        let eviction = EvictRequest::new(key, by, Self::reason());
        self.store.evict(&eviction.only(asked.request)).await.expect("evict answers")
    }

    /// Hands the lease of the request over, which must succeed.
    pub async fn transferred(&self, asked: &AcquireRequest, to: TransferTo) -> Lease {
        match self.transfer(asked, to).await {
            Transfer::Transferred(lease) => lease,
            other => panic!("expected a transferred lease, got {other:?}"),
        }
    }

    /// The leases of all pages, in the order of their keys and then their requests.
    pub async fn list(&self, query: ListQuery) -> Vec<Lease> {
        let (mut query, mut leases) = (query, Vec::new());
        loop {
            let page = self.store.list(&query).await.expect("list answers");
            assert!(page.leases.len() <= query.limit.get() as usize, "a page is within its limit");
            leases.extend(page.leases);
            let Some(next) = page.next else { break };
            assert_ne!(Some(&next), query.cursor.as_ref(), "the next page is another");
            query = query.after(next);
        }
        leases.sort_by_key(|lease| (lease.key.clone(), lease.request));
        leases
    }

    /// The requests of `owner` that wait, in the order of their keys and then their requests.
    pub async fn waits_of(&self, owner: &str) -> Vec<Waiter> {
        let mut waits = self.store.waits_of(&Self::owner(owner)).await.expect("waits_of answers");
        waits.sort_by_key(|waiter| (waiter.key.clone(), waiter.request));
        waits
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

    /// The lease of `key`, of which there must be one.
    pub async fn only_lease(&self, key: &str) -> Lease {
        let mut seen = self.inspect(key).await;
        assert_eq!((seen.holders, seen.leases.len()), (1, 1));
        seen.leases.remove(0)
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
