//! Short ways to change something.

use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, End, EvictRequest, Eviction,
    HearRequest, Heard, Lease, MailboxId, QueuePosition, Release, ReleaseRequest, RenewRequest,
    Renewal, Timed, Transfer, TransferRequest, TransferTo, Ttl,
};

use super::{TestContext, ToLeaseName, words};
use crate::cases::expect_eq;

impl TestContext {
    /// Asks, and answers what became of it.
    pub async fn acquire(&self, request: &AcquireRequest) -> Timed<Acquisition> {
        self.store.acquire(request).await.expect("acquire answers")
    }

    /// Asks, and must be granted.
    pub async fn granted(&self, request: &AcquireRequest) -> Lease {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Granted(lease) => lease,
            _ => panic!("expected a grant, got {}", words::acquisition(&answer)),
        }
    }

    /// Asks, and must be queued.
    pub async fn queued(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Queued(position) => position,
            _ => panic!("expected a place in the queue, got {}", words::acquisition(&answer)),
        }
    }

    /// Asks, and must be refused.
    pub async fn refused(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::Held(position) => position,
            _ => panic!("expected a refusal, got {}", words::acquisition(&answer)),
        }
    }

    /// Asks, and must find the queue full.
    pub async fn full(&self, request: &AcquireRequest) -> QueuePosition {
        let answer = self.acquire(request).await;
        match answer.value {
            Acquisition::QueueFull(position) => position,
            _ => panic!("expected a full queue, got {}", words::acquisition(&answer)),
        }
    }

    /// Asks, and must be told that the request was ended.
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

    /// Hears the request, which is told in `mailbox` from then on.
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

    /// Gives the lease back.
    pub async fn release(&self, lease: &impl ToLeaseName) -> Release {
        let request = ReleaseRequest::new(lease.lease_name());
        self.store.release(&request).await.expect("release answers").value
    }

    /// Gives the lease back, which must be held.
    pub async fn released(&self, lease: &impl ToLeaseName) {
        expect_eq!(self.release(lease).await, Release::Released);
    }

    /// Ends the request.
    pub async fn cancel(&self, request: &AcquireRequest) -> Cancellation {
        let request = CancelRequest::new(request.key.clone(), request.id);
        self.store.cancel(&request).await.expect("cancel answers").value
    }

    /// Ends the request, of which an answer is outstanding.
    pub async fn cancel_unanswered(&self, request: &AcquireRequest) -> Cancellation {
        let request = CancelRequest::new(request.key.clone(), request.id);
        let request = request.with_answer_outstanding(true);
        self.store.cancel(&request).await.expect("cancel answers").value
    }

    /// Ends the request, which must wait.
    pub async fn dequeued(&self, request: &AcquireRequest) {
        expect_eq!(self.cancel(request).await, Cancellation::Dequeued);
    }

    /// Releases the lease, then lets each of the waiters have its key, of which each must hold in
    /// its turn; then the key must be free.
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

    /// Makes the lease last `ttl` from now.
    pub async fn renew(&self, lease: &impl ToLeaseName, ttl: Ttl) -> Renewal {
        self.renew_one(RenewRequest::new(lease.lease_name(), ttl)).await
    }

    /// Makes the lease last its ttl from now, and tells of its end in `mailbox` from then on.
    pub async fn renew_in(&self, lease: &Lease, mailbox: MailboxId) -> Renewal {
        self.renew_one(RenewRequest::new(lease.name(), lease.ttl).with_mailbox(mailbox)).await
    }

    async fn renew_one(&self, request: RenewRequest) -> Renewal {
        let mut renewals = self.store.renew(&[request]).await;
        assert_eq!(renewals.len(), 1, "one answer for one renewal");
        renewals.remove(0).expect("renew answers").value
    }

    /// Makes the lease last its ttl from now, which it must; answers the lease that it is now.
    pub async fn renewed(&self, lease: &Lease) -> Lease {
        self.renewed_for(lease, lease.ttl).await
    }

    /// Makes the lease last `ttl` from now, which it must; answers the lease that it is now.
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

    /// Hands the lease over, by its owner.
    pub async fn transfer(&self, lease: &impl ToLeaseName, to: TransferTo) -> Transfer {
        let request = TransferRequest::new(lease.lease_name(), Self::owner("alice"), to);
        self.store.transfer(&request).await.expect("transfer answers").value
    }

    /// Hands the lease over, which must succeed.
    pub async fn transferred(&self, lease: &impl ToLeaseName, to: TransferTo) -> Lease {
        match self.transfer(lease, to).await {
            Transfer::Transferred(lease) => lease,
            other => panic!("expected a transferred lease, got {other:?}"),
        }
    }

    /// Takes away every lease of `key`, by `admin` for `maintenance`.
    pub async fn evict(&self, key: &str) -> Eviction {
        let request = EvictRequest::all(Self::key(key), Self::owner("admin"), Self::reason());
        self.store.evict(&request).await.expect("evict answers").value
    }

    /// Takes away this lease alone, by `admin` for `maintenance`.
    pub async fn evict_lease(&self, lease: &impl ToLeaseName) -> Eviction {
        let request = EvictRequest::lease(lease.lease_name(), Self::owner("admin"), Self::reason());
        self.store.evict(&request).await.expect("evict answers").value
    }

    /// Takes the request out of the queue, by `admin` for `maintenance`.
    pub async fn evict_waiter(&self, request: &AcquireRequest) -> Eviction {
        let (key, by) = (request.key.clone(), Self::owner("admin"));
        let request = EvictRequest::waiter(key, request.id, by, Self::reason());
        self.store.evict(&request).await.expect("evict answers").value
    }

    /// Takes away this lease alone, which must be held.
    pub async fn evicted_lease(&self, lease: &Lease) {
        let leases = self.evict_lease(lease).await.leases;
        expect_eq!(leases.iter().map(Lease::name).collect::<Vec<_>>(), [lease.name()]);
    }

    /// Takes the request out of the queue, in which it must wait.
    pub async fn evicted_waiter(&self, request: &AcquireRequest) {
        let waiter = self.evict_waiter(request).await.waiter;
        expect_eq!(waiter.map(|waiter| waiter.request), Some(request.id));
    }

    /// How a request ends that `admin` evicts for `maintenance`.
    #[must_use]
    pub fn end_by_eviction() -> End {
        End::Evicted { by: Self::owner("admin"), reason: Self::reason() }
    }
}
