//! Broken stores: renewals.

use lock_core::{
    FencingToken, LeaseName, OnHeld, RenewRequest, Renewal, Result, Timed, Timestamp, Ttl,
};

use super::Broken;
use crate::fault::Fault;
use crate::scenario::Ending;

impl Broken {
    pub(super) async fn renew_broken(
        &self,
        requests: &[RenewRequest],
    ) -> Vec<Result<Timed<Renewal>>> {
        let mut told = Vec::new();
        for request in requests {
            told.push(self.renew_one(request).await.map(|told| self.timed(told)));
        }
        if self.is(Fault::AnswersRenewalsInReverse) {
            told.reverse();
        }
        told
    }

    async fn renew_one(&self, renewal: &RenewRequest) -> Result<Renewal> {
        let name = self.bend_name(&renewal.lease);
        let request = name.request;
        self.before(&name.key).await?;
        let mut bent = RenewRequest::new(name, self.bend_renewal(renewal));
        bent.mailbox = renewal.mailbox.filter(|_| !self.is(Fault::RenewalsKeepTheMailbox));
        if bent.ttl != renewal.ttl {
            self.story().lies.insert(request, (bent.ttl, renewal.ttl));
        }
        let told = match self.fault {
            Fault::RenewsInNameOnly => {
                let held = self.lease_of(&bent.lease.key, request).await?;
                held.map_or(Renewal::NotHeld, |_| self.pretend(renewal.ttl))
            }
            _ => self.renew_below(&bent).await?,
        };
        let told = match told {
            Renewal::Renewed { expires_at } => {
                Renewal::Renewed { expires_at: self.show_end(request, expires_at) }
            }
            told => self.renew_what_is_not_held(&bent, told).await?,
        };
        self.after().await?;
        if let Renewal::Renewed { .. } = &told {
            let mut story = self.story();
            story.unclaimed.remove(&request);
            if let Some((lease, _)) = story.leases.get(&request).cloned()
                && self.is(Fault::RenewalsTakeANewToken)
            {
                let token = FencingToken::following(Some(story.token(&lease)), self.now());
                story.show_token(&lease, token);
            }
        }
        Ok(told)
    }

    /// Reports that a lease was renewed.
    fn pretend(&self, ttl: Ttl) -> Renewal {
        let expires_at: Option<Timestamp> = ttl.span().map(|span| self.now().after(span));
        Renewal::Renewed { expires_at }
    }

    /// The ttl as which that of the renewal is read.
    fn bend_renewal(&self, renewal: &RenewRequest) -> Ttl {
        let story = self.story();
        let asked = story.asked.get(&renewal.lease.request);
        let is_unclaimed = story.unclaimed.contains(&renewal.lease.request);
        match (self.fault, asked) {
            (Fault::RenewalsKeepTheTtl, Some(asked)) => asked.ttl,
            (Fault::RenewalsDoNotClaim, Some(asked)) if is_unclaimed => match asked.on_held {
                OnHeld::Queue { keep_alive, .. } => {
                    Ttl::parse(keep_alive.span()).expect("a keep-alive is a valid ttl")
                }
                _ => renewal.ttl,
            },
            _ => {
                drop(story);
                self.bend_ttl(renewal.ttl)
            }
        }
    }

    /// Applies the fault to a lease that is not held.
    async fn renew_what_is_not_held(
        &self,
        renewal: &RenewRequest,
        told: Renewal,
    ) -> Result<Renewal> {
        self.learn();
        let name = &renewal.lease;
        let ending = self.story().end_of(name.request);
        match (self.fault, ending) {
            (Fault::RevivesExpiredLeases, Some(Ending::Expired))
            | (Fault::RevivesReleasedLeases, Some(Ending::Released))
            | (Fault::RevivesEvictedLeases, Some(Ending::Evicted)) => Ok(self.pretend(renewal.ttl)),
            (Fault::RenewsByRequest, _) => match self.lease_of(&name.key, name.request).await? {
                Some(held) => self.renew_as(renewal, held.name()).await,
                None => Ok(told),
            },
            (Fault::RenewsForAnybody, None)
            | (Fault::GiversGoOnRenewing, Some(Ending::Transferred)) => {
                self.renew_holder(renewal, told).await
            }
            (Fault::RenewsTheSuccessor, Some(_)) => {
                let _ = self.renew_holder(renewal, told.clone()).await?;
                Ok(told)
            }
            (Fault::RenewalsHideTheEnd, _) => Ok(Renewal::NotHeld),
            _ => Ok(match told {
                Renewal::Ended(end) => self.twist_end(end).map_or(Renewal::NotHeld, Renewal::Ended),
                told => told,
            }),
        }
    }

    async fn renew_as(&self, renewal: &RenewRequest, name: LeaseName) -> Result<Renewal> {
        self.renew_below(&RenewRequest::new(name, renewal.ttl)).await
    }

    async fn renew_holder(&self, renewal: &RenewRequest, told: Renewal) -> Result<Renewal> {
        match self.leases(&renewal.lease.key).await?.first() {
            Some(holder) => self.renew_as(renewal, holder.name()).await,
            None => Ok(told),
        }
    }
}
