//! Broken stores: grants, queues and refusals.

use lock_core::{
    AcquireRequest, Acquisition, Holder, KeepAlive, Lease, LockBackend, Mode, OnHeld,
    QueuePosition, RenewRequest, Renewal, RequestId, Result, Ttl,
};

use super::Broken;
use crate::fault::Fault;
use crate::scenario::Ending;

/// The longest queue of a store that refuses long queues or keeps dead waiters.
const LONG: usize = 100;

impl Broken {
    pub(super) async fn acquire_broken(&self, request: &AcquireRequest) -> Result<Acquisition> {
        let is_new = {
            let mut story = self.story();
            let is_new = !story.asked.contains_key(&request.id);
            story.asked.entry(request.id).or_insert_with(|| request.clone());
            story.seats.entry(request.id).or_insert(self.seat);
            is_new
        };
        let bent = self.bend(request);
        let told = match self.fault {
            Fault::ChecksThenActs => self.check_then_act(&bent).await?,
            Fault::DroppedAcquiresActLate => self.act_late(&bent).await?,
            Fault::OwnersReenter => self.reenter(&bent).await?,
            Fault::NewcomersBarge if is_new => self.barge(&bent).await?,
            Fault::AskingAgainExtends
            | Fault::AskingAgainLosesThePlace
            | Fault::AskingAgainQueuesAgain
            | Fault::AskingAgainDoesNotClaim
            | Fault::RefusesRepeats
            | Fault::AskingAgainIsNotHeard
                if !is_new =>
            {
                self.ask_again(&bent).await?
            }
            Fault::RefusalsQueue
            | Fault::QueuedWritersShare
            | Fault::QueuedReadersWaitAlone
            | Fault::CountsTheDead
            | Fault::RefusesLongQueues
            | Fault::LateReadersWaitAlone
            | Fault::DeadStayInLongQueues => self.ask_to_queue(&bent).await?,
            Fault::UpgradesEvictTheOthers
            | Fault::UpgradesYieldToTheQueue
            | Fault::UpgradesWaitForEachOther
            | Fault::UpgradesNeedNoLease => self.upgrade_broken(&bent).await?,
            _ => self.acquire_below(&bent).await?,
        };
        let told = self.twist_marks(request, told);
        self.twist(request, &bent, told, is_new).await
    }

    /// Grants a key that was free when it was checked earlier.
    async fn check_then_act(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        let looked_free = self.leases(&bent.key).await?.is_empty();
        tokio::task::yield_now().await;
        Ok(match self.acquire_below(bent).await? {
            Acquisition::Held(_) if looked_free => Acquisition::Granted(self.invent(bent)),
            other => other,
        })
    }

    /// Continues although the caller may have dropped the call.
    async fn act_late(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        let (inner, bent) = (self.inner.clone(), bent.clone());
        let acting = tokio::spawn(async move { inner.acquire(&bent).await });
        Ok(acting.await.expect("the store in memory does not panic")?.value)
    }

    async fn reenter(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        let held = self.leases(&bent.key).await?.into_iter().find(|held| held.owner == bent.owner);
        match held {
            Some(held) => Ok(Acquisition::Granted(held)),
            None => self.acquire_below(bent).await,
        }
    }

    /// Takes the key from a waiter that has not claimed it yet.
    async fn barge(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        for held in self.leases(&bent.key).await? {
            let is_unclaimed = self.story().unclaimed.contains(&held.request);
            if is_unclaimed {
                let _ = self.end(&bent.key, held.request).await?;
            }
        }
        self.acquire_below(bent).await
    }

    async fn ask_again(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        let (key, request) = (&bent.key, bent.id);
        if let Some(held) = self.lease_of(key, request).await? {
            return match self.fault {
                Fault::AskingAgainExtends => Ok(self.extended(bent, held).await),
                Fault::AskingAgainDoesNotClaim => Ok(Acquisition::Granted(held)),
                Fault::RefusesRepeats => {
                    let other = stranger(bent);
                    self.acquire_below(&other.with_on_held(OnHeld::Refuse)).await
                }
                _ => self.acquire_below(bent).await,
            };
        }
        let waits = self.waiters(key).await?.iter().position(|waiter| waiter.request == request);
        let Some(index) = waits else { return self.acquire_below(bent).await };
        match self.fault {
            Fault::AskingAgainLosesThePlace => {
                let _ = self.end(key, request).await?;
            }
            Fault::AskingAgainQueuesAgain => {
                let ghost = stranger(bent);
                let _ = self.acquire_below(&ghost).await?;
            }
            Fault::AskingAgainIsNotHeard => {
                let other = stranger(bent);
                let told = self.acquire_below(&other.with_on_held(OnHeld::Refuse)).await?;
                return Ok(match told {
                    Acquisition::Held(mut position) => {
                        position.position = index as u64 + 1;
                        Acquisition::Queued(position)
                    }
                    other => other,
                });
            }
            _ => {}
        }
        self.acquire_below(bent).await
    }

    async fn extended(&self, bent: &AcquireRequest, held: Lease) -> Acquisition {
        match self.renew_below(&RenewRequest::new(held.name(), bent.ttl)).await {
            Ok(Renewal::Renewed { expires_at }) => {
                Acquisition::Granted(held.with_expires_at(expires_at))
            }
            _ => Acquisition::Granted(held),
        }
    }

    /// Applies the faults to requests that cannot be granted at once.
    async fn ask_to_queue(&self, bent: &AcquireRequest) -> Result<Acquisition> {
        let key = &bent.key;
        let waiting = self.waiters(key).await?;
        let known = waiting.iter().any(|waiter| waiter.request == bent.id)
            || self.lease_of(key, bent.id).await?.is_some();
        let OnHeld::Queue { queue_limit, .. } = bent.on_held else {
            if known || !self.is(Fault::RefusalsQueue) {
                return self.acquire_below(bent).await;
            }
            let told = self.acquire_below(&bent.clone().queueing(KeepAlive::default())).await?;
            return Ok(match told {
                Acquisition::Queued(mut position) => {
                    position.waiting -= 1;
                    Acquisition::Held(position)
                }
                other => other,
            });
        };
        if known {
            return self.acquire_below(bent).await;
        }
        let position = match self.acquire_below(&bent.clone().with_on_held(OnHeld::Refuse)).await? {
            Acquisition::Held(position) => position,
            other => return Ok(other),
        };
        self.learn();
        let dead = self.story().lapsed.get(key).copied().unwrap_or_default();
        let alive = waiting.len() as u64;
        match self.fault {
            Fault::RefusesLongQueues if waiting.len() > 2 * LONG => {
                Ok(Acquisition::QueueFull(position))
            }
            Fault::CountsTheDead
                if queue_limit.is_some_and(|most| alive + dead >= most.get().into()) =>
            {
                Ok(Acquisition::QueueFull(position))
            }
            Fault::DeadStayInLongQueues if waiting.len() > LONG => {
                let patient = KeepAlive::parse(KeepAlive::MAX).expect("a valid keep-alive");
                self.acquire_below(&bent.clone().queueing(patient)).await
            }
            Fault::QueuedWritersShare => {
                self.acquire_below(&bent.clone().with_mode(Mode::READER)).await
            }
            Fault::LateReadersWaitAlone if waiting.len() > LONG => {
                self.acquire_below(&bent.clone().with_mode(Mode::Exclusive)).await
            }
            Fault::QueuedReadersWaitAlone => {
                self.acquire_below(&bent.clone().with_mode(Mode::Exclusive)).await
            }
            _ => self.acquire_below(bent).await,
        }
    }

    /// Applies the faults to an answer.
    async fn twist(
        &self,
        request: &AcquireRequest,
        bent: &AcquireRequest,
        told: Acquisition,
        is_new: bool,
    ) -> Result<Acquisition> {
        self.learn();
        match (&told, self.fault) {
            (Acquisition::Held(_), Fault::GrantsHeldKeys) => {
                return Ok(Acquisition::Granted(self.invent(request)));
            }
            (Acquisition::Granted(lease), Fault::RemintsTokensOnRepeat) if !is_new => {
                let mut story = self.story();
                let token =
                    lock_core::FencingToken::following(Some(story.token(lease)), self.now());
                story.show_token(lease, token);
            }
            (Acquisition::Queued(_), Fault::WaitersProlongLeases) => {
                for held in self.leases(&bent.key).await? {
                    let _ = self.renew_below(&RenewRequest::new(held.name(), Ttl::Never)).await?;
                }
            }
            (Acquisition::Granted(_), Fault::CrowdsOfTheDeadCount) => {
                let story = self.story();
                let over = story.over(Ending::Expired).filter(|lease| lease.key == bent.key);
                let over: Vec<&Lease> = over.collect();
                if let Some(first) = over.get(LONG / 2) {
                    let position = QueuePosition::new(1, 0);
                    let holder = Some(Holder::from(*first));
                    let position = position.with_holder(over.len() as u64, holder);
                    return Ok(Acquisition::Held(position));
                }
            }
            _ => {}
        }
        if !self.is(Fault::AskingAgainDoesNotClaim)
            && let Acquisition::Granted(lease) = &told
        {
            self.story().unclaimed.remove(&lease.request);
        }
        Ok(told)
    }
}

/// Another request with the same terms.
fn stranger(request: &AcquireRequest) -> AcquireRequest {
    let mut stranger = request.clone();
    stranger.id = RequestId::random();
    stranger
}
