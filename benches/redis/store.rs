//! The store through its trait.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lock_core::{
    AcquireRequest, Acquisition, FencingToken, KeepAlive, LeaseName, LockBackend, LockKey,
    MailboxId, Notice, NoticeStream, OwnerId, Release, ReleaseRequest, RequestId,
};
use lock_redis::{RedisBackend, RedisConfig};
use tokio::sync::oneshot;

/// The store through its trait, with a new request for every turn and one mailbox for all.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) backend: RedisBackend,
    owner: OwnerId,
    keep_alive: KeepAlive,
    mailbox: MailboxId,
    expected: Expected,
}

/// The requests whose grant is awaited.
type Expected = Arc<Mutex<HashMap<RequestId, oneshot::Sender<FencingToken>>>>;

/// An owner of 12 bytes.
pub(crate) fn owner() -> OwnerId {
    OwnerId::parse("acme/inf#123").expect("a valid owner")
}

/// A connection to keys of its own.
pub(crate) async fn backend(url: &str, prefix: &str) -> RedisBackend {
    let config = RedisConfig::parse(url).and_then(|config| config.with_prefix(prefix));
    let config = config.expect("a valid configuration").with_timeout(Duration::from_secs(30));
    RedisBackend::connect(config).await.expect("the server answers")
}

impl Store {
    /// Connects to keys of its own. Its waiters are never heard, so they wait no longer than the
    /// keep-alive.
    pub(crate) async fn connect(url: &str, prefix: &str, keep_alive: KeepAlive) -> Self {
        let backend = backend(url, prefix).await;
        let (mailbox, expected) = (MailboxId::random(), Expected::default());
        let notices = backend.listen(mailbox).await.expect("the mailbox opens");
        tokio::spawn(deliver(notices, Arc::clone(&expected)));
        Self { backend, owner: owner(), keep_alive, mailbox, expected }
    }

    /// A new request that would wait.
    pub(crate) fn ask(&self, key: &LockKey) -> AcquireRequest {
        AcquireRequest::new(RequestId::random(), key.clone(), self.owner.clone())
            .queueing(self.keep_alive)
            .with_mailbox(self.mailbox)
    }

    /// The token of the lease of the request, once a notice has it.
    pub(crate) fn expect(&self, request: RequestId) -> impl Future<Output = FencingToken> {
        let (sender, told) = oneshot::channel();
        expected(&self.expected).insert(request, sender);
        async { told.await.expect("the mailbox stays open") }
    }

    async fn until_granted(&self, request: &AcquireRequest) -> LeaseName {
        // Before it is sent, so that no notice comes too early.
        let told = self.expect(request.id);
        let answer = self.backend.acquire(request).await;
        match answer.expect("the server answers").value {
            Acquisition::Granted(lease) => {
                expected(&self.expected).remove(&request.id);
                lease.name()
            }
            Acquisition::Queued(_) => LeaseName::new(request.key.clone(), request.id, told.await),
            other => unreachable!("neither granted nor queued: {other:?}"),
        }
    }

    pub(crate) async fn turn(&self, key: &LockKey, work: impl Future<Output = ()>) {
        let held = self.until_granted(&self.ask(key)).await;
        work.await;
        let answer = self.backend.release(&ReleaseRequest::new(held)).await;
        let released = answer.map(|answer| answer.value);
        assert!(matches!(released, Ok(Release::Released)), "the lease lasted until its release");
    }
}

/// Tells everybody of its grant, as long as the store lives.
async fn deliver(mut notices: NoticeStream, waiting: Expected) {
    while let Some(notice) = poll_fn(|cx| notices.as_mut().poll_next(cx)).await {
        match notice {
            Notice::Granted(grant) => {
                if let Some(sender) = expected(&waiting).remove(&grant.request) {
                    // Nobody waits any more where the worker was stopped.
                    let _ = sender.send(grant.token);
                }
            }
            // No lease is shared, so no command leaves waiters to ask; and nothing is missed here.
            other => {
                // The waiters end as well, and do not wait for ever.
                expected(&waiting).clear();
                unreachable!("not a grant: {other:?}");
            }
        }
    }
}

fn expected(of: &Expected) -> MutexGuard<'_, HashMap<RequestId, oneshot::Sender<FencingToken>>> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
