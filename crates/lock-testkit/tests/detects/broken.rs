//! A store that is broken in exactly one way: a decorator of the store in memory.

mod acquire;
mod bend;
mod end;
mod hear;
mod list;
mod look;
mod mark;
mod notify;
mod renew;
mod show;
mod transfer;
mod upgrade;
mod watch;

use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Clock, EventCursor,
    EventFilter, EventStream, EvictRequest, Eviction, FencingToken, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockEvent, LockInspector, LockKey,
    MailboxId, ManualClock, NoticeStream, Page, Release, ReleaseAppeal, ReleaseRequest,
    ReleaseRequested, RenewRequest, Renewal, RequestId, Result, Timed, Timestamp, Transfer,
    TransferRequest, Waiter, WaitsQuery, Watched,
};
use lock_memory::MemoryBackend;

use crate::fault::Fault;
use crate::scenario::{Ending, Scenario};

/// A store that is broken in exactly one way, as one connection reaches it.
///
/// It changes the commands to the store in memory below, or the answers, or does more or less than
/// asked, according to its fault.
#[derive(Clone)]
pub(crate) struct Broken {
    fault: Fault,
    clock: Arc<ManualClock>,
    inner: MemoryBackend,
    /// The events of the store below, from which the scenario is built.
    events: Arc<Mutex<EventStream>>,
    story: Arc<Mutex<Scenario>>,
    /// The number of this connection, and how many there are.
    seat: u64,
    seats: Arc<AtomicU64>,
}

impl Broken {
    pub(crate) async fn new(fault: Fault, clock: Arc<ManualClock>) -> Self {
        let inner = MemoryBackend::with_clock(Arc::clone(&clock));
        let events = inner.watch(&EventFilter::all(), None).await;
        let events = Arc::new(Mutex::new(events.expect("the memory can be watched")));
        let seats = Arc::new(AtomicU64::new(1));
        Self { fault, clock, inner, events, story: Arc::default(), seat: 0, seats }
    }

    /// Another connection to the same store.
    pub(crate) fn connect(&self) -> Self {
        Self { seat: self.seats.fetch_add(1, Ordering::Relaxed), ..self.clone() }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The reply, stamped with the time that the fault shows.
    fn timed<T>(&self, value: T) -> Timed<T> {
        let now = self.now();
        let mut story = self.story();
        let first = *story.first_reply.get_or_insert(now);
        Timed::new(if self.is(Fault::StampsRepliesOnce) { first } else { now }, value)
    }

    fn story(&self) -> MutexGuard<'_, Scenario> {
        self.story.lock().expect("no case is run after a panic")
    }

    /// Reads the events of the store below; returns the leases that waiters were handed.
    fn learn(&self) -> Vec<Lease> {
        let mut handed = Vec::new();
        while let Some(event) = self.next_event() {
            handed.extend(self.story().learn(self.fault, &event));
        }
        for lease in &handed {
            self.story().granted_by.insert(lease.request, self.seat);
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

    async fn seen(&self, key: &LockKey) -> Result<Inspection> {
        let limit = std::num::NonZeroU32::new(InspectQuery::MAX_LIMIT).expect("not zero");
        let query = InspectQuery::new(key.clone()).with_limit(limit);
        Ok(self.inner.inspect(&query).await?.value)
    }

    async fn leases(&self, key: &LockKey) -> Result<Vec<Lease>> {
        Ok(self.seen(key).await?.leases)
    }

    async fn waiters(&self, key: &LockKey) -> Result<Vec<Waiter>> {
        Ok(self.seen(key).await?.waiters.items)
    }

    /// The lease of the request, if it holds.
    async fn lease_of(&self, key: &LockKey, request: RequestId) -> Result<Option<Lease>> {
        Ok(self.leases(key).await?.into_iter().find(|lease| lease.request == request))
    }

    /// Acquires in the store below.
    async fn acquire_below(&self, request: &AcquireRequest) -> Result<Acquisition> {
        Ok(self.inner.acquire(request).await?.value)
    }

    /// Renews in the store below.
    async fn renew_below(&self, request: &RenewRequest) -> Result<Renewal> {
        Ok(self.inner.renew(std::slice::from_ref(request)).await.remove(0)?.value)
    }

    /// Ends a request in the store below.
    async fn end(&self, key: &LockKey, request: RequestId) -> Result<Cancellation> {
        Ok(self.inner.cancel(&CancelRequest::new(key.clone(), request)).await?.value)
    }

    /// Ends all other waiters of the key in the store below.
    async fn empty_queue(&self, key: &LockKey, but: Option<RequestId>) -> Result<()> {
        for waiter in self.waiters(key).await?.iter().rev() {
            if Some(waiter.request) != but {
                let _ = self.end(key, waiter.request).await?;
            }
        }
        Ok(())
    }

    /// A lease that no store granted.
    fn invent(&self, request: &AcquireRequest) -> Lease {
        Lease::granted(request, FencingToken::following(None, self.now()), self.now())
    }

    /// Settles the key before a command, and distorts the leases that waiters are handed.
    async fn before(&self, key: &LockKey) -> Result<()> {
        self.follow_clock_back(key).await?;
        if self.fault.spoils_grants() {
            let _ = self.seen(key).await?;
        }
        self.after().await
    }

    /// Applies the fault after a jump back of the clock.
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
                let over: Vec<_> = self.story().over(Ending::Expired).cloned().collect();
                for lease in over.iter().filter(|lease| lease.key == *key && !lease.is_over(now)) {
                    let request = self.story().asked[&lease.request].clone();
                    let _ = self.acquire_below(&request).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the events of a command, and distorts the leases that waiters were handed.
    async fn after(&self) -> Result<()> {
        for lease in self.learn() {
            self.spoil(&lease).await?;
        }
        self.learn();
        Ok(())
    }

    async fn spoil(&self, lease: &Lease) -> Result<()> {
        let Some(request) = self.story().asked.get(&lease.request).cloned() else { return Ok(()) };
        let request = self.bend(&request);
        let is_open = request.mailbox.is_some_and(|open| self.story().open.contains(&open));
        match self.fault {
            Fault::GrantsNeedNoClaim => drop(self.acquire_below(&request).await?),
            Fault::NeverEndingGrantsNeedNoClaim if lease.ttl.span().is_none() => {
                drop(self.acquire_below(&request).await?);
            }
            Fault::ClaimWindowsIgnoreTheTtl => {
                if let lock_core::OnHeld::Queue { keep_alive, .. } = request.on_held {
                    let ttl = lock_core::Ttl::parse(keep_alive.span()).expect("a short span");
                    let _ = self.renew_below(&RenewRequest::new(lease.name(), ttl)).await?;
                }
            }
            Fault::GrantsAreMessages if !is_open => {
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
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        self.listen_broken(mailbox).await
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        self.before(&self.key(&request.key)).await?;
        let told = self.acquire_broken(request).await?;
        self.after().await?;
        Ok(self.timed(self.show_acquisition(request, told)))
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        self.hear_broken(requests).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        self.renew_broken(requests).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        self.before(&self.key(&request.lease.key)).await?;
        let told = self.release_broken(request).await?;
        self.after().await?;
        Ok(self.timed(told))
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        self.before(&self.key(&request.key)).await?;
        let told = self.cancel_broken(request).await?;
        self.after().await?;
        Ok(self.timed(told))
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        self.before(&self.key(&request.lease.key)).await?;
        let told = self.transfer_broken(request).await?;
        self.after().await?;
        Ok(self.timed(match told {
            Transfer::Transferred(lease) => Transfer::Transferred(self.show(lease)),
            other => other,
        }))
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        self.before(&self.key(&request.key)).await?;
        let mut told = self.evict_broken(request).await?;
        self.after().await?;
        told.leases = told.leases.into_iter().map(|lease| self.show(lease)).collect();
        told.waiter = told.waiter.map(|waiter| self.show_waiter(waiter));
        Ok(self.timed(told))
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        self.before(&self.key(&appeal.key)).await?;
        let told = self.request_release_broken(appeal).await?;
        self.after().await?;
        Ok(self.timed(told))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Broken {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        self.before(&self.key(&query.key)).await?;
        self.inspect_broken(query).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let page = self.list_broken(query).await?;
        self.after().await?;
        let leases = page.items.into_iter().map(|lease| self.show(lease)).collect();
        Ok(self.timed(Page::new(leases, page.next)))
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let page = self.waits_broken(query).await?;
        self.after().await?;
        let waiters = page.items.into_iter().map(|waiter| self.show_waiter(waiter)).collect();
        Ok(self.timed(Page::new(waiters, page.next)))
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        self.watch_broken(filter, after).await
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
