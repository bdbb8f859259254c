//! Broken stores: hears.

use lock_core::{
    AcquireRequest, HearRequest, Heard, LockBackend, OnHeld, QueuePosition, Result, Timed,
};

use super::Broken;
use crate::fault::Fault;

impl Broken {
    pub(super) async fn hear_broken(&self, requests: &[HearRequest]) -> Vec<Result<Timed<Heard>>> {
        let mut told = Vec::new();
        for request in requests {
            told.push(self.hear_one(request).await.map(|told| self.timed(told)));
        }
        if self.is(Fault::AnswersHearingsInReverse) {
            told.reverse();
        }
        told
    }

    async fn hear_one(&self, request: &HearRequest) -> Result<Heard> {
        let mut bent = request.clone();
        bent.key = self.key(&request.key);
        if self.is(Fault::HearingsKeepTheMailbox) {
            bent.mailbox = None;
        }
        self.before(&bent.key).await?;
        let asked = self.story().asked.get(&request.request).cloned();
        let told = match self.hear_without_effect(&bent, asked.as_ref()).await? {
            Some(told) => told,
            None => self.inner.hear(&[bent]).await.remove(0)?.value,
        };
        let told = match (told, self.fault, &asked) {
            (Heard::Granted(_), Fault::HearingsForgetGrants, _)
            | (Heard::Ended(_), Fault::HearingsHideTheEnd, _) => Heard::Absent,
            (Heard::Absent, Fault::HearsTheUnknown, None) => {
                Heard::Queued(QueuePosition::new(1, 1))
            }
            (Heard::Absent, Fault::HearingsTakeTheSilentBack, Some(asked)) => {
                match self.acquire_below(&self.bend(asked)).await? {
                    lock_core::Acquisition::Queued(position) => Heard::Queued(position),
                    _ => Heard::Absent,
                }
            }
            (Heard::Ended(end), _, _) => self.twist_end(end).map_or(Heard::Absent, Heard::Ended),
            (told, _, _) => told,
        };
        self.after().await?;
        if let Heard::Granted(lease) = &told
            && !self.is(Fault::HearingsDoNotClaim)
        {
            self.story().unclaimed.remove(&lease.request);
        }
        Ok(match (told, asked) {
            (Heard::Granted(lease), _) => Heard::Granted(self.show(lease)),
            (Heard::Queued(position), Some(asked)) => {
                Heard::Queued(self.show_position(&asked, position))
            }
            (told, _) => told,
        })
    }

    /// The answers of the faults that do not keep the waiter alive.
    async fn hear_without_effect(
        &self,
        request: &HearRequest,
        asked: Option<&AcquireRequest>,
    ) -> Result<Option<Heard>> {
        let owned_by = self.story().seats.get(&request.request).copied();
        match (self.fault, asked) {
            (Fault::ConnectionsOwnRequests, _) if owned_by != Some(self.seat) => {
                Ok(Some(Heard::Absent))
            }
            (Fault::HearingsDoNotClaim, _) => {
                let held = self.lease_of(&request.key, request.request).await?;
                Ok(held.map(Heard::Granted))
            }
            (Fault::HearsNobody, Some(asked)) => {
                let waiters = self.waiters(&request.key).await?;
                let index = waiters.iter().position(|waiter| waiter.request == request.request);
                let Some(index) = index else { return Ok(None) };
                let mut other = asked.clone().with_on_held(OnHeld::Refuse);
                other.id = lock_core::RequestId::random();
                Ok(match self.acquire_below(&other).await? {
                    lock_core::Acquisition::Held(mut position) => {
                        position.position = index as u64 + 1;
                        Some(Heard::Queued(position))
                    }
                    _ => None,
                })
            }
            _ => Ok(None),
        }
    }
}
