//! How a broken store wakes, or does not.

use std::time::Duration;

use lock_core::{LockBackend, LockKey, RequestId, Result, WaitRequest, Wake};
use tokio::time::sleep;

use super::Broken;
use crate::fault::Fault;

/// Longer than any case waits.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Broken {
    pub(super) async fn wait_broken(&self, awaited: &WaitRequest) -> Result<Wake> {
        let mut sleep = Sleep::of(self, awaited);
        let woken = self.sleep_broken(awaited).await;
        sleep.is_done = true;
        woken
    }

    async fn sleep_broken(&self, awaited: &WaitRequest) -> Result<Wake> {
        let (request, key) = (awaited.request, self.key(&awaited.key));
        let awaited = WaitRequest::new(key.clone(), request, awaited.timeout);
        let look = WaitRequest::new(key.clone(), request, Duration::ZERO);
        let holds = self.lease_of(&key, request).await?.is_some();
        let waits = self.waiters(&key).await?.iter().any(|w| w.request == request);
        match self.fault {
            Fault::WakesNobody => {
                sleep(awaited.timeout).await;
                self.inner.wait(&look).await
            }
            Fault::WaitsForEver if waits => {
                self.inner.wait(&WaitRequest::new(key, request, DAY)).await
            }
            Fault::SleepsOverTheLeaseItHas if holds => {
                sleep(awaited.timeout).await;
                self.inner.wait(&look).await
            }
            Fault::WaitsForTheUnknown if !holds && !waits => {
                sleep(awaited.timeout).await;
                Ok(Wake::AskAgain)
            }
            Fault::TransfersWakeNobody if waits => self.sleep_over_transfers(&awaited).await,
            Fault::TellsEverybodyOfTheGrant => {
                let mut handed = self.handed.subscribe();
                tokio::select! {
                    woken = self.inner.wait(&awaited) => woken,
                    Ok(lease) = handed.recv() => Ok(Wake::Granted(lease)),
                }
            }
            _ => self.inner.wait(&awaited).await,
        }
    }

    async fn sleep_over_transfers(&self, awaited: &WaitRequest) -> Result<Wake> {
        let asleep_since = tokio::time::Instant::now();
        let woken = self.inner.wait(awaited).await?;
        self.learn();
        if self.story().transferred.contains(&awaited.request) {
            tokio::time::sleep_until(asleep_since + awaited.timeout).await;
            return Ok(Wake::AskAgain);
        }
        Ok(woken)
    }
}

/// A wait that runs.
struct Sleep<'a> {
    store: &'a Broken,
    key: LockKey,
    request: RequestId,
    is_done: bool,
}

impl<'a> Sleep<'a> {
    fn of(store: &'a Broken, awaited: &WaitRequest) -> Self {
        let (key, request) = (store.key(&awaited.key), awaited.request);
        store.story().sleeping.insert(request);
        Self { store, key, request, is_done: false }
    }
}

/// A wait that is dropped before its end is told by the story.
impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        let mut story = self.store.story();
        story.sleeping.remove(&self.request);
        if !self.is_done && self.store.is(Fault::DroppedWaitsCancel) {
            story.fled.push((self.key.clone(), self.request));
        }
    }
}
