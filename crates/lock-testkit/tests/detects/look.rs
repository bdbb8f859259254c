//! What a broken store shows of a key and of an owner's waits.

use std::time::Duration;

use lock_core::{Inspection, Lease, LockInspector, LockKey, OwnerId, Result, Waiter};

use super::Broken;
use crate::fault::Fault;
use crate::story::End;

impl Broken {
    pub(super) async fn inspect_broken(&self, key: &LockKey) -> Result<Inspection> {
        let taken_for = self.key(key);
        let seen = self.inner.inspect(&taken_for).await?;
        let handed = self.learn();
        let mut seen = self.twist_inspection(seen, &handed);
        self.after().await?;
        seen.key = key.clone();
        Ok(self.show_inspection(seen))
    }

    fn twist_inspection(&self, mut seen: Inspection, handed: &[Lease]) -> Inspection {
        let story = self.story();
        let over = |end| story.over(end).find(|lease| lease.key == seen.key).cloned();
        match self.fault {
            Fault::RemembersPastHolders if seen.leases.is_empty() => {
                seen.leases.extend(over(End::Released));
            }
            Fault::ShowsTheDead => seen.leases.extend(over(End::Expired)),
            Fault::ShowsOneHolder => seen.leases.truncate(1),
            Fault::ShowsWaitersBackwards => seen.waiters.reverse(),
            Fault::CountsThoseWhoLeft => {
                seen.waiting += story.left.get(&seen.key).copied().unwrap_or_default();
            }
            Fault::StampsLooksByAnotherClock => {
                seen.observed_at = seen.observed_at.after(Duration::from_secs(60 * 60));
            }
            Fault::LooksWithoutSettling => {
                for lease in handed {
                    put_back(&mut seen, lease, story.waiters.get(&lease.request));
                }
            }
            Fault::HandsOverOnlyWhenAsked => {
                for lease in seen.leases.clone() {
                    if story.unclaimed.contains(&lease.request) {
                        put_back(&mut seen, &lease, story.waiters.get(&lease.request));
                    }
                }
            }
            _ => {}
        }
        seen
    }

    pub(super) async fn waits_broken(&self, owner: &OwnerId) -> Result<Vec<Waiter>> {
        let owner = self.owner(owner);
        let mut waits = self.inner.waits_of(&owner).await?;
        self.learn();
        let story = self.story();
        match self.fault {
            Fault::FindsOneWait => waits.truncate(1),
            Fault::WaitsOutliveTheGrant => {
                let granted = story.waiters.values().filter(|waiter| {
                    waiter.owner == owner && story.leases.contains_key(&waiter.request)
                });
                waits.extend(granted.cloned());
            }
            _ => {}
        }
        Ok(waits)
    }
}

/// Shows a request that was handed a lease as one that still waits.
fn put_back(seen: &mut Inspection, lease: &Lease, waiter: Option<&Waiter>) {
    seen.leases.retain(|shown| shown.request != lease.request);
    seen.waiters.splice(0..0, waiter.cloned());
    seen.holders -= 1;
    seen.waiting += 1;
}
