//! A fully resolved command, and how to send it to a store.

use std::collections::BTreeSet;

use lock_core::{
    AcquireRequest, CancelRequest, EvictRequest, HearRequest, InspectQuery, Inspection, Lease,
    ListQuery, LockKey, LockStore, ReleaseAppeal, ReleaseRequest, RenewRequest, Result, Timed,
    Timestamp, TransferRequest, Waiter, WaitsQuery,
};

use super::answer::Answer;

/// Maximum number of pages that are read: there are never so many leases.
const PAGES: usize = 10_000;

/// A fully resolved command.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Acquire(AcquireRequest),
    Hear(Vec<HearRequest>),
    Renew(Vec<RenewRequest>),
    Release(ReleaseRequest),
    Cancel(CancelRequest),
    Transfer(TransferRequest),
    Evict(EvictRequest),
    RequestRelease(ReleaseAppeal),
    /// All pages.
    Inspect(InspectQuery),
    /// All pages.
    List(ListQuery),
    /// All pages.
    WaitsOf(WaitsQuery),
}

impl Call {
    /// Sends the command, once.
    pub(super) async fn send(&self, store: &dyn LockStore) -> Answer {
        let answer = match self {
            Self::Acquire(request) => store.acquire(request).await.map(Answer::Acquire),
            Self::Hear(requests) => {
                let heard = store.hear(requests).await;
                heard.into_iter().collect::<Result<_>>().map(Answer::Hear)
            }
            Self::Renew(requests) => {
                let renewed = store.renew(requests).await;
                renewed.into_iter().collect::<Result<_>>().map(Answer::Renew)
            }
            Self::Release(request) => store.release(request).await.map(Answer::Release),
            Self::Cancel(request) => store.cancel(request).await.map(Answer::Cancel),
            Self::Transfer(request) => store.transfer(request).await.map(Answer::Transfer),
            Self::Evict(request) => store.evict(request).await.map(Answer::Evict),
            Self::RequestRelease(appeal) => {
                store.request_release(appeal).await.map(Answer::RequestRelease)
            }
            Self::Inspect(query) => inspect(store, query.clone()).await,
            Self::List(query) => list(store, query.clone()).await,
            Self::WaitsOf(query) => waits_of(store, query.clone()).await,
        };
        answer.unwrap_or_else(|error| Answer::Failed(format!("{error:?}")))
    }

    /// The keys that it can change, each once.
    pub(super) fn keys(&self) -> BTreeSet<LockKey> {
        let key = match self {
            Self::Acquire(request) => &request.key,
            Self::Hear(requests) => return requests.iter().map(|it| it.key.clone()).collect(),
            Self::Renew(requests) => {
                return requests.iter().map(|it| it.lease.key.clone()).collect();
            }
            Self::Release(request) => &request.lease.key,
            Self::Cancel(request) => &request.key,
            Self::Transfer(request) => &request.lease.key,
            Self::Evict(request) => &request.key,
            Self::RequestRelease(appeal) => &appeal.key,
            Self::Inspect(query) => &query.key,
            Self::List(_) | Self::WaitsOf(_) => return BTreeSet::new(),
        };
        BTreeSet::from([key.clone()])
    }
}

/// The answer for a page that is longer than its limit.
fn too_long(page: &impl std::fmt::Debug) -> Result<Answer> {
    Ok(Answer::Failed(format!("a page is longer than its limit: {page:?}")))
}

async fn inspect(store: &dyn LockStore, mut query: InspectQuery) -> Result<Answer> {
    let mut all: Option<Timed<Inspection>> = None;
    for _ in 0..PAGES {
        let mut page = store.inspect(&query).await?;
        if page.value.waiters.items.len() > query.shown() {
            return too_long(&page);
        }
        let next = page.value.waiters.next.take();
        match &mut all {
            None => all = Some(page),
            Some(all) => {
                let waiters = std::mem::take(&mut page.value.waiters.items);
                all.value.waiters.items.extend(waiters.iter().cloned());
                page.value.waiters.items.clone_from(&all.value.waiters.items);
                if page != *all {
                    return Ok(Answer::Failed(format!("{page:?} follows {all:?}")));
                }
            }
        }
        let Some(next) = next else {
            let nothing = || Answer::Failed("no page".to_owned());
            return Ok(all.map_or_else(nothing, Answer::Inspect));
        };
        query = query.after(next);
    }
    Ok(Answer::Failed("the waiters have no end".to_owned()))
}

async fn list(store: &dyn LockStore, mut query: ListQuery) -> Result<Answer> {
    let (mut leases, mut times) = (Vec::<Lease>::new(), BTreeSet::<Timestamp>::new());
    for _ in 0..PAGES {
        let page = store.list(&query).await?;
        if page.value.items.len() > query.limit.get() as usize {
            return too_long(&page);
        }
        leases.extend(page.value.items);
        times.insert(page.observed_at);
        let Some(next) = page.value.next else { return Ok(Answer::list(leases, times)) };
        query = query.after(next);
    }
    Ok(Answer::Failed("the list has no end".to_owned()))
}

async fn waits_of(store: &dyn LockStore, mut query: WaitsQuery) -> Result<Answer> {
    let (mut waiters, mut times) = (Vec::<Waiter>::new(), BTreeSet::<Timestamp>::new());
    for _ in 0..PAGES {
        let page = store.waits_of(&query).await?;
        if page.value.items.len() > query.limit.get() as usize {
            return too_long(&page);
        }
        waiters.extend(page.value.items);
        times.insert(page.observed_at);
        let Some(next) = page.value.next else { return Ok(Answer::waits(waiters, times)) };
        query = query.after(next);
    }
    Ok(Answer::Failed("the waiters have no end".to_owned()))
}
