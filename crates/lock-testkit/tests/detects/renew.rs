//! How a broken store makes leases last longer, or does not.

use lock_core::{
    Acquisition, FencingToken, LockBackend, OnHeld, RenewRequest, Renewal, Result, Ttl,
};

use super::Broken;
use crate::fault::Fault;
use crate::story::End;

impl Broken {
    pub(super) async fn renew_broken(&self, renewals: &[RenewRequest]) -> Vec<Result<Renewal>> {
        let mut told = Vec::new();
        for renewal in renewals {
            told.push(self.renew_one(renewal).await);
        }
        if self.is(Fault::AnswersRenewalsInReverse) {
            told.reverse();
        }
        told
    }

    async fn renew_one(&self, renewal: &RenewRequest) -> Result<Renewal> {
        let key = self.key(&renewal.key);
        self.before(&key).await?;
        let bent = RenewRequest::new(key, renewal.request, self.bend_renewal(renewal));
        if bent.ttl != renewal.ttl {
            self.story().lies.insert(renewal.request, (bent.ttl, renewal.ttl));
        }
        let told = match self.fault {
            Fault::RenewsInNameOnly => {
                let held = self.lease_of(&bent.key, bent.request).await?;
                let end = renewal.ttl.span().map(|span| self.now().after(span));
                match held {
                    Some(held) => Renewal::Renewed(held.with_expires_at(end)),
                    None => Renewal::NotHeld,
                }
            }
            _ => self.renew_below(&bent).await?,
        };
        let told = match told {
            Renewal::NotHeld => self.renew_what_is_not_held(&bent).await?,
            renewed => renewed,
        };
        self.after().await?;
        if let Renewal::Renewed(lease) = &told {
            let mut story = self.story();
            story.unclaimed.remove(&lease.request);
            if self.is(Fault::RenewalsTakeANewToken) {
                let token = FencingToken::following(Some(story.token(lease)), self.now());
                story.show_token(lease, token);
            }
        }
        Ok(told)
    }

    /// The ttl that the renewal is taken to ask for.
    fn bend_renewal(&self, renewal: &RenewRequest) -> Ttl {
        let story = self.story();
        let asked = story.asked.get(&renewal.request);
        let is_unclaimed = story.unclaimed.contains(&renewal.request);
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

    async fn renew_below(&self, renewal: &RenewRequest) -> Result<Renewal> {
        self.inner.renew(std::slice::from_ref(renewal)).await.remove(0)
    }

    /// What the fault does for a request that does not hold.
    async fn renew_what_is_not_held(&self, renewal: &RenewRequest) -> Result<Renewal> {
        self.learn();
        let end = self.story().end_of(renewal.request);
        match (self.fault, end) {
            (Fault::RevivesExpiredLeases, Some(End::Expired))
            | (Fault::RevivesReleasedLeases, Some(End::Released))
            | (Fault::RevivesEvictedLeases, Some(End::Evicted)) => self.revive(renewal).await,
            (Fault::RenewsForAnybody, None)
            | (Fault::GiversGoOnRenewing, Some(End::Transferred)) => {
                self.renew_holder(renewal).await
            }
            (Fault::RenewsTheSuccessor, Some(_)) => {
                let _ = self.renew_holder(renewal).await?;
                Ok(Renewal::NotHeld)
            }
            _ => Ok(Renewal::NotHeld),
        }
    }

    async fn revive(&self, renewal: &RenewRequest) -> Result<Renewal> {
        let asked = self.story().asked[&renewal.request].clone();
        match self.inner.acquire(&asked.with_on_held(OnHeld::Refuse)).await? {
            Acquisition::Granted(lease) => Ok(Renewal::Renewed(lease)),
            _ => Ok(Renewal::NotHeld),
        }
    }

    async fn renew_holder(&self, renewal: &RenewRequest) -> Result<Renewal> {
        let Some(holder) = self.leases(&renewal.key).await?.into_iter().next() else {
            return Ok(Renewal::NotHeld);
        };
        let key = renewal.key.clone();
        self.renew_below(&RenewRequest::new(key, holder.request, renewal.ttl)).await
    }
}
