//! A line of work of a process: it gets a key, holds it and gives it back in one of many ways.

use std::future::{Future, IntoFuture as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lock_core::{
    Attempt, Error, Lease, LockGuard, LockKey, LossReason, Metadata, Mode, Priority, RequestId,
    Result, Transfer, TransferTo,
};
use tokio::time::{Instant, sleep};

use super::history::Who;
use super::invariants::SLACK;
use super::plan::{HoldEnd, Job, Patience, Terms, Work};
use super::process::Life;
use super::quiet;
use super::show;
use super::witness::{Asking, Wait};
use super::world::World;

/// What the request of a job has that was to succeed one that is still in use.
const ALONE: u128 = 0x1000;

/// A request that is being awaited.
type Asked = Pin<Box<dyn Future<Output = Result<Option<LockGuard>>> + Send>>;

/// A process, by its number, if it lives.
pub(super) type Lives = Arc<dyn Fn(usize) -> Option<Arc<Life>> + Send + Sync>;

/// What a job has around it.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) world: Arc<World>,
    pub(super) life: Arc<Life>,
    pub(super) lives: Lives,
}

impl Worker {
    /// Does a job from its beginning to its end.
    pub(super) async fn work(self, job: Job) {
        let key = key(job.key);
        match job.work {
            Work::Hold { terms, patience, polls, hold, end } => {
                let successor = RequestId::from_bits(job.request);
                let may = self.world.state().witness.may_use(successor, &self.life.jobs);
                let request =
                    if may { successor } else { RequestId::from_bits(job.number | ALONE) };
                let asked = self.ask(&key, request, &terms, patience, polls).await;
                if let Some(guard) = asked {
                    self.hold(guard, terms.mode, hold, end, request).await;
                }
            }
            Work::EvictAll => {
                let evict = self.life.manager.evict_all(key.clone(), "simulated");
                // It looks first, and ends leases one by one where there are many.
                let limit = self.life.plan.operation_timeout * 2;
                self.note_end("evict all", self.bounded("evict all", limit, evict).await);
            }
            Work::EvictLease => {
                let Some(lease) = self.a_lease(&key) else { return };
                let evict = self.life.manager.evict(&lease, "simulated");
                self.note_end("evict", self.call("evict", evict).await);
            }
            Work::EvictWaiter => {
                let Some(waiter) = self.head(&key) else { return };
                let evict = self.life.manager.evict_waiter(key, waiter, "simulated");
                self.note_end("evict a waiter", self.call("evict a waiter", evict).await);
            }
        }
    }

    async fn ask(
        &self,
        key: &LockKey,
        request: RequestId,
        terms: &Terms,
        patience: Patience,
        polls: Option<u32>,
    ) -> Option<Arc<LockGuard>> {
        let manager = &self.life.manager;
        let operation_timeout = self.life.plan.operation_timeout;
        let (limit, call): (_, Asked) = match patience {
            Patience::Once => {
                let asked = manager
                    .try_acquire(key.clone())
                    .request(request)
                    .ttl(terms.ttl)
                    .priority(terms.priority)
                    .mode(terms.mode)
                    .into_future();
                // It also waits for the mailbox to open.
                let limit = operation_timeout * 2;
                (Some(limit), Box::pin(async { asked.await.map(Attempt::guard) }))
            }
            Patience::For(_) | Patience::Endless => {
                let mut asked = manager
                    .acquire(key.clone())
                    .request(request)
                    .ttl(terms.ttl)
                    .keep_alive(terms.keep_alive)
                    .priority(terms.priority)
                    .mode(terms.mode);
                let mut limit = None;
                if let Patience::For(wait) = patience {
                    asked = asked.wait(wait);
                    limit = Some(wait + Duration::from_millis(100)); // for one answer
                }
                let asked = asked.into_future();
                (limit, Box::pin(async { asked.await.map(Some) }))
            }
        };
        let what = format!("acquire {key} {}", show::request(request));
        self.note(format_args!("begins to {what}: {terms:?}, {patience:?}, {polls:?} polls"));
        let queues = !matches!(patience, Patience::Once);
        let _asking = self.enter(key, request, terms.keep_alive, queues);
        let polled = Polled { left: polls, call };
        let asked = async {
            tokio::select! {
                biased;
                () = self.life.until_stopping() => None,
                outcome = polled => outcome,
            }
        };
        let since = Instant::now();
        let outcome = match limit {
            Some(limit) => self.bounded(&what, limit, asked).await,
            None => asked.await,
        };
        match outcome {
            Some(Ok(Some(guard))) => {
                let guard = Arc::new(guard);
                let lasts = guard.deadline().map(|at| at.saturating_duration_since(Instant::now()));
                self.note(format_args!("has {key} #{} for {lasts:?}", guard.token()));
                self.world.state().witness.believe(&self.life.jobs, &guard);
                self.world.look();
                Some(guard)
            }
            Some(Ok(None)) => {
                self.note(format_args!("{what}: held by others"));
                None
            }
            Some(Err(error)) => {
                self.note(format_args!("{what}: {:?}", error.kind()));
                let limit = match patience {
                    Patience::Once => return None,
                    Patience::For(wait) => Some(wait),
                    Patience::Endless => None,
                };
                let (lasted, delay) = (since.elapsed(), self.life.delay());
                let wait = Wait { limit, lasted, keep_alive: terms.keep_alive, delay };
                let outcome = quiet::check_wait(&self.world.state(), &wait, &error);
                self.world.check(outcome);
                None
            }
            None => {
                self.note(format_args!("{what}: dropped"));
                None
            }
        }
    }

    async fn hold(
        &self,
        guard: Arc<LockGuard>,
        mode: Mode,
        hold: Duration,
        end: HoldEnd,
        request: RequestId,
    ) {
        let working = self.pause(hold);
        let lost = if let HoldEnd::Run = end {
            guard.run(working).await.err().and_then(|error| error.loss().cloned())
        } else {
            tokio::select! {
                biased;
                reason = guard.lost() => Some(reason),
                () = working => None,
            }
        };
        if let Some(reason) = lost {
            self.note_loss(&guard, &reason);
            return;
        }
        let Some(guard) = Arc::into_inner(guard) else { return };
        match end {
            HoldEnd::Release => {
                let what = format!("release {} #{}", guard.key(), guard.token());
                self.note_end(&what, self.call(&what, guard.release()).await);
            }
            HoldEnd::Drop | HoldEnd::Run => {
                self.note(format_args!("drops {} #{}", guard.key(), guard.token()));
            }
            HoldEnd::HandTooLate { to } => {
                Box::pin(self.hand_too_late(guard, mode, to, request)).await;
            }
            HoldEnd::Hand { to, after } => self.hand(guard, mode, to, after).await,
            HoldEnd::TransferToOwner { to } => {
                self.transfer_to_owner(guard, mode, to, request).await;
            }
            HoldEnd::TransferToWaiter => {
                let Some(waiter) = self.head(guard.key()) else { return };
                let transfer = guard.transfer(TransferTo::Waiter(waiter));
                let transferred = self.call("transfer", transfer).await;
                self.note_end("transfer", transferred.map_err(Error::from));
            }
        }
    }

    /// Hands a lease over to another process, which adopts it after a while.
    async fn hand(&self, guard: LockGuard, mode: Mode, to: usize, after: Duration) {
        let Some(receiver) = (self.lives)(to) else { return };
        let (key, token) = (guard.key().clone(), guard.token());
        let taken_out = self.call("take out", guard.into_lease()).await;
        self.note(format_args!("takes {key} #{token} out: {}", taken_out.is_ok()));
        let Ok(lease) = taken_out else { return };
        self.look_at(&lease);
        self.park(&lease, &receiver);
        self.adopt_by(&receiver, lease, mode, after);
    }

    /// Takes a lease out, and has it adopted when it is over and the request holds another.
    async fn hand_too_late(&self, guard: LockGuard, mode: Mode, to: usize, request: RequestId) {
        let Some(receiver) = (self.lives)(to) else { return };
        let Some(ttl) = guard.lease().ttl.span() else { return };
        let Ok(lease) = self.call("take out", guard.into_lease()).await else { return };
        self.note(format_args!("takes {} #{} out", lease.key, lease.token));
        self.look_at(&lease);
        self.park(&lease, &receiver);
        self.pause(ttl * 2).await;
        let keep_alive = Duration::from_secs(3);
        let (ttl, priority) = (lease.ttl, Priority::Critical);
        let terms = Terms { ttl, keep_alive, priority, mode };
        let patience = Patience::For(Duration::from_secs(20));
        let again = self.ask(&lease.key, request, &terms, patience, None).await;
        self.world.state().witness.unpark(&lease);
        let Some(again) = again.filter(|again| again.token() != lease.token) else { return };
        self.adopt_by(&receiver, lease, mode, Duration::ZERO);
        self.hold(again, mode, Duration::from_secs(2), HoldEnd::Release, request).await;
    }

    async fn transfer_to_owner(&self, guard: LockGuard, mode: Mode, to: usize, request: RequestId) {
        let Some(receiver) = (self.lives)(to) else { return };
        let lease = guard.lease().clone();
        let to = TransferTo::Owner {
            owner: receiver.manager.owner().clone(),
            request: RequestId::from_bits(request.to_bits() | 0x10_0000),
            metadata: Metadata::default(),
        };
        let transferred = self.call("transfer", self.life.manager.transfer(&lease, to)).await;
        if let Ok(Transfer::Transferred(lease)) = &transferred {
            self.park(lease, &receiver);
            self.adopt_by(&receiver, lease.clone(), mode, Duration::ZERO);
        }
        self.note_end("transfer", transferred);
    }

    /// Lets some time pass, unless the process is to end.
    async fn pause(&self, span: Duration) {
        tokio::select! {
            biased;
            () = self.life.until_stopping() => {}
            () = sleep(span) => {}
        }
    }

    fn park(&self, lease: &Lease, receiver: &Life) {
        self.world.state().witness.park(lease, &receiver.jobs);
    }

    /// Looks at a lease that was taken out of its guard.
    fn look_at(&self, lease: &Lease) {
        let outcome = quiet::check_taken_out(&self.world.state(), lease);
        self.world.check(outcome);
    }

    fn adopt_by(&self, receiver: &Arc<Life>, lease: Lease, mode: Mode, after: Duration) {
        let (world, lives) = (Arc::clone(&self.world), Arc::clone(&self.lives));
        let adopter = Self { world, life: Arc::clone(receiver), lives };
        receiver.spawn(Box::pin(async move {
            adopter.pause(after).await;
            let limit = adopter.life.plan.operation_timeout * 2; // it may open the mailbox, too
            let adopt = adopter.life.manager.adopt(&lease);
            let adopted = adopter.bounded("adopt", limit, adopt).await;
            if let Ok(guard) = adopted {
                let at = (lease.key.clone(), lease.token);
                adopter.note(format_args!("adopts {} #{}", at.0, at.1));
                let guard = Arc::new(guard);
                {
                    let mut state = adopter.world.state();
                    state.witness.believe(&adopter.life.jobs, &guard);
                    state.witness.unpark(&lease);
                }
                adopter.world.look();
                let request = lease.request;
                let hold = Duration::from_millis(700);
                Box::pin(adopter.hold(guard, mode, hold, HoldEnd::Release, request)).await;
            } else {
                adopter.note(format_args!("adopts {}: {adopted:?}", lease.key));
            }
        }));
    }

    /// Enters a request that is being awaited, until what is returned is dropped.
    fn enter(
        &self,
        key: &LockKey,
        request: RequestId,
        keep_alive: Duration,
        queues: bool,
    ) -> Entry {
        let life = Arc::clone(&self.life.jobs);
        let (since, delay) = (Instant::now(), self.life.delay());
        let settling = self.life.settling();
        let asking = Asking { life, since, keep_alive, delay, settling, queues };
        let name = (key.clone(), request);
        self.world.state().witness.asking.insert(name.clone(), asking);
        Entry { world: Arc::clone(&self.world), name }
    }

    /// Awaits a call that ends in the time-out of an operation.
    pub(super) async fn call<T>(&self, what: &str, call: impl Future<Output = T>) -> T {
        self.bounded(what, self.life.plan.operation_timeout, call).await
    }

    /// Awaits a call that ends in time.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        limit: Duration,
        call: impl Future<Output = T>,
    ) -> T {
        let gate = &self.life.jobs;
        let limit = limit + SLACK;
        let number = self.world.state().witness.begin_call(gate, what.to_owned(), limit);
        let outcome = call.await;
        let call = self.world.state().witness.end_call(number);
        self.world.check(call.map_or(Ok(()), |call| super::invariants::call_ends_in_time(&call)));
        outcome
    }

    fn a_lease(&self, key: &LockKey) -> Option<Lease> {
        let state = self.world.state();
        let now = state.store.clock.now();
        state.store.keys().get(key).and_then(|key| key.leases(now).next().cloned())
    }

    fn head(&self, key: &LockKey) -> Option<RequestId> {
        let state = self.world.state();
        let now = state.store.clock.now();
        let head = state.store.keys().get(key).and_then(|key| key.waiters(now).next());
        head.map(|waiter| waiter.request)
    }

    fn note(&self, what: std::fmt::Arguments<'_>) {
        self.world.note(Who::Process(self.life.slot), what);
    }

    fn note_end<T: std::fmt::Debug>(&self, what: &str, outcome: Result<T, Error>) {
        match outcome {
            Ok(_) => self.note(format_args!("{what}: done")),
            Err(error) => self.note(format_args!("{what}: {:?}", error.kind())),
        }
    }

    fn note_loss(&self, guard: &LockGuard, reason: &LossReason) {
        self.note(format_args!("loses {} #{}: {reason}", guard.key(), guard.token()));
        let outcome =
            quiet::check_loss(&self.world.state(), guard.lease(), reason, self.life.delay());
        self.world.check(outcome);
    }
}

/// The name of a key of the plan.
pub(super) fn key(number: usize) -> LockKey {
    LockKey::parse(format!("k{number}")).expect("a short name is a key")
}

/// A future that is dropped after a number of polls.
struct Polled<T> {
    left: Option<u32>,
    call: Pin<Box<dyn Future<Output = T> + Send>>,
}

impl<T> Future for Polled<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
        }
        match self.call.as_mut().poll(cx) {
            Poll::Pending if self.left == Some(0) => Poll::Ready(None),
            other => other.map(Some),
        }
    }
}

/// A request that is being awaited.
struct Entry {
    world: Arc<World>,
    name: (LockKey, RequestId),
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (key, request) = &self.name;
        let mut state = self.world.state();
        state.witness.asking.remove(&self.name);
        state.witness.seen_since.remove(&format!("absent {key} {request}"));
    }
}
