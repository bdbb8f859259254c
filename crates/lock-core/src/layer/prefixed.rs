//! Puts every key of a store below a prefix, so that several programs can share the store.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures_core::Stream;

use crate::{
    AcquireRequest, Acquisition, CancelRequest, Cancellation, Capabilities, Change, Error,
    EventFilter, EventStream, EvictRequest, Eviction, Health, Inspection, InvalidInput, Lease,
    ListQuery, LockBackend, LockInspector, LockKey, Operation, OwnerId, Page, Place, Release,
    ReleaseRequest, RenewRequest, Renewal, Result, Transfer, TransferRequest, WaitRequest, Waiter,
    Wake, Watched,
};

/// A store in which every key begins with a prefix that its users never see.
///
/// Requests, replies, listings and events all show the keys without it, and what is not below it
/// is not shown. The prefix counts towards the length of a key.
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

fn place_of(key: &LockKey, place: Place) -> Place {
    let holder = place.holder.map(|lease| lease_of(key, lease));
    Place { holder, ..place }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockBackend> LockBackend for Prefixed<S> {
    async fn acquire(&self, asked: &AcquireRequest) -> Result<Acquisition> {
        let key = self.below(Operation::Acquire, &asked.key)?;
        let answer = self
            .store
            .acquire(&AcquireRequest { key, ..asked.clone() })
            .await
            .map_err(of_key(&asked.key))?;
        Ok(match answer {
            Acquisition::Granted(lease) => Acquisition::Granted(lease_of(&asked.key, lease)),
            Acquisition::Queued(place) => Acquisition::Queued(place_of(&asked.key, place)),
            Acquisition::Held(place) => Acquisition::Held(place_of(&asked.key, place)),
            Acquisition::QueueFull(place) => Acquisition::QueueFull(place_of(&asked.key, place)),
        })
    }

    async fn wait(&self, awaited: &WaitRequest) -> Result<Wake> {
        let key = self.below(Operation::Wait, &awaited.key)?;
        let answer = self
            .store
            .wait(&WaitRequest { key, ..awaited.clone() })
            .await
            .map_err(of_key(&awaited.key))?;
        Ok(match answer {
            Wake::Granted(lease) => Wake::Granted(lease_of(&awaited.key, lease)),
            Wake::AskAgain => Wake::AskAgain,
        })
    }

    async fn renew(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let below = |renewal: &RenewRequest| {
            let key = self.below(Operation::Renew, &renewal.key)?;
            Ok(RenewRequest { key, ..renewal.clone() })
        };
        let asked: Vec<Result<RenewRequest>> = renewals.iter().map(below).collect();
        let valid: Vec<RenewRequest> = asked.iter().flatten().cloned().collect();
        let mut answers = self.store.renew(&valid).await.into_iter();
        let answer = |(renewal, asked): (&RenewRequest, Result<RenewRequest>)| {
            asked?;
            let answer = answers.next().ok_or_else(|| unanswered(&renewal.key))?;
            match answer.map_err(of_key(&renewal.key))? {
                Renewal::Renewed(lease) => Ok(Renewal::Renewed(lease_of(&renewal.key, lease))),
                Renewal::NotHeld => Ok(Renewal::NotHeld),
            }
        };
        renewals.iter().zip(asked).map(answer).collect()
    }

    async fn release(&self, held: &ReleaseRequest) -> Result<Release> {
        let key = self.below(Operation::Release, &held.key)?;
        self.store.release(&ReleaseRequest { key, ..held.clone() }).await.map_err(of_key(&held.key))
    }

    async fn cancel(&self, asked: &CancelRequest) -> Result<Cancellation> {
        let key = self.below(Operation::Cancel, &asked.key)?;
        self.store.cancel(&CancelRequest { key, ..asked.clone() }).await.map_err(of_key(&asked.key))
    }

    async fn transfer(&self, given: &TransferRequest) -> Result<Transfer> {
        let key = self.below(Operation::Transfer, &given.key)?;
        let answer = self
            .store
            .transfer(&TransferRequest { key, ..given.clone() })
            .await
            .map_err(of_key(&given.key))?;
        Ok(match answer {
            Transfer::Transferred(lease) => Transfer::Transferred(lease_of(&given.key, lease)),
            Transfer::NotHeld | Transfer::NotWaiting | Transfer::AlreadyHolds => answer,
        })
    }

    async fn evict(&self, eviction: &EvictRequest) -> Result<Eviction> {
        let key = self.below(Operation::Evict, &eviction.key)?;
        let answer = self
            .store
            .evict(&EvictRequest { key, ..eviction.clone() })
            .await
            .map_err(of_key(&eviction.key))?;
        let leases = answer.leases.into_iter().map(|lease| lease_of(&eviction.key, lease));
        Ok(Eviction::new(leases.collect()))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: LockInspector> LockInspector for Prefixed<S> {
    async fn inspect(&self, key: &LockKey) -> Result<Inspection> {
        let below = self.below(Operation::Inspect, key)?;
        let inspection = self.store.inspect(&below).await.map_err(of_key(key))?;
        let leases = inspection.leases.into_iter().map(|lease| lease_of(key, lease)).collect();
        let waiters = inspection.waiters.into_iter();
        let waiters = waiters.map(|waiter| Waiter { key: key.clone(), ..waiter }).collect();
        Ok(Inspection { key: key.clone(), leases, waiters, ..inspection })
    }

    async fn list(&self, query: &ListQuery) -> Result<Page> {
        let prefix = self.list_prefix(&query.prefix);
        let page = self.store.list(&ListQuery { prefix, ..query.clone() }).await?;
        let leases = page.leases.into_iter().filter_map(|lease| {
            let key = shown(&self.prefix, &lease.key)?;
            Some(Lease { key, ..lease })
        });
        Ok(Page { leases: leases.collect(), ..page })
    }

    async fn waits_of(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        let waiters = self.store.waits_of(owner).await?.into_iter().filter_map(|waiter| {
            let key = shown(&self.prefix, &waiter.key)?;
            Some(Waiter { key, ..waiter })
        });
        Ok(waiters.collect())
    }

    async fn watch(&self, filter: &EventFilter) -> Result<EventStream> {
        let prefix = self.list_prefix(&filter.prefix);
        let events = self.store.watch(&EventFilter { prefix, ..filter.clone() }).await?;
        Ok(Box::pin(Shown { events, prefix: self.prefix.clone() }))
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

/// Events with their keys as users see them.
struct Shown {
    events: EventStream,
    prefix: LockKey,
}

impl Stream for Shown {
    type Item = Watched;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Watched>> {
        loop {
            let Some(watched) = ready!(self.events.as_mut().poll_next(cx)) else {
                return Poll::Ready(None);
            };
            let Watched::Event(mut event) = watched else { return Poll::Ready(Some(watched)) };
            if let Some(key) = shown(&self.prefix, event.key()) {
                event.change = change_of(&key, event.change);
                return Poll::Ready(Some(Watched::Event(event)));
            }
        }
    }
}

/// The change of a key, as users see that.
fn change_of(key: &LockKey, change: Change) -> Change {
    let waiter = |waiter| Waiter { key: key.clone(), ..waiter };
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
    }
}

/// The error of a key, as users see that.
fn of_key(key: &LockKey) -> impl FnOnce(Error) -> Error {
    let key = key.clone();
    move |error| if error.key().is_some() { error.with_key(key) } else { error }
}

fn unanswered(key: &LockKey) -> Error {
    let error = Error::new(crate::ErrorKind::Corrupt, Operation::Renew).with_key(key.clone());
    error.with_source("fewer answers than renewals").unknown()
}
