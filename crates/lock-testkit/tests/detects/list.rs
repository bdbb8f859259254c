//! How a broken store lists leases.

use std::num::NonZeroU32;

use lock_core::{Cursor, Lease, ListQuery, LockInspector, Page, RequestId, Result, Timestamp};

use super::Broken;
use crate::fault::Fault;
use crate::glob::matches;
use crate::story::End;

impl Broken {
    pub(super) async fn list_broken(&self, query: &ListQuery) -> Result<Page> {
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
                self.inner.list(&bent).await?
            }
            page => page?,
        };
        self.learn();
        Ok(self.twist_page(query, page))
    }

    fn twist_page(&self, query: &ListQuery, mut page: Page) -> Page {
        let mut story = self.story();
        let is_last = page.next.is_none();
        match self.fault {
            Fault::SkipsTheFirstOfAPage if query.cursor.is_some() => drop(page.leases.remove(0)),
            Fault::PrefixesAreGlobs => {
                let glob = format!("{}*", query.prefix);
                page.leases.retain(|lease| matches(&glob, lease.key.as_str()));
            }
            Fault::ListsNamesakes => {
                let is_namesake = |lease: &Lease| match &query.owner {
                    Some(owner) => lease.owner.as_str().eq_ignore_ascii_case(owner.as_str()),
                    None => true,
                };
                page.leases.retain(is_namesake);
            }
            Fault::ListsWaiters if is_last => {
                let waiting = story.queued.iter().filter_map(|request| story.asked.get(request));
                let leases = waiting.map(|asked| self.invent(asked));
                page.leases.extend(leases.filter(|lease| query.matches(lease)));
            }
            Fault::ListsTheDead if is_last => {
                let over = story.over(End::Expired).filter(|lease| query.matches(lease));
                page.leases.extend(over.cloned());
                page.leases.truncate(query.limit.get() as usize);
            }
            Fault::CursorsAreKeys => {
                let listed = story.listed.take().filter(|_| query.cursor.is_some());
                page.leases.retain(|lease| Some(&lease.key) != listed.as_ref());
                story.listed = page.leases.last().map(|lease| lease.key.clone()).or(listed);
            }
            _ => {}
        }
        page
    }

    /// Lists the leases in the order of their ends, and goes on after the last end listed.
    async fn list_by_end(&self, query: ListQuery) -> Result<Page> {
        let limit = query.limit.get() as usize;
        let after = query.cursor.as_ref().and_then(read_end);
        let mut all = query.with_limit(NonZeroU32::MAX);
        all.cursor = None;
        let page = self.inner.list(&all).await?;
        let mut leases = page.leases;
        leases.sort_by_key(end);
        leases.retain(|lease| after.is_none_or(|after| end(lease) > after));
        let is_last = leases.len() <= limit;
        leases.truncate(limit);
        let next = leases.last().filter(|_| !is_last).map(write_end);
        Ok(Page::new(leases, next, page.observed_at))
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
