//! A store at the other end of a network that delays, loses, repeats and refuses.

use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::Stream;
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Error, ErrorKind,
    EventCursor, EventFilter, EventStream, EvictRequest, Eviction, Health, HearRequest, Heard,
    InspectQuery, Inspection, Lease, ListQuery, LockBackend, LockInspector, MailboxId, Notice,
    NoticeStream, Operation, Page, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested,
    RenewRequest, Renewal, Result, Timed, Transfer, TransferRequest, Waiter, WaitsQuery,
};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::environment::{Environment, Opened};
use super::history::Actor;
use super::link::{Fate, Link, Sending};
use super::planted::Planted;
use super::show::{self, Show};
use super::store::Store;

/// The pause in renewals where that fault is planted.
const CEASING: Duration = Duration::from_secs(40);

/// The store as one process sees it.
#[derive(Clone)]
pub(super) struct Connection {
    environment: Arc<Environment>,
    link: Arc<Link>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("process", &self.link.slot).finish_non_exhaustive()
    }
}

impl Connection {
    /// The store at the other end of `link`.
    pub(super) const fn new(environment: Arc<Environment>, link: Arc<Link>) -> Self {
        Self { environment, link }
    }

    /// Sends a command, and returns the answer of `command`.
    async fn command<T: Show + Send + 'static>(
        &self,
        operation: Operation,
        what: String,
        mut command: impl FnMut(&mut Store) -> T + Send + 'static,
    ) -> Result<T> {
        let slot = self.link.slot;
        let at_store = move |environment: &Arc<Environment>| {
            environment.command(slot, operation, &what, &mut command)
        };
        self.call(operation, at_store).await
    }

    /// Sends a request, which takes effect even if this future is dropped, and waits for the
    /// answer.
    async fn call<T: Send + 'static>(
        &self,
        operation: Operation,
        at_store: impl FnMut(&Arc<Environment>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let fate = match self.link.send() {
            Sending::Sent(fate) => fate,
            Sending::Refused => {
                let who = Actor::Process(self.link.slot);
                self.environment.note(who, format_args!("{operation} is refused"));
                return Err(Error::new(ErrorKind::Unavailable, operation));
            }
            Sending::Dead => pending().await,
        };
        let (answer, answered) = oneshot::channel();
        let (environment, link) = (Arc::clone(&self.environment), Arc::clone(&self.link));
        drop(tokio::spawn(carry(environment, link, fate, at_store, answer)));
        let answered = async {
            match answered.await {
                Ok(answer) => answer,
                Err(_lost) => pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = answered => answer,
            () = self.link.until_cut(fate.connection) => {
                Err(Error::new(ErrorKind::Unavailable, operation).unknown())
            }
        }
    }
}

/// Brings a request to the store and the answer back.
async fn carry<T>(
    environment: Arc<Environment>,
    link: Arc<Link>,
    fate: Fate,
    mut at_store: impl FnMut(&Arc<Environment>) -> Result<T>,
    answer: oneshot::Sender<Result<T>>,
) {
    arrive(&link, fate.request_takes).await;
    let is_cut = !link.is_connection(fate.connection) || link.is_dead();
    if fate.request_is_lost || (is_cut && !fate.survives_cut) {
        return;
    }
    let mut reply = at_store(&environment);
    if let Some(after) = fate.repeated_after {
        arrive(&link, after).await;
        // A process that lost the connection meanwhile does not resend it.
        if link.is_connection(fate.connection) && !link.is_dead() {
            reply = at_store(&environment);
        }
    }
    sleep(fate.answer_takes).await;
    link.until_free().await;
    if !fate.answer_is_lost && link.is_connection(fate.connection) {
        // The caller may have given up.
        let _ = answer.send(reply);
        // The process's reaction shows after it ran.
        sleep(Duration::from_millis(1)).await;
        environment.look();
    }
}

/// Waits until a request reaches the store. The request of a process that is gone arrives now or
/// never.
async fn arrive(link: &Link, takes: Duration) {
    let on_its_way = async {
        sleep(takes).await;
        link.until_free().await;
    };
    tokio::select! {
        biased;
        () = on_its_way => {}
        () = link.until_dead() => {}
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockBackend for Connection {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let link = Arc::clone(&self.link);
        let open = move |environment: &Arc<Environment>| {
            environment.note(Actor::Process(link.slot), format_args!("listens"));
            let opened = environment.open(mailbox, &link);
            Ok(Notices { environment: Arc::clone(environment), opened })
        };
        Ok(Box::pin(self.call(Operation::Listen, open).await?))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let (id, wanted) = (request.id, request.clone());
        let what = format!("acquire {} {}", request.key, show::request(id));
        let environment = Arc::clone(&self.environment);
        let answer = self.command(Operation::Acquire, what, move |store| store.acquire(&wanted));
        environment.answer_is_on_its_way(id, true);
        let answer = answer.await;
        environment.answer_is_on_its_way(id, false);
        answer
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let names = requests.iter().map(|it| format!("{} {}", it.key, show::request(it.request)));
        let what = format!("hear {}", names.collect::<Vec<_>>().join(", "));
        let (count, requests) = (requests.len(), requests.to_vec());
        let hear = move |store: &mut Store| requests.iter().map(|it| store.hear(it)).collect();
        each(count, self.command::<Vec<_>>(Operation::Hear, what, hear).await)
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        if self.environment.has(Planted::RenewalsCease) && self.link.is_rebuilt_within(CEASING) {
            return pending().await;
        }
        let names = requests.iter().map(|it| show::name(&it.lease));
        let what = format!("renew {}", names.collect::<Vec<_>>().join(", "));
        let (count, requests) = (requests.len(), requests.to_vec());
        let renew = move |store: &mut Store| requests.iter().map(|it| store.renew(it)).collect();
        each(count, self.command::<Vec<_>>(Operation::Renew, what, renew).await)
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let what = format!("release {}", show::name(&request.lease));
        let request = request.clone();
        self.command(Operation::Release, what, move |store| store.release(&request)).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let outstanding = if request.answer_outstanding { " (outstanding)" } else { "" };
        let id = show::request(request.request);
        let what = format!("cancel {} {id}{outstanding}", request.key);
        let request = request.clone();
        self.command(Operation::Cancel, what, move |store| store.cancel(&request)).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let to = show::request(request.to.request());
        let what = format!("transfer {} to {to}", show::name(&request.lease));
        let request = request.clone();
        self.command(Operation::Transfer, what, move |store| store.transfer(&request)).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let what = format!("evict {} {:?}", request.key, request.target);
        let request = request.clone();
        self.command(Operation::Evict, what, move |store| store.evict(&request)).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        let what = format!("request_release {}", appeal.key);
        let appeal = appeal.clone();
        let ask = move |store: &mut Store| store.request_release(&appeal);
        self.command(Operation::RequestRelease, what, ask).await
    }
}

/// One answer for each request of a batch; a failure is one for each.
fn each<T>(count: usize, answers: Result<Vec<Timed<T>>>) -> Vec<Result<Timed<T>>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(failure) => (0..count).map(|_| Err(failure.clone())).collect(),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl LockInspector for Connection {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let (what, query) = (format!("inspect {}", query.key), query.clone());
        let seen = self.command(Operation::Inspect, what, move |store| store.inspect(&query));
        let Timed { observed_at, value, .. } = seen.await?;
        let value = value.map_err(|input| Error::invalid(Operation::Inspect, input))?;
        Ok(Timed::new(observed_at, value))
    }

    async fn list(&self, _: &ListQuery) -> Result<Timed<Page<Lease>>> {
        Err(Error::new(ErrorKind::Unsupported, Operation::List))
    }

    async fn waits_of(&self, _: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        Err(Error::new(ErrorKind::Unsupported, Operation::WaitsOf))
    }

    async fn watch(&self, _: &EventFilter, _: Option<&EventCursor>) -> Result<EventStream> {
        Err(Error::new(ErrorKind::Unsupported, Operation::Watch))
    }

    async fn health(&self) -> Result<Health> {
        Ok(Health::new("simulated".to_owned(), Vec::new()))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::none().with_notices()
    }
}

/// The notices of one mailbox, which closes when they are dropped.
struct Notices {
    environment: Arc<Environment>,
    opened: Opened,
}

impl Stream for Notices {
    type Item = Notice;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        self.opened.notices.poll_recv(cx)
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.environment.close(self.opened.mailbox, self.opened.number);
    }
}
