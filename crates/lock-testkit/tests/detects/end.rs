//! How a broken store ends leases and requests, or does not.

use lock_core::{
    CancelRequest, Cancellation, EvictRequest, Eviction, LockBackend, LockKey, Mode, Release,
    ReleaseRequest, RequestId, Result, Timestamp,
};

use super::Broken;
use crate::fault::Fault;
use crate::glob::matches;
use crate::story::End;

impl Broken {
    pub(super) async fn release_broken(&self, held: &ReleaseRequest) -> Result<Release> {
        let held = ReleaseRequest::new(self.key(&held.key), held.request);
        let key = &held.key;
        let mine = self.story().end_of(held.request).is_some();
        match self.fault {
            Fault::SwallowsReleases => {
                let holds = self.lease_of(key, held.request).await?.is_some();
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
                let _ = self.inner.release(&held).await?;
                return Ok(Release::Released);
            }
            Fault::ReadersLeaveTogether => self.end_all_shared(key).await?,
            Fault::ReleasesGrantToTheDead => return self.release_in_the_past(&held).await,
            Fault::ReleasesMatchingKeys | Fault::ReleasesKeysBelow => self.end_alike(key).await?,
            Fault::CancelledHeadsBlock => {
                let put_off = std::mem::take(&mut self.story().put_off);
                for (key, request) in put_off {
                    let _ = self.end(&key, request).await?;
                }
            }
            _ => {}
        }
        let told = self.inner.release(&held).await?;
        match (told, self.fault) {
            (Release::NotHeld, Fault::ReleasesForAnybody) => return self.free(key).await,
            (Release::NotHeld, Fault::ReleasesTheSuccessor) if mine => return self.free(key).await,
            (Release::NotHeld, Fault::ReleasesWhatIsOver) => {
                self.learn();
                if self.story().end_of(held.request) == Some(End::Expired) {
                    return Ok(Release::Released);
                }
            }
            (Release::NotHeld, Fault::WaitersMayRelease) => {
                let waits = self.waiters(key).await?.iter().any(|w| w.request == held.request);
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

    /// Ends whatever lease there is.
    async fn free(&self, key: &LockKey) -> Result<Release> {
        let Some(lease) = self.leases(key).await?.into_iter().next() else {
            return Ok(Release::NotHeld);
        };
        self.inner.release(&ReleaseRequest::new(key.clone(), lease.request)).await
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
    async fn release_in_the_past(&self, held: &ReleaseRequest) -> Result<Release> {
        let now = self.now();
        let silent_at = {
            let story = self.story();
            let waiters = story.queued.iter().filter_map(|request| story.waiters.get(request));
            waiters.map(|waiter| waiter.silent_at).filter(|silent_at| *silent_at <= now).min()
        };
        if let Some(silent_at) = silent_at {
            self.clock.set(Timestamp::from_micros(silent_at.as_micros() - 1));
        }
        let told = self.inner.release(held).await;
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
        story.asked.values().map(|asked| (asked.key.clone(), asked.request)).collect()
    }

    pub(super) async fn cancel_broken(&self, asked: &CancelRequest) -> Result<Cancellation> {
        let asked = CancelRequest::new(self.key(&asked.key), asked.request);
        let (key, request) = (&asked.key, asked.request);
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
            Fault::CancelsEmptyTheQueue if waits => self.empty_queue_but(key, request).await?,
            Fault::CancelsTheOwnersOtherRequests | Fault::CancelsTheOwnersOtherKeys => {
                self.end_of_same_owner(&asked).await?;
            }
            _ => {}
        }
        match (self.inner.cancel(&asked).await?, self.fault) {
            (Cancellation::Absent, Fault::CancelsAlwaysSucceed) => Ok(Cancellation::Dequeued),
            (Cancellation::Absent, Fault::RepeatedCancelsSucceed) if again => {
                Ok(Cancellation::Dequeued)
            }
            (told, _) => Ok(told),
        }
    }

    async fn empty_queue_but(&self, key: &LockKey, request: RequestId) -> Result<()> {
        for waiter in self.waiters(key).await? {
            if waiter.request != request {
                let _ = self.end(key, waiter.request).await?;
            }
        }
        Ok(())
    }

    async fn end_of_same_owner(&self, asked: &CancelRequest) -> Result<()> {
        let owner = self.story().asked.get(&asked.request).map(|asked| asked.owner.clone());
        for (key, request) in self.requests() {
            let same_owner = self.story().asked.get(&request).map(|asked| asked.owner.clone());
            let same_key = key == asked.key;
            if same_owner == owner
                && request != asked.request
                && same_key == self.is(Fault::CancelsTheOwnersOtherRequests)
            {
                let _ = self.end(&key, request).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn evict_broken(&self, eviction: &EvictRequest) -> Result<Eviction> {
        let (mut eviction, key) = (eviction.clone(), self.key(&eviction.key));
        eviction.key = key.clone();
        match self.fault {
            Fault::SwallowsEvictions => return Ok(Eviction::new(self.leases(&key).await?)),
            Fault::EvictsAll => eviction.request = None,
            Fault::EvictionsEmptyTheQueue => self.empty_queue(&key).await?,
            Fault::EvictsWaiters => {
                if let Some(request) = eviction.request
                    && self.lease_of(&key, request).await?.is_none()
                {
                    let _ = self.end(&key, request).await?;
                }
            }
            Fault::EvictsOnlyWhatEnds => {
                let held = self.leases(&key).await?;
                if held.iter().any(|lease| lease.expires_at.is_none()) {
                    return Ok(Eviction::new(Vec::new()));
                }
            }
            _ => {}
        }
        self.inner.evict(&eviction).await
    }
}
