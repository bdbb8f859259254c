//! A store that is broken in exactly one way: a decorator of the store in memory.

mod acquire;
mod bend;
mod end;
mod list;
mod look;
mod renew;
mod show;
mod transfer;
mod wait;
mod watch;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Clock, EventFilter,
    EventStream, EvictRequest, Eviction, FencingToken, Health, Inspection, Lease, ListQuery,
    LockBackend, LockEvent, LockInspector, LockKey, ManualClock, OwnerId, Page, Release,
    ReleaseRequest, RenewRequest, Renewal, RequestId, Result, Timestamp, Transfer, TransferRequest,
    WaitRequest, Waiter, Wake, Watched,
};
use lock_memory::MemoryBackend;
use tokio::sync::broadcast;

use crate::fault::Fault;
use crate::story::{End, Story};

/// A store that is broken in exactly one way.
///
/// It changes what the store in memory below it is asked, or what that answers, or does more or
/// less than it was asked to, as its fault tells.
#[derive(Clone)]
pub(crate) struct Broken {
    fault: Fault,
    clock: Arc<ManualClock>,
    inner: MemoryBackend,
    /// What happens in the store below, of which the story is made.
    events: Arc<Mutex<EventStream>>,
    story: Arc<Mutex<Story>>,
    /// The leases that waiters are handed, for faults that shout it out.
    handed: broadcast::Sender<Lease>,
}

impl Broken {
    pub(crate) async fn new(fault: Fault, clock: Arc<ManualClock>) -> Self {
        let inner = MemoryBackend::with_clock(Arc::clone(&clock));
        let events = inner.watch(&EventFilter::all()).await.expect("the memory can be watched");
        let (events, story) = (Arc::new(Mutex::new(events)), Arc::default());
        Self { fault, clock, inner, events, story, handed: broadcast::Sender::new(64) }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn story(&self) -> MutexGuard<'_, Story> {
        self.story.lock().expect("no case is run after a panic")
    }

    /// Learns what happened in the store below; answers the leases that waiters were handed.
    fn learn(&self) -> Vec<Lease> {
        let mut handed = Vec::new();
        while let Some(event) = self.next_event() {
            handed.extend(self.story().learn(self.fault, &event));
        }
        for lease in &handed {
            // It is nobody's loss when nobody listens.
            drop(self.handed.send(self.show(lease.clone())));
        }
        handed
    }

    #[expect(clippy::panic, reason = "a story with gaps proves nothing")]
    fn next_event(&self) -> Option<LockEvent> {
        let mut events = self.events.lock().expect("no case is run after a panic");
        let next = std::future::poll_fn(|context| events.as_mut().poll_next(context));
        let next = pin!(tokio::task::unconstrained(next));
        match next.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Watched::Event(event))) => Some(event),
            Poll::Ready(other) => panic!("the story is cut off by {other:?}"),
            Poll::Pending => None,
        }
    }

    async fn leases(&self, key: &LockKey) -> Result<Vec<Lease>> {
        Ok(self.inner.inspect(key).await?.leases)
    }

    async fn waiters(&self, key: &LockKey) -> Result<Vec<Waiter>> {
        Ok(self.inner.inspect(key).await?.waiters)
    }

    /// The lease of the request, if it holds.
    async fn lease_of(&self, key: &LockKey, request: RequestId) -> Result<Option<Lease>> {
        Ok(self.leases(key).await?.into_iter().find(|lease| lease.request == request))
    }

    /// Ends a request in the store below.
    async fn end(&self, key: &LockKey, request: RequestId) -> Result<Cancellation> {
        self.inner.cancel(&CancelRequest::new(key.clone(), request)).await
    }

    /// Ends all that wait for the key in the store below.
    async fn empty_queue(&self, key: &LockKey) -> Result<()> {
        for waiter in self.waiters(key).await?.iter().rev() {
            let _ = self.end(key, waiter.request).await?;
        }
        Ok(())
    }

    /// A lease that no store granted.
    fn invent(&self, asked: &AcquireRequest) -> Lease {
        Lease::granted(asked, FencingToken::following(None, self.now()), self.now())
    }

    /// Settles the key before a command, and spoils what waiters are handed.
    async fn before(&self, key: &LockKey) -> Result<()> {
        let fled = std::mem::take(&mut self.story().fled);
        for (key, request) in fled {
            let _ = self.end(&key, request).await?;
        }
        self.follow_clock_back(key).await?;
        if self.fault.spoils_grants() {
            let _ = self.inner.inspect(key).await?;
        }
        self.after().await
    }

    /// Does what the fault does when the clock jumped back.
    async fn follow_clock_back(&self, key: &LockKey) -> Result<()> {
        let now = self.now();
        let last = std::mem::replace(&mut self.story().last_command, now);
        if now >= last {
            return Ok(());
        }
        match self.fault {
            Fault::JumpsBackEndLeases => {
                for lease in self.leases(key).await? {
                    let _ = self.end(key, lease.request).await?;
                }
            }
            Fault::JumpsBackRevive => {
                let over: Vec<_> = self.story().over(End::Expired).cloned().collect();
                for lease in over.iter().filter(|lease| lease.key == *key && !lease.is_over(now)) {
                    let asked = self.story().asked[&lease.request].clone();
                    drop(self.inner.acquire(&asked).await?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Learns what a command did, and spoils what waiters were handed by it.
    async fn after(&self) -> Result<()> {
        for lease in self.learn() {
            self.spoil(&lease).await?;
        }
        self.learn();
        Ok(())
    }

    async fn spoil(&self, lease: &Lease) -> Result<()> {
        let Some(asked) = self.story().asked.get(&lease.request).cloned() else { return Ok(()) };
        let asked = self.bend(&asked);
        let sleeps = self.story().sleeping.contains(&lease.request);
        match self.fault {
            Fault::GrantsNeedNoClaim => drop(self.inner.acquire(&asked).await?),
            Fault::NeverEndingGrantsNeedNoClaim if lease.ttl.span().is_none() => {
                drop(self.inner.acquire(&asked).await?);
            }
            Fault::ClaimWindowsIgnoreTheTtl => {
                if let lock_core::OnHeld::Queue { keep_alive, .. } = asked.on_held {
                    let ttl = lock_core::Ttl::parse(keep_alive.span()).expect("a short span");
                    let renewal = RenewRequest::new(lease.key.clone(), lease.request, ttl);
                    drop(self.inner.renew(&[renewal]).await);
                }
            }
            Fault::GrantsAreMessages if !sleeps => {
                let _ = self.end(&lease.key, lease.request).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for Broken {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        self.before(&self.key(&asked.key)).await?;
        let told = self.acquire_broken(asked).await?;
        self.after().await?;
        Ok(self.show_acquisition(asked, told))
    }

    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        self.before(&self.key(&awaited.key)).await?;
        let woken = self.wait_broken(awaited).await?;
        self.after().await?;
        Ok(match woken {
            Wake::Granted(lease) => Wake::Granted(self.show(lease)),
            other => other,
        })
    }

    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let told = self.renew_broken(renewals).await;
        told.into_iter().map(|told| told.map(|told| self.show_renewal(told))).collect()
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        self.before(&self.key(&held.key)).await?;
        let told = self.release_broken(held).await?;
        self.after().await?;
        Ok(told)
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        self.before(&self.key(&asked.key)).await?;
        let told = self.cancel_broken(asked).await?;
        self.after().await?;
        Ok(told)
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        self.before(&self.key(&given.key)).await?;
        let told = self.transfer_broken(given).await?;
        self.after().await?;
        Ok(match told {
            Transfer::Transferred(lease) => Transfer::Transferred(self.show(lease)),
            other => other,
        })
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        self.before(&self.key(&eviction.key)).await?;
        let told = self.evict_broken(eviction).await?;
        self.after().await?;
        Ok(Eviction::new(told.leases.into_iter().map(|lease| self.show(lease)).collect()))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Broken {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        self.before(&self.key(key)).await?;
        self.inspect_broken(key).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let page = self.list_broken(query).await?;
        self.after().await?;
        let leases = page.leases.into_iter().map(|lease| self.show(lease)).collect();
        Ok(Page::new(leases, page.next, page.observed_at))
    }

    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        let waiters = self.waits_broken(owner).await?;
        self.after().await?;
        Ok(waiters.into_iter().map(|waiter| self.show_waiter(waiter)).collect())
    }

    async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        self.watch_broken(filter).await
    }

    async fn health(&self) -> Result<Health> {
        let health = self.inner.health().await?;
        Ok(match self.fault {
            Fault::NamesNoStore => Health::new(String::new(), health.warnings),
            _ => health,
        })
    }

    fn capabilities(&self) -> Capabilities {
        match self.fault {
            Fault::ClaimsDurability => self.inner.capabilities().with_durability(),
            _ => self.inner.capabilities(),
        }
    }
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broken").field("fault", &self.fault).finish_non_exhaustive()
    }
}
