//! Puts every key of a store below a prefix, so that several programs can share the store.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_core::Stream;

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Change, Error,
    ErrorKind, EventCursor, EventFilter, EventStream, EvictRequest, Eviction, Grant, Health,
    HearRequest, Heard, InspectQuery, Inspection, InvalidInput, Lease, LeaseName, ListQuery,
    LockBackend, LockInspector, LockKey, MailboxId, Notice, NoticeStream, Operation, Page, Release,
    ReleaseAppeal, ReleaseRequest, ReleaseRequested, RenewRequest, Renewal, Result, Timed,
    Transfer, TransferRequest, Waiter, WaitsQuery, Watched,
};

/// A store in which every key begins with a prefix that its users never see.
///
/// Requests, replies, notices, listings and events all show the keys without it, and what is not
/// below it is not shown. The prefix counts towards the length of a key.
#[derive(Clone, Debug)]
pub struct Prefixed<S> {
    store: S,
    prefix: LockKey,
}

impl<S> Prefixed<S> {
    /// The part of `store` below `prefix`, which is used as it is: it should end in a separator.
    ///
    /// # Errors
    /// [`InvalidInput`] when the prefix could not begin a key.
    pub fn new(store: S, prefix: &str) -> Result<Self, InvalidInput> {
        Ok(Self { store, prefix: LockKey::parse(prefix)? })
    }

    /// The key as the store has it.
    fn below(&self, operation: Operation, key: &LockKey) -> Result<LockKey> {
        LockKey::parse(format!("{}{key}", self.prefix))
            .map_err(|input| Error::invalid(operation, input).with_key(key.clone()))
    }

    fn lease_below(&self, operation: Operation, lease: &LeaseName) -> Result<LeaseName> {
        Ok(LeaseName { key: self.below(operation, &lease.key)?, ..lease.clone() })
    }

    fn list_prefix(&self, prefix: &str) -> String {
        format!("{}{prefix}", self.prefix)
    }
}

/// The key as users see it; `None` when it is not below the prefix.
fn shown(prefix: &LockKey, key: &LockKey) -> Option<LockKey> {
    LockKey::parse(key.as_str().strip_prefix(prefix.as_str())?).ok()
}

/// The lease of a key, as users see that.
fn lease_of(key: &LockKey, lease: Lease) -> Lease {
    Lease { key: key.clone(), ..lease }
}

fn waiter_of(key: &LockKey, waiter: Waiter) -> Waiter {
    Waiter { key: key.clone(), ..waiter }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Prefixed<S> {
    async fn listen(&self, mailbox: MailboxId) -> Result<NoticeStream> {
        let notices = self.store.listen(mailbox).await?;
        Ok(Box::pin(Shown { stream: notices, prefix: self.prefix.clone() }))
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Timed<Acquisition>> {
        let key = self.below(Operation::Acquire, &request.key)?;
        let below = AcquireRequest { key, ..request.clone() };
        let reply = self.store.acquire(&below).await.map_err(of_key(&request.key))?;
        Ok(reply.map(|acquisition| match acquisition {
            Acquisition::Granted(lease) => Acquisition::Granted(lease_of(&request.key, lease)),
            other => other,
        }))
    }

    async fn hear(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let below = requests.iter().map(|request| {
            let key = self.below(Operation::Hear, &request.key)?;
            Ok(HearRequest { key, ..request.clone() })
        });
        let (valid, refused) = split(below);
        let replies = join(Operation::Hear, self.store.hear(&valid).await, refused);
        let shown = |(request, reply): (&HearRequest, Result<Timed<Heard>>)| {
            let reply = reply.map_err(of_key(&request.key))?;
            Ok(reply.map(|heard| match heard {
                Heard::Granted(lease) => Heard::Granted(lease_of(&request.key, lease)),
                other => other,
            }))
        };
        requests.iter().zip(replies).map(shown).collect()
    }

    async fn renew(&self, requests: &[RenewRequest]) -> Vec<Result<Timed<Renewal>>> {
        let below = requests.iter().map(|request| {
            let lease = self.lease_below(Operation::Renew, &request.lease)?;
            Ok(RenewRequest { lease, ..request.clone() })
        });
        let (valid, refused) = split(below);
        let replies = join(Operation::Renew, self.store.renew(&valid).await, refused);
        let of_key = |(request, reply): (&RenewRequest, Result<_>)| {
            reply.map_err(of_key(&request.lease.key))
        };
        requests.iter().zip(replies).map(of_key).collect()
    }

    async fn release(&self, request: &ReleaseRequest) -> Result<Timed<Release>> {
        let lease = self.lease_below(Operation::Release, &request.lease)?;
        let reply = self.store.release(&ReleaseRequest { lease }).await;
        reply.map_err(of_key(&request.lease.key))
    }

    async fn cancel(&self, request: &CancelRequest) -> Result<Timed<Cancellation>> {
        let key = self.below(Operation::Cancel, &request.key)?;
        let reply = self.store.cancel(&CancelRequest { key, ..request.clone() }).await;
        reply.map_err(of_key(&request.key))
    }

    async fn transfer(&self, request: &TransferRequest) -> Result<Timed<Transfer>> {
        let key = &request.lease.key;
        let lease = self.lease_below(Operation::Transfer, &request.lease)?;
        let below = TransferRequest { lease, ..request.clone() };
        let reply = self.store.transfer(&below).await.map_err(of_key(key))?;
        Ok(reply.map(|transfer| match transfer {
            Transfer::Transferred(lease) => Transfer::Transferred(lease_of(key, lease)),
            other => other,
        }))
    }

    async fn evict(&self, request: &EvictRequest) -> Result<Timed<Eviction>> {
        let key = self.below(Operation::Evict, &request.key)?;
        let below = EvictRequest { key, ..request.clone() };
        let reply = self.store.evict(&below).await.map_err(of_key(&request.key))?;
        Ok(reply.map(|eviction| {
            let leases = eviction.leases.into_iter().map(|lease| lease_of(&request.key, lease));
            let waiter = eviction.waiter.map(|waiter| waiter_of(&request.key, waiter));
            Eviction { leases: leases.collect(), waiter, ..eviction }
        }))
    }

    async fn request_release(&self, appeal: &ReleaseAppeal) -> Result<Timed<ReleaseRequested>> {
        let key = self.below(Operation::RequestRelease, &appeal.key)?;
        let below = ReleaseAppeal { key, ..appeal.clone() };
        self.store.request_release(&below).await.map_err(of_key(&appeal.key))
    }
}

/// Separates the requests that can be sent from those whose keys are too long.
fn split<T>(requests: impl Iterator<Item = Result<T>>) -> (Vec<T>, Vec<Option<Error>>) {
    let mut valid = Vec::new();
    let refused = requests.map(|request| request.map(|request| valid.push(request)).err());
    let refused = refused.collect();
    (valid, refused)
}

/// Puts the answers to those that were sent in the places of all.
fn join<T>(
    operation: Operation,
    replies: Vec<Result<T>>,
    refused: Vec<Option<Error>>,
) -> Vec<Result<T>> {
    let mut replies = replies.into_iter();
    let mut reply = |refused: Option<Error>| match refused {
        Some(error) => Err(error),
        None => replies.next().unwrap_or_else(|| Err(unanswered(operation))),
    };
    refused.into_iter().map(&mut reply).collect()
}

fn unanswered(operation: Operation) -> Error {
    Error::new(ErrorKind::Corrupt, operation).with_source("fewer answers than requests").unknown()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Prefixed<S> {
    async fn inspect(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let key = self.below(Operation::Inspect, &query.key)?;
        let below = InspectQuery { key, ..query.clone() };
        let reply = self.store.inspect(&below).await.map_err(of_key(&query.key))?;
        Ok(reply.map(|seen| {
            let key = &query.key;
            let leases = seen.leases.into_iter().map(|lease| lease_of(key, lease)).collect();
            let waiters = seen.waiters.items.into_iter().map(|waiter| waiter_of(key, waiter));
            let waiters = Page::new(waiters.collect(), seen.waiters.next);
            Inspection { key: key.clone(), leases, waiters, ..seen }
        }))
    }

    async fn list(&self, query: &ListQuery) -> Result<Timed<Page<Lease>>> {
        let prefix = self.list_prefix(&query.prefix);
        let reply = self.store.list(&ListQuery { prefix, ..query.clone() }).await?;
        Ok(reply.map(|page| {
            let leases = page.items.into_iter().filter_map(|lease| {
                let key = shown(&self.prefix, &lease.key)?;
                Some(Lease { key, ..lease })
            });
            Page::new(leases.collect(), page.next)
        }))
    }

    async fn waits_of(&self, query: &WaitsQuery) -> Result<Timed<Page<Waiter>>> {
        let reply = self.store.waits_of(query).await?;
        Ok(reply.map(|page| {
            let waiters = page.items.into_iter().filter_map(|waiter| {
                let key = shown(&self.prefix, &waiter.key)?;
                Some(Waiter { key, ..waiter })
            });
            Page::new(waiters.collect(), page.next)
        }))
    }

    async fn watch(
        &self,
        filter: &EventFilter,
        after: Option<&EventCursor>,
    ) -> Result<EventStream> {
        let prefix = self.list_prefix(&filter.prefix);
        let filter = EventFilter { prefix, ..filter.clone() };
        let events = self.store.watch(&filter, after).await?;
        Ok(Box::pin(Shown { stream: events, prefix: self.prefix.clone() }))
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    fn capabilities(&self) -> Capabilities {
        let capabilities = self.store.capabilities();
        let prefix = self.prefix.as_str().len();
        capabilities.with_key_bytes(capabilities.key_bytes.saturating_sub(prefix))
    }
}

/// Items with their keys as users see them; those of other keys are not shown.
struct Shown<T> {
    stream: Pin<Box<dyn Stream<Item = T> + Send>>,
    prefix: LockKey,
}

/// Item of a stream that may refer to a key.
trait OfKey: Sized {
    fn shown(self, prefix: &LockKey) -> Option<Self>;
}

impl<T: OfKey> Stream for Shown<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            let Some(item) = ready!(self.stream.as_mut().poll_next(cx)) else {
                return Poll::Ready(None);
            };
            if let Some(item) = item.shown(&self.prefix) {
                return Poll::Ready(Some(item));
            }
        }
    }
}

impl OfKey for Watched {
    fn shown(self, prefix: &LockKey) -> Option<Self> {
        let Self::Event(mut event) = self else { return Some(self) };
        let key = shown(prefix, event.key())?;
        event.change = change_of(&key, event.change);
        Some(Self::Event(event))
    }
}

impl OfKey for Notice {
    fn shown(self, prefix: &LockKey) -> Option<Self> {
        Some(match self {
            Self::Granted(grant) => {
                Self::Granted(Grant { key: shown(prefix, &grant.key)?, ..grant })
            }
            Self::Ended { key, request, token, end } => {
                Self::Ended { key: shown(prefix, &key)?, request, token, end }
            }
            Self::Ask { key, request } => Self::Ask { key: shown(prefix, &key)?, request },
            Self::Wanted { key, request, token, by, reason, within } => {
                Self::Wanted { key: shown(prefix, &key)?, request, token, by, reason, within }
            }
            Self::MayHaveMissed => self,
        })
    }
}

/// The change of a key, as users see that.
fn change_of(key: &LockKey, change: Change) -> Change {
    let waiter = |waiter| waiter_of(key, waiter);
    match change {
        Change::Queued(it) => Change::Queued(waiter(it)),
        Change::Cancelled(it) => Change::Cancelled(waiter(it)),
        Change::Lapsed(it) => Change::Lapsed(waiter(it)),
        Change::Granted(lease) => Change::Granted(lease_of(key, lease)),
        Change::Released(lease) => Change::Released(lease_of(key, lease)),
        Change::Expired(lease) => Change::Expired(lease_of(key, lease)),
        Change::Transferred { from, to } => {
            Change::Transferred { from: lease_of(key, from), to: lease_of(key, to) }
        }
        Change::Evicted { lease, by, reason } => {
            Change::Evicted { lease: lease_of(key, lease), by, reason }
        }
        Change::WaiterEvicted { waiter: it, by, reason } => {
            Change::WaiterEvicted { waiter: waiter(it), by, reason }
        }
    }
}

/// The error of a key, as users see that.
fn of_key(key: &LockKey) -> impl FnOnce(Error) -> Error {
    let key = key.clone();
    move |error| if error.key().is_some() { error.with_key(key) } else { error }
}
