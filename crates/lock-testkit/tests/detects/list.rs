//! Broken stores: listings of leases.

use std::num::NonZeroU32;

use lock_core::{Cursor, Lease, ListQuery, LockInspector, Page, RequestId, Result, Timestamp};

use super::Broken;
use crate::fault::Fault;
use crate::glob::matches;
use crate::scenario::Ending;

impl Broken {
    pub(super) async fn list_broken(&self, query: &ListQuery) -> Result<Page<Lease>> {
        let mut bent = query.clone();
        bent.owner = query.owner.as_ref().map(|owner| self.owner(owner));
        match self.fault {
            Fault::PrefixesAreGlobs => bent.prefix = String::new(),
            Fault::ListsNamesakes => bent.owner = None,
            Fault::ListsByTheEnd => return self.list_by_end(bent).await,
            _ => {}
        }
        let page = match self.inner.list(&bent).await {
            Err(_) if self.is(Fault::RestartsAtForeignCursors) => {
                bent.cursor = None;
                self.inner.list(&bent).await?.value
            }
            page => page?.value,
        };
        self.learn();
        Ok(self.twist_page(query, page))
    }

    fn twist_page(&self, query: &ListQuery, mut page: Page<Lease>) -> Page<Lease> {
        let mut story = self.story();
        let is_last = page.next.is_none();
        match self.fault {
            Fault::SkipsTheFirstOfAPage if query.cursor.is_some() && !page.items.is_empty() => {
                drop(page.items.remove(0));
            }
            Fault::PrefixesAreGlobs => {
                let glob = format!("{}*", query.prefix);
                page.items.retain(|lease| matches(&glob, lease.key.as_str()));
            }
            Fault::ListsNamesakes => {
                let is_namesake = |lease: &Lease| match &query.owner {
                    Some(owner) => lease.owner.as_str().eq_ignore_ascii_case(owner.as_str()),
                    None => true,
                };
                page.items.retain(is_namesake);
            }
            Fault::ListsWaiters if is_last => {
                let waiting = story.queued.iter().filter_map(|request| story.asked.get(request));
                let leases = waiting.map(|request| self.invent(request));
                page.items.extend(leases.filter(|lease| query.matches(lease)));
            }
            Fault::ListsTheDead if is_last => {
                let over = story.over(Ending::Expired).filter(|lease| query.matches(lease));
                page.items.extend(over.cloned());
                page.items.truncate(query.limit.get() as usize);
            }
            Fault::CursorsAreKeys => {
                let listed = story.listed.take().filter(|_| query.cursor.is_some());
                page.items.retain(|lease| Some(&lease.key) != listed.as_ref());
                story.listed = page.items.last().map(|lease| lease.key.clone()).or(listed);
            }
            _ => {}
        }
        page
    }

    /// Lists the leases in the order of their ends, and continues after the last end listed.
    async fn list_by_end(&self, query: ListQuery) -> Result<Page<Lease>> {
        let limit = query.limit.get() as usize;
        let after = query.cursor.as_ref().and_then(read_end);
        let mut all = query.with_limit(NonZeroU32::MAX);
        all.cursor = None;
        let mut leases = Vec::new();
        loop {
            let page = self.inner.list(&all).await?.value;
            leases.extend(page.items);
            let Some(next) = page.next else { break };
            all = all.after(next);
        }
        leases.sort_by_key(end);
        leases.retain(|lease| after.is_none_or(|after| end(lease) > after));
        let is_last = leases.len() <= limit;
        leases.truncate(limit);
        let next = leases.last().filter(|_| !is_last).map(write_end);
        Ok(Page::new(leases, next))
    }
}

fn end(lease: &Lease) -> (u64, RequestId) {
    (lease.expires_at.map_or(u64::MAX, Timestamp::as_micros), lease.request)
}

fn write_end(lease: &Lease) -> Cursor {
    let (end, request) = end(lease);
    Cursor::new(format!("{end} {request}"))
}

fn read_end(cursor: &Cursor) -> Option<(u64, RequestId)> {
    let (end, request) = cursor.as_str().split_once(' ')?;
    Some((end.parse().ok()?, RequestId::parse(request).ok()?))
}
