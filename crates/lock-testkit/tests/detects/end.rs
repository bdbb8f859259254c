//! Broken stores: ends of leases and requests.

use lock_core::{
    CancelRequest, Cancellation, EvictRequest, EvictTarget, Eviction, LeaseName, LockBackend,
    LockKey, Mode, Release, ReleaseRequest, RequestId, Result, Timestamp,
};

use super::Broken;
use crate::fault::Fault;
use crate::glob::matches;
use crate::scenario::Ending;

impl Broken {
    pub(super) async fn release_broken(&self, request: &ReleaseRequest) -> Result<Release> {
        let held = ReleaseRequest::new(self.bend_name(&request.lease));
        let (key, request) = (&held.lease.key, held.lease.request);
        let mine = self.story().end_of(request).is_some();
        match self.fault {
            Fault::SwallowsReleases => {
                let holds = self.lease_of(key, request).await?.is_some();
                return Ok(if holds { Release::Released } else { Release::NotHeld });
            }
            Fault::LeaksEveryThousandth => {
                let mut story = self.story();
                story.releases += 1;
                if story.releases.is_multiple_of(1000) {
                    return Ok(Release::Released);
                }
            }
            Fault::RepeatedReleasesSucceed if mine => {
                let _ = self.release_below(&held.lease).await?;
                return Ok(Release::Released);
            }
            Fault::ReadersLeaveTogether => self.end_all_shared(key).await?,
            Fault::ReleasesGrantToTheDead => return self.release_in_the_past(&held.lease).await,
            Fault::ReleasesMatchingKeys | Fault::ReleasesKeysBelow => self.end_alike(key).await?,
            Fault::CancelledHeadsBlock => {
                let put_off = std::mem::take(&mut self.story().put_off);
                for (key, request) in put_off {
                    let _ = self.end(&key, request).await?;
                }
            }
            _ => {}
        }
        let told = self.release_below(&held.lease).await?;
        match (&told, self.fault) {
            (Release::Ended(_), Fault::ReleasesHideTheEnd) => return Ok(Release::NotHeld),
            (Release::NotHeld, Fault::ReleasesForAnybody) => return self.free(key).await,
            (Release::NotHeld | Release::Ended(_), Fault::ReleasesTheSuccessor) if mine => {
                return self.free(key).await;
            }
            (Release::NotHeld, Fault::ReleasesByRequest) => {
                if let Some(held) = self.lease_of(key, request).await? {
                    return self.release_below(&held.name()).await;
                }
            }
            (Release::NotHeld, Fault::ReleasesWhatIsOver) => {
                self.learn();
                if self.story().end_of(request) == Some(Ending::Expired) {
                    return Ok(Release::Released);
                }
            }
            (Release::NotHeld, Fault::WaitersMayRelease) => {
                let waits = self.waiters(key).await?.iter().any(|w| w.request == request);
                if waits {
                    return self.free(key).await;
                }
            }
            (Release::NotHeld, Fault::ReleasesOfFreeKeysSucceed)
                if self.leases(key).await?.is_empty() =>
            {
                return Ok(Release::Released);
            }
            _ => {}
        }
        Ok(told)
    }

    /// Ends any lease of the key.
    async fn free(&self, key: &LockKey) -> Result<Release> {
        let Some(lease) = self.leases(key).await?.into_iter().next() else {
            return Ok(Release::NotHeld);
        };
        self.release_below(&lease.name()).await
    }

    async fn release_below(&self, lease: &LeaseName) -> Result<Release> {
        Ok(self.inner.release(&ReleaseRequest::new(lease.clone())).await?.value)
    }

    async fn end_all_shared(&self, key: &LockKey) -> Result<()> {
        for lease in self.leases(key).await?.into_iter().skip(1) {
            if lease.mode != Mode::Exclusive {
                let _ = self.end(key, lease.request).await?;
            }
        }
        Ok(())
    }

    /// Releases as if the waiters that fell silent were still alive.
    async fn release_in_the_past(&self, held: &LeaseName) -> Result<Release> {
        let now = self.now();
        let silent_at = {
            let story = self.story();
            let waiters = story.queued.iter().filter_map(|request| story.waiters.get(request));
            waiters.map(|waiter| waiter.silent_at).filter(|silent_at| *silent_at <= now).min()
        };
        if let Some(silent_at) = silent_at {
            self.clock.set(Timestamp::from_micros(silent_at.as_micros() - 1));
        }
        let told = self.release_below(held).await;
        self.clock.set(now);
        told
    }

    /// Ends the leases of keys that the key matches as a pattern, or that begin like it.
    async fn end_alike(&self, key: &LockKey) -> Result<()> {
        let alike = |other: &LockKey| match self.fault {
            Fault::ReleasesMatchingKeys => matches(key.as_str(), other.as_str()),
            _ => other.as_str().starts_with(&format!("{key}/")),
        };
        for (other, request) in self.requests() {
            if other != *key && alike(&other) {
                let _ = self.end(&other, request).await?;
            }
        }
        Ok(())
    }

    /// Every request that was ever sent, and its key.
    fn requests(&self) -> Vec<(LockKey, RequestId)> {
        let story = self.story();
        story.asked.values().map(|request| (request.key.clone(), request.id)).collect()
    }

    pub(super) async fn cancel_broken(&self, request: &CancelRequest) -> Result<Cancellation> {
        let is_marked = request.answer_outstanding && !self.is(Fault::CancelsLeaveNoMark);
        let bent = CancelRequest::new(self.key(&request.key), request.request)
            .with_answer_outstanding(is_marked);
        let (key, request) = (&bent.key, bent.request);
        let holds = self.lease_of(key, request).await?.is_some();
        let waiters = self.waiters(key).await?;
        let waits = waiters.iter().any(|waiter| waiter.request == request);
        let again = !self.story().cancelled.insert(request);
        match self.fault {
            Fault::SwallowsCancels if waits => return Ok(Cancellation::Dequeued),
            Fault::CancelOnlyDequeues if holds => return Ok(Cancellation::Absent),
            Fault::CancelledHeadsBlock if waits && waiters.len() > 1 => {
                self.story().put_off.push((key.clone(), request));
                return Ok(Cancellation::Dequeued);
            }
            Fault::CancelsEmptyTheQueue if waits => self.empty_queue(key, Some(request)).await?,
            Fault::CancelsTheOwnersOtherRequests | Fault::CancelsTheOwnersOtherKeys => {
                self.end_of_same_owner(&bent).await?;
            }
            _ => {}
        }
        match (self.inner.cancel(&bent).await?.value, self.fault) {
            (Cancellation::Absent, Fault::CancelsAlwaysSucceed) => Ok(Cancellation::Dequeued),
            (Cancellation::Absent, Fault::RepeatedCancelsSucceed) if again => {
                Ok(Cancellation::Dequeued)
            }
            (told, _) => Ok(told),
        }
    }

    async fn end_of_same_owner(&self, cancelled: &CancelRequest) -> Result<()> {
        let owner_of = |request| self.story().asked.get(&request).map(|it| it.owner.clone());
        let owner = owner_of(cancelled.request);
        for (key, request) in self.requests() {
            let same_key = key == cancelled.key;
            if owner_of(request) == owner
                && request != cancelled.request
                && same_key == self.is(Fault::CancelsTheOwnersOtherRequests)
            {
                let _ = self.end(&key, request).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn evict_broken(&self, request: &EvictRequest) -> Result<Eviction> {
        let mut bent = request.clone();
        bent.key = self.key(&request.key);
        let key = bent.key.clone();
        if let EvictTarget::Lease { request, token } = bent.target {
            let name = self.bend_name(&LeaseName::new(key.clone(), request, token));
            bent.target = EvictTarget::Lease { request, token: name.token };
        }
        match (self.fault, bent.target) {
            (Fault::SwallowsEvictions, _) => {
                return Ok(Eviction::of_leases(self.leases(&key).await?, false));
            }
            (Fault::EvictsAll, EvictTarget::Lease { .. }) => bent.target = EvictTarget::AllLeases,
            (Fault::EvictionsEmptyTheQueue, _) => self.empty_queue(&key, None).await?,
            (Fault::EvictedWaitersTakeAllAlong, EvictTarget::Waiter(waiter)) => {
                self.empty_queue(&key, Some(waiter)).await?;
            }
            (Fault::EvictsWaiters, EvictTarget::Lease { request, .. })
                if self.lease_of(&key, request).await?.is_none() =>
            {
                let _ = self.end(&key, request).await?;
            }
            (Fault::EvictsByRequest, EvictTarget::Lease { request, .. }) => {
                if let Some(held) = self.lease_of(&key, request).await? {
                    bent.target = EvictTarget::Lease { request, token: held.token };
                }
            }
            (Fault::EvictsOnlyWhatEnds, _) => {
                let held = self.leases(&key).await?;
                if held.iter().any(|lease| lease.expires_at.is_none()) {
                    return Ok(Eviction::nothing());
                }
            }
            _ => {}
        }
        let mut told = self.inner.evict(&bent).await?.value;
        told.more &= !self.is(Fault::NeverSaysThatMoreAreLeft);
        self.note_ends(&bent, &told);
        Ok(told)
    }
}
