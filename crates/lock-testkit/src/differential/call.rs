//! A command with all that it is about, and how it is sent to a store.

use std::collections::BTreeSet;
use std::time::Duration;

use lock_core::{
    AcquireRequest, CancelRequest, EvictRequest, Lease, ListQuery, LockKey, LockStore, OwnerId,
    ReleaseRequest, RenewRequest, Result, TransferRequest, WaitRequest,
};

use super::answer::Answer;

/// How many pages of a list are read at most: there are never so many leases.
const PAGES: usize = 10_000;

/// A command with all that it is about.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Acquire(AcquireRequest),
    Wait(WaitRequest),
    Renew(Vec<RenewRequest>),
    Release(ReleaseRequest),
    Cancel(CancelRequest),
    Transfer(TransferRequest),
    Evict(EvictRequest),
    Inspect(LockKey),
    /// All pages.
    List(ListQuery),
    WaitsOf(OwnerId),
}

impl Call {
    /// Sends the command, once.
    pub(super) async fn send(&self, store: &dyn LockStore) -> Answer {
        let answer = match self {
            Self::Acquire(asked) => store.acquire(asked).await.map(Answer::Acquire),
            Self::Wait(awaited) => store.wait(awaited).await.map(Answer::Wait),
            Self::Renew(renewals) => {
                let renewed = store.renew(renewals).await;
                renewed.into_iter().collect::<Result<_>>().map(Answer::Renew)
            }
            Self::Release(held) => store.release(held).await.map(Answer::Release),
            Self::Cancel(asked) => store.cancel(asked).await.map(Answer::Cancel),
            Self::Transfer(given) => store.transfer(given).await.map(Answer::Transfer),
            Self::Evict(eviction) => store.evict(eviction).await.map(Answer::Evict),
            Self::Inspect(key) => store.inspect(key).await.map(Answer::Inspect),
            Self::List(query) => list(store, query.clone()).await,
            Self::WaitsOf(owner) => store.waits_of(owner).await.map(Answer::waits),
        };
        answer.unwrap_or_else(|error| Answer::Failed(format!("{error:?}")))
    }

    /// The keys that it can change, each once.
    pub(super) fn keys(&self) -> BTreeSet<LockKey> {
        let key = match self {
            Self::Acquire(asked) => &asked.key,
            Self::Wait(awaited) => &awaited.key,
            Self::Renew(renewals) => return renewals.iter().map(|it| it.key.clone()).collect(),
            Self::Release(held) => &held.key,
            Self::Cancel(asked) => &asked.key,
            Self::Transfer(given) => &given.key,
            Self::Evict(eviction) => &eviction.key,
            Self::Inspect(key) => key,
            Self::List(_) | Self::WaitsOf(_) => return BTreeSet::new(),
        };
        BTreeSet::from([key.clone()])
    }

    /// The same wait with another timeout.
    pub(super) fn patient_for(self, timeout: Duration) -> Self {
        match self {
            Self::Wait(awaited) => {
                Self::Wait(WaitRequest::new(awaited.key, awaited.request, timeout))
            }
            other => other,
        }
    }
}

async fn list(store: &dyn LockStore, mut query: ListQuery) -> Result<Answer> {
    let (mut leases, mut times) = (Vec::<Lease>::new(), BTreeSet::new());
    for _ in 0..PAGES {
        let page = store.list(&query).await?;
        if page.leases.len() > query.limit.get() as usize {
            return Ok(Answer::Failed(format!("a page is longer than its limit: {page:?}")));
        }
        leases.extend(page.leases);
        times.insert(page.observed_at);
        let Some(next) = page.next else { return Ok(Answer::list(leases, times)) };
        query = query.after(next);
    }
    Ok(Answer::Failed("the list has no end".to_owned()))
}
