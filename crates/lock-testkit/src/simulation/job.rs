//! A line of work of a process: it gets a key, holds it and gives it back in one of many ways.

use std::future::{Future, IntoFuture as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use lock_core::{
    Attempt, Error, Lease, LockGuard, LockKey, LossReason, Mode, RequestId, Result, TransferTo,
};
use tokio::time::{Instant, sleep};

use super::environment::Environment;
use super::history::Actor;
use super::plan::{HoldEnd, Job, Patience, Terms, Work};
use super::process::Life;
use super::quiet;
use super::show;
use super::witness::{Asking, Wait};

/// Added to the request of a job whose predecessor's request is still in use.
const ALONE: u128 = 0x1000;

/// A request that is being awaited.
type Asked = Pin<Box<dyn Future<Output = Result<Option<LockGuard>>> + Send>>;

/// A process, by its number, if it lives.
pub(super) type Lives = Arc<dyn Fn(usize) -> Option<Arc<Life>> + Send + Sync>;

/// The surroundings of a job: its process and environment.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) environment: Arc<Environment>,
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
                let may = self.environment.state().witness.may_use(successor, &self.life.jobs);
                let request =
                    if may { successor } else { RequestId::from_bits(job.number | ALONE) };
                let asked = self.ask(&key, request, &terms, patience, polls).await;
                if let Some(guard) = asked {
                    self.hold(guard, terms.mode, hold, end, request).await;
                }
            }
            Work::EvictAll => {
                self.begin_force(&key);
                let evict = self.life.manager.evict_all(key.clone(), "simulated");
                // It inspects first, and evicts many leases one by one.
                let limit = self.life.plan.operation_timeout * 2;
                self.note_force(&key, "evict all", self.bounded("evict all", limit, evict).await);
            }
            Work::EvictLease => {
                let Some(lease) = self.a_lease(&key).await else { return };
                self.begin_force(&key);
                let evict = self.life.manager.evict(&lease, "simulated");
                self.note_force(&key, "evict", self.call("evict", evict).await);
            }
            Work::EvictWaiter => {
                let Some(waiter) = self.head(&key).await else { return };
                self.begin_force(&key);
                let evict = self.life.manager.evict_waiter(key.clone(), waiter, "simulated");
                let evicted = self.call("evict a waiter", evict).await;
                self.note_force(&key, "evict a waiter", evicted);
            }
        }
    }

    pub(super) async fn ask(
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
                self.environment.state().witness.believe(&self.life.jobs, &guard);
                self.environment.look();
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
                let outcome = quiet::check_wait(&self.environment.state(), &wait, &error);
                self.environment.check(outcome);
                None
            }
            None => {
                self.note(format_args!("{what}: dropped"));
                None
            }
        }
    }

    pub(super) async fn hold(
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
            HoldEnd::Upgrade { wait } => self.upgrade(guard, wait, request).await,
            HoldEnd::TransferToWaiter => {
                let key = guard.key().clone();
                let Some(waiter) = self.head(&key).await else { return };
                self.begin_force(&key);
                let transfer = guard.transfer(TransferTo::Waiter(waiter));
                let transferred = self.call("transfer", transfer).await;
                self.note_force(&key, "transfer", transferred.map_err(Error::from));
            }
        }
    }

    /// Lets some time pass, unless the process is to end.
    pub(super) async fn pause(&self, span: Duration) {
        tokio::select! {
            biased;
            () = self.life.until_stopping() => {}
            () = sleep(span) => {}
        }
    }

    /// Enters a request that is being awaited, until the returned value is dropped.
    pub(super) fn enter(
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
        self.environment.state().witness.asking.insert(name.clone(), asking);
        Entry { environment: Arc::clone(&self.environment), name }
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
        let limit = limit + self.environment.slack();
        let number = self.environment.state().witness.begin_call(gate, what.to_owned(), limit);
        let outcome = call.await;
        let call = self.environment.state().witness.end_call(number);
        self.environment
            .check(call.map_or(Ok(()), |call| super::invariants::call_ends_in_time(&call)));
        outcome
    }

    async fn a_lease(&self, key: &LockKey) -> Option<Lease> {
        if self.environment.is_real() {
            let seen = self.life.manager.inspect(key.clone()).await.ok()?;
            return seen.value.leases.into_iter().next();
        }
        let state = self.environment.state();
        let now = state.store.clock.now();
        state.store.keys().get(key).and_then(|key| key.leases(now).next().cloned())
    }

    async fn head(&self, key: &LockKey) -> Option<RequestId> {
        if self.environment.is_real() {
            let seen = self.life.manager.inspect(key.clone()).await.ok()?;
            return seen.value.waiters.items.first().map(|waiter| waiter.request);
        }
        let state = self.environment.state();
        let now = state.store.clock.now();
        let head = state.store.keys().get(key).and_then(|key| key.waiters(now).next());
        head.map(|waiter| waiter.request)
    }

    pub(super) fn note(&self, what: std::fmt::Arguments<'_>) {
        self.environment.note(Actor::Process(self.life.slot), what);
    }

    pub(super) fn note_end<T>(&self, what: &str, outcome: Result<T>) {
        match outcome {
            Ok(_) => self.note(format_args!("{what}: done")),
            Err(error) => self.note(format_args!("{what}: {:?}", error.kind())),
        }
    }

    /// Notes the start of a call that ends leases of a key by force.
    pub(super) fn begin_force(&self, key: &LockKey) {
        self.environment.state().witness.begin_force(key);
    }

    /// Notes the end of a call that ends leases of a key by force.
    pub(super) fn note_force<T>(&self, key: &LockKey, what: &str, outcome: Result<T>) {
        if outcome.as_ref().err().is_none_or(|error| !error.is_unknown()) {
            self.environment.state().witness.end_force(key);
        }
        self.note_end(what, outcome);
    }

    fn note_loss(&self, guard: &LockGuard, reason: &LossReason) {
        self.note(format_args!("loses {} #{}: {reason}", guard.key(), guard.token()));
        let outcome =
            quiet::check_loss(&self.environment.state(), guard.lease(), reason, self.life.delay());
        self.environment.check(outcome);
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
pub(super) struct Entry {
    environment: Arc<Environment>,
    name: (LockKey, RequestId),
}

impl Drop for Entry {
    fn drop(&mut self) {
        let (key, request) = &self.name;
        let mut state = self.environment.state();
        state.witness.asking.remove(&self.name);
        state.witness.seen_since.remove(&format!("absent {key} {request}"));
    }
}
