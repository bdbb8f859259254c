//! Short forms of the commands that change something.

use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, End, EvictRequest, Eviction,
    HearRequest, Heard, Lease, MailboxId, QueuePosition, Release, ReleaseAppeal, ReleaseRequest,
    ReleaseRequested, RenewRequest, Renewal, Timed, Timeout, Transfer, TransferRequest, TransferTo,
    Ttl,
};

use super::{TestContext, ToLeaseName, words};
use crate::cases::expect_eq;

impl TestContext {
    /// Acquires, and returns the answer.
    pub async fn acquire(&self, request: &AcquireRequest) -> Timed<Acquisition> {
        self.store.acquire(request).await.expect("acquire answers")
    }

    /// Acquires, which must be granted.
    pub async fn granted(&self, request: &AcquireRequest) -> Lease {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Granted(lease) => lease,
            _ => panic!("expected a grant, got {}", words::acquisition(&answer)),
        }
    }

    /// Acquires, which must be queued.
    pub async fn queued(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Queued(position) => position,
            _ => panic!("expected a place in the queue, got {}", words::acquisition(&answer)),
        }
    }

    /// Acquires, which must be refused.
    pub async fn refused(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Held(position) => position,
            _ => panic!("expected a refusal, got {}", words::acquisition(&answer)),
        }
    }

    /// Acquires, which must find the queue full.
    pub async fn full(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::QueueFull(position) => position,
            _ => panic!("expected a full queue, got {}", words::acquisition(&answer)),
        }
    }

    /// Acquires, which must be answered with the end of the request.
    pub async fn ended(&self, request: &AcquireRequest) -> End {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Ended(end) => end,
            _ => panic!("expected the end of the request, got {}", words::acquisition(&answer)),
        }
    }

    /// The lease of a request that holds `key`, and a request that waits for it.
    pub async fn holder_and_waiter(&self) -> (Lease, AcquireRequest) {
        let (holder, waiter) = (Self::ask("key", "alice"), Self::queueing("key", "bob"));
        let held = self.granted(&holder).await;
        self.queued(&waiter).await;
        (held, waiter)
    }

    /// Hears the request.
    pub async fn hear(&self, request: &AcquireRequest) -> Timed<Heard> {
        let request = HearRequest::new(request.key.clone(), request.id);
        self.hear_one(request).await
    }

    /// Hears the request, and moves its notices to `mailbox`.
    pub async fn hear_in(&self, request: &AcquireRequest, mailbox: MailboxId) -> Timed<Heard> {
        let request = HearRequest::new(request.key.clone(), request.id);
        self.hear_one(request.with_mailbox(mailbox)).await
    }

    async fn hear_one(&self, request: HearRequest) -> Timed<Heard> {
        let mut heard = self.store.hear(&[request]).await;
        assert_eq!(heard.len(), 1, "one answer for one hearing");
        heard.remove(0).expect("hear answers")
    }

    /// Hears the request, which must wait.
    pub async fn heard_waiting(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.hear(request).await;
        match answer.value {
            Heard::Queued(position) => position,
            _ => panic!("expected a place in the queue, got {}", words::heard(&answer)),
        }
    }

    /// Hears the request, which must hold.
    pub async fn heard_granted(&self, request: &AcquireRequest) -> Lease {
        let answer = self.hear(request).await;
        match answer.value {
            Heard::Granted(lease) => lease,
            _ => panic!("expected a grant, got {}", words::heard(&answer)),
        }
    }

    /// Releases the lease.
    pub async fn release(&self, lease: &impl ToLeaseName) -> Release {
        let request = ReleaseRequest::new(lease.lease_name());
        self.store.release(&request).await.expect("release answers").value
    }

    /// Releases the lease, which must be held.
    pub async fn released(&self, lease: &impl ToLeaseName) {
        expect_eq!(self.release(lease).await, Release::Released);
    }

    /// Cancels the request.
    pub async fn cancel(&self, request: &AcquireRequest) -> Cancellation {
        let request = CancelRequest::new(request.key.clone(), request.id);
        self.store.cancel(&request).await.expect("cancel answers").value
    }

    /// Cancels the request, with an outstanding answer.
    pub async fn cancel_unanswered(&self, request: &AcquireRequest) -> Cancellation {
        let request = CancelRequest::new(request.key.clone(), request.id);
        let request = request.with_answer_outstanding(true);
        self.store.cancel(&request).await.expect("cancel answers").value
    }

    /// Cancels the request, which must wait.
    pub async fn dequeued(&self, request: &AcquireRequest) {
        expect_eq!(self.cancel(request).await, Cancellation::Dequeued);
    }

    /// Releases the lease, then lets each of the waiters hold the key in turn and release it; then
    /// the key must be free.
    pub async fn served(&self, lease: &Lease, turns: &[&AcquireRequest]) {
        let mut last = lease.clone();
        for next in turns {
            self.released(&last).await;
            last = self.granted(next).await;
            expect_eq!(last.request, next.id);
        }
        self.released(&last).await;
        self.free(lease.key.as_str()).await;
    }

    /// Renews the lease for `ttl`.
    pub async fn renew(&self, lease: &impl ToLeaseName, ttl: Ttl) -> Renewal {
        self.renew_one(RenewRequest::new(lease.lease_name(), ttl)).await
    }

    /// Renews the lease for its ttl, and moves its notices to `mailbox`.
    pub async fn renew_in(&self, lease: &Lease, mailbox: MailboxId) -> Renewal {
        self.renew_one(RenewRequest::new(lease.name(), lease.ttl).with_mailbox(mailbox)).await
    }

    async fn renew_one(&self, request: RenewRequest) -> Renewal {
        let mut renewals = self.store.renew(&[request]).await;
        assert_eq!(renewals.len(), 1, "one answer for one renewal");
        renewals.remove(0).expect("renew answers").value
    }

    /// Renews the lease for its ttl, which must succeed; returns the renewed lease.
    pub async fn renewed(&self, lease: &Lease) -> Lease {
        self.renewed_for(lease, lease.ttl).await
    }

    /// Renews the lease for `ttl`, which must succeed; returns the renewed lease.
    pub async fn renewed_for(&self, lease: &Lease, ttl: Ttl) -> Lease {
        match self.renew(lease, ttl).await {
            Renewal::Renewed { expires_at } => {
                let mut renewed = lease.clone().with_expires_at(expires_at);
                renewed.ttl = ttl;
                renewed
            }
            other => panic!("expected a renewal, got {other:?}"),
        }
    }

    /// Transfers the lease, by its owner.
    pub async fn transfer(&self, lease: &impl ToLeaseName, to: TransferTo) -> Transfer {
        let request = TransferRequest::new(lease.lease_name(), Self::owner("alice"), to);
        self.store.transfer(&request).await.expect("transfer answers").value
    }

    /// Transfers the lease, which must succeed.
    pub async fn transferred(&self, lease: &impl ToLeaseName, to: TransferTo) -> Lease {
        match self.transfer(lease, to).await {
            Transfer::Transferred(lease) => lease,
            other => panic!("expected a transferred lease, got {other:?}"),
        }
    }

    /// Evicts every lease of `key`, by `admin` for `maintenance`.
    pub async fn evict(&self, key: &str) -> Eviction {
        let request = EvictRequest::all(Self::key(key), Self::owner("admin"), Self::reason());
        self.store.evict(&request).await.expect("evict answers").value
    }

    /// Evicts this lease alone, by `admin` for `maintenance`.
    pub async fn evict_lease(&self, lease: &impl ToLeaseName) -> Eviction {
        let request = EvictRequest::lease(lease.lease_name(), Self::owner("admin"), Self::reason());
        self.store.evict(&request).await.expect("evict answers").value
    }

    /// Evicts the waiter, by `admin` for `maintenance`.
    pub async fn evict_waiter(&self, request: &AcquireRequest) -> Eviction {
        let (key, by) = (request.key.clone(), Self::owner("admin"));
        let request = EvictRequest::waiter(key, request.id, by, Self::reason());
        self.store.evict(&request).await.expect("evict answers").value
    }

    /// Evicts this lease alone, which must be held.
    pub async fn evicted_lease(&self, lease: &Lease) {
        let leases = self.evict_lease(lease).await.leases;
        expect_eq!(leases.iter().map(Lease::name).collect::<Vec<_>>(), [lease.name()]);
    }

    /// Evicts the waiter, which must wait.
    pub async fn evicted_waiter(&self, request: &AcquireRequest) {
        let waiter = self.evict_waiter(request).await.waiter;
        expect_eq!(waiter.map(|waiter| waiter.request), Some(request.id));
    }

    /// Asks the holders to release their key.
    pub async fn request_release(&self, appeal: &ReleaseAppeal) -> ReleaseRequested {
        self.store.request_release(appeal).await.expect("request_release answers").value
    }

    /// An appeal of `admin` for `maintenance`, within a minute.
    #[must_use]
    pub fn appeal(key: &str) -> ReleaseAppeal {
        let within = Timeout::parse(Duration::from_secs(60)).expect("a minute");
        ReleaseAppeal::new(Self::key(key), Self::owner("admin"), Self::reason(), within)
    }

    /// The end of a request that `admin` evicts for `maintenance`.
    #[must_use]
    pub fn end_by_eviction() -> End {
        End::Evicted { by: Self::owner("admin"), reason: Self::reason() }
    }
}
