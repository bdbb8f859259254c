//! The protocol of `lock-core` over a store of bytes.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use lock_core::machine::{KeyState, Step};
use lock_core::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Error, EvictRequest, Eviction,
    HearRequest, Heard, InvalidInput, LockBackend, LockKey, MailboxId, NoticeStream, OnHeld,
    Operation, Release, ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest, Renewal,
    Result, Timed, Transfer, TransferRequest, Violation,
};

use crate::command::{Answer, command};
use crate::notify::Mailboxes;
use crate::thread::Thread;
use crate::watch::Watching;
use crate::worker::Worker;
use crate::{HostConfig, Inbox, Properties, StateStore, StoreError};

/// A lock store over a store of bytes.
///
/// Clones share it. It has one thread, which ends when the last clone and the last stream are gone.
/// Commands that come while one update runs go into the next together. A command that arrives alone is
/// run on the thread of its task where the store need not wait for that
/// ([`StateStore::try_update`]).
pub struct HostBackend<S> {
    pub(crate) thread: Thread<S>,
    pub(crate) properties: Properties,
    queue_limit: NonZeroU32,
    pub(crate) store: Arc<S>,
    mailboxes: Arc<Mailboxes>,
    pub(crate) watching: Arc<Watching>,
}

impl<S: StateStore> HostBackend<S> {
    /// Hosts the machine in this store.
    ///
    /// # Errors
    /// `Unavailable` when no thread can be started.
    pub fn new(store: S, config: &HostConfig) -> std::result::Result<Self, StoreError> {
        let (store, mailboxes) = (Arc::new(store), Arc::<Mailboxes>::default());
        let watching = Arc::new(Watching::new());
        let properties = store.properties();
        let (at, to) = (Arc::clone(&mailboxes), Arc::clone(&watching));
        let worker = Worker::new(Arc::clone(&store), config, at, to);
        let (thread, queue_limit) = (Thread::start(worker)?, config.queue_limit);
        Ok(Self { thread, properties, queue_limit, store, mailboxes, watching })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Runs this work on the thread of the store, after the commands sent before: so a store can
    /// keep data of its own beside the cells.
    ///
    /// # Errors
    /// `Unavailable` and [unknown](StoreError::unknown) when the thread has ended.
    ///
    /// # Cancel safety
    /// The work runs all the same if the future is dropped after its first poll.
    pub async fn with_store<R: Send + 'static>(
        &self,
        work: impl FnOnce(&S) -> R + Send + 'static,
    ) -> std::result::Result<R, StoreError> {
        self.thread.ask(move |worker| work(&worker.store)).await
    }

    /// Runs one command on a key.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        operation: Operation,
        key: &LockKey,
        run: impl FnMut(&mut KeyState, &mut Step) -> R + Send + 'static,
    ) -> Result<Timed<R>> {
        self.check(operation, key)?;
        let may_grow = matches!(operation, Operation::Acquire | Operation::Transfer);
        let (work, answer) = command(key.clone(), may_grow, |_| false, run);
        let sent = self.thread.run(work);
        let answered = match sent {
            Ok(()) => answered(answer).await,
            Err(error) => Err(error),
        };
        answered.map_err(|error| error.of(operation).with_key(key.clone()))
    }

    /// Runs many commands, in one update if they fit, and returns the answers in order.
    pub(crate) async fn run_all<R, F>(
        &self,
        operation: Operation,
        is_heartbeat: fn(&R) -> bool,
        commands: impl Iterator<Item = (LockKey, F)>,
    ) -> Vec<Result<Timed<R>>>
    where
        R: Send + 'static,
        F: FnMut(&mut KeyState, &mut Step) -> R + Send + 'static,
    {
        let (mut works, mut answers) = (Vec::new(), Vec::new());
        for (key, run) in commands {
            let answer = self.check(operation, &key).map(|()| {
                let (work, answer) = command(key.clone(), false, is_heartbeat, run);
                works.push(work);
                (key, answer)
            });
            answers.push(answer);
        }
        let sent = match works.len() {
            1 => works.into_iter().try_for_each(|work| self.thread.run(work)),
            _ => self.thread.run_all(works),
        };
        let mut replies = Vec::with_capacity(answers.len());
        for answer in answers {
            replies.push(match (answer, &sent) {
                (Err(error), _) => Err(error),
                (Ok((key, answer)), Ok(())) => {
                    let answered = answered(answer).await;
                    answered.map_err(|error| error.of(operation).with_key(key))
                }
                (Ok((key, _)), Err(error)) => Err(error.clone().of(operation).with_key(key)),
            });
        }
        replies
    }

    /// Checks the length of a key against the limit of the store.
    fn check(&self, operation: Operation, key: &LockKey) -> Result<()> {
        let (length, limit) = (key.as_str().len(), self.properties.key_bytes);
        if length <= limit {
            return Ok(());
        }
        let input = InvalidInput::new("key", Violation::TooLong { length, limit });
        Err(Error::invalid(operation, input).with_key(key.clone()))
    }
}

async fn answered<R>(answer: Answer<R>) -> std::result::Result<Timed<R>, StoreError> {
    answer.await.unwrap_or_else(|_| Err(StoreError::stopped()))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: StateStore> LockBackend for HostBackend<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let mut notices = self.mailboxes.open(mailbox);
        if self.properties.pushes {
            let inbox = Inbox::of_mailbox(&self.mailboxes, mailbox);
            let listening = self.thread.ask(move |worker| worker.store.listen(mailbox, inbox));
            let listening = listening.await.and_then(|listening| listening);
            notices.listening = Some(listening.map_err(|error| error.of(Operation::Listen))?);
        }
        Ok(Box::pin(notices))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let mut request = request.clone();
        if let OnHeld::Queue { queue_limit, .. } = &mut request.on_held {
            let most = self.queue_limit;
            *queue_limit = Some(queue_limit.map_or(most, |limit| limit.min(most)));
        }
        let key = request.key.clone();
        let acquire = move |state: &mut KeyState, step: &mut Step| state.acquire(step, &request);
        self.run(Operation::Acquire, &key, acquire).await
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let hear = |request: HearRequest| {
            let key = request.key.clone();
            (key, move |state: &mut KeyState, step: &mut Step| state.hear(step, &request))
        };
        let is_heartbeat = |heard: &Heard| matches!(heard, Heard::Queued(_));
        self.run_all(Operation::Hear, is_heartbeat, requests.iter().cloned().map(hear)).await
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let renew = |request: RenewRequest| {
            let key = request.lease.key.clone();
            (key, move |state: &mut KeyState, step: &mut Step| state.renew(step, &request))
        };
        self.run_all(Operation::Renew, |_| false, requests.iter().cloned().map(renew)).await
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let (key, request) = (request.lease.key.clone(), request.clone());
        let release = move |state: &mut KeyState, step: &mut Step| state.release(step, &request);
        self.run(Operation::Release, &key, release).await
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let (key, request) = (request.key.clone(), request.clone());
        let cancel = move |state: &mut KeyState, step: &mut Step| state.cancel(step, &request);
        self.run(Operation::Cancel, &key, cancel).await
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let (key, request) = (request.lease.key.clone(), request.clone());
        let transfer = move |state: &mut KeyState, step: &mut Step| state.transfer(step, &request);
        self.run(Operation::Transfer, &key, transfer).await
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let (key, request) = (request.key.clone(), request.clone());
        let evict = move |state: &mut KeyState, step: &mut Step| state.evict(step, &request);
        self.run(Operation::Evict, &key, evict).await
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        let (key, appeal) = (appeal.key.clone(), appeal.clone());
        let ask = move |state: &mut KeyState, step: &mut Step| state.request_release(step, &appeal);
        self.run(Operation::RequestRelease, &key, ask).await
    }
}

impl<S> Clone for HostBackend<S> {
    fn clone(&self) -> Self {
        Self {
            thread: self.thread.clone(),
            properties: self.properties.clone(),
            queue_limit: self.queue_limit,
            store: Arc::clone(&self.store),
            mailboxes: Arc::clone(&self.mailboxes),
            watching: Arc::clone(&self.watching),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for HostBackend<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostBackend").field(&self.store).finish()
    }
}
