//! Broken stores: inspections of a key and of an owner's waits.

use std::time::Duration;

use lock_core::{
    InspectQuery, Inspection, Lease, LockInspector, Page, Result, Timed, Waiter, WaitsOf,
    WaitsQuery,
};

use super::Broken;
use crate::fault::Fault;
use crate::scenario::Ending;

impl Broken {
    pub(super) async fn inspect_broken(&self, query: &InspectQuery) -> Result<Timed<Inspection>> {
        let mut bent = query.clone();
        bent.key = self.key(&query.key);
        let seen = self.inner.inspect(&bent).await?.value;
        let handed = self.learn();
        let mut seen = self.twist_inspection(query, seen, &handed);
        self.after().await?;
        seen.key = query.key.clone();
        let mut seen = self.timed(self.show_inspection(seen));
        if self.is(Fault::StampsLooksByAnotherClock) {
            seen.observed_at = seen.observed_at.after(Duration::from_secs(60 * 60));
        }
        Ok(seen)
    }

    fn twist_inspection(
        &self,
        query: &InspectQuery,
        mut seen: Inspection,
        handed: &[Lease],
    ) -> Inspection {
        let story = self.story();
        let over = |end| story.over(end).find(|lease| lease.key == seen.key).cloned();
        match self.fault {
            Fault::RemembersPastHolders if seen.leases.is_empty() => {
                seen.leases.extend(over(Ending::Released));
            }
            Fault::ShowsTheDead => seen.leases.extend(over(Ending::Expired)),
            Fault::ShowsOneHolder => seen.leases.truncate(1),
            Fault::ShowsWaitersBackwards => seen.waiters.items.reverse(),
            Fault::SkipsTheFirstWaiterOfAPage if query.cursor.is_some() => {
                seen.waiters.items.splice(..1, []);
            }
            Fault::CountsThoseWhoLeft => {
                seen.waiting += story.left.get(&seen.key).copied().unwrap_or_default();
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

    pub(super) async fn waits_broken(&self, query: &WaitsQuery) -> Result<Page<Waiter>> {
        let mut bent = query.clone();
        bent.of = match &query.of {
            WaitsOf::Owner(owner) => self.owner(owner).into(),
            WaitsOf::Session(session) if self.is(Fault::FindsTheWholeOwner) => {
                let story = self.story();
                let of_session = story
                    .asked
                    .values()
                    .find(|it| it.session == *session && story.queued.contains(&it.id));
                of_session.map_or_else(|| query.of.clone(), |it| it.owner.clone().into())
            }
            _ => query.of.clone(),
        };
        let mut page = self.inner.waits_of(&bent).await?.value;
        self.learn();
        let story = self.story();
        match self.fault {
            Fault::FindsOneWait => (page.items.truncate(1), page.next = None).0,
            Fault::SkipsTheFirstWaitOfAPage if query.cursor.is_some() => {
                page.items.splice(..1.min(page.items.len()), []);
            }
            Fault::WaitsOutliveTheGrant => {
                let granted = story.waiters.values().filter(|waiter| {
                    query.of.matches(waiter) && story.leases.contains_key(&waiter.request)
                });
                page.items.extend(granted.cloned());
            }
            _ => {}
        }
        Ok(page)
    }
}

/// Shows a request that was handed a lease as one that still waits.
fn put_back(seen: &mut Inspection, lease: &Lease, waiter: Option<&Waiter>) {
    seen.leases.retain(|shown| shown.request != lease.request);
    seen.waiters.items.splice(0..0, waiter.cloned());
    seen.holders -= 1;
    seen.waiting += 1;
}
