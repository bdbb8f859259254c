//! Compares what processes were answered with what a store finds after a loss of power.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use lock_core::{
    Acquisition, EvictRequest, HearRequest, Heard, Lease, ListQuery, LockBackend, LockInspector,
    LockKey, ManualClock, Reason, RequestId, Timestamp,
};
use lock_documents::DocumentStore;
use lock_sqlite::{SqliteBackend, SqliteConfig, SqliteDocuments};
use rusqlite::Connection;

use crate::disk::Image;
use crate::workload::{owner, request};

type Token = u64;

/// What processes were answered, and what they asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// Answered leases that nobody asked to end.
    held: BTreeSet<(String, Token)>,
    /// Leases that were answered to be over.
    ended: BTreeMap<(String, Token), String>,
    /// The highest answered token.
    highest: BTreeMap<String, Token>,
    /// Requests that were answered to wait, and neither asked to leave nor answered a grant.
    queued: BTreeSet<(String, String)>,
    /// Requests that were answered to have left.
    left: BTreeSet<(String, String)>,
    /// Keys whose leases end at the same time, as each of their transactions renews both.
    pairs: Vec<[String; 2]>,
    renewed: BTreeMap<String, u64>,
    written: BTreeMap<String, u64>,
    /// The keys of the last words.
    last: Vec<String>,
}

/// A difference between answers and what is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An answered command is undone.
    Lost(String),
    /// A part of a transaction is there, and another part is not.
    Half(String),
    /// The file cannot be used.
    Unusable(String),
}

impl Answers {
    pub(crate) fn add(&mut self, said: &str) {
        let words: Vec<&str> = said.split(' ').collect();
        let lease = |key: &str, token: &str| (key.to_owned(), token.parse::<Token>().unwrap());
        match words[..] {
            ["granted", key, token, ref request @ ..] => {
                let granted = lease(key, token);
                let highest = self.highest.entry(granted.0.clone()).or_default();
                *highest = granted.1.max(*highest);
                self.held.insert(granted);
                for request in request {
                    self.queued.remove(&(key.to_owned(), (*request).to_owned()));
                }
            }
            ["ends", key, token] => drop(self.held.remove(&lease(key, token))),
            ["ended", key, token, "by", how] => {
                self.ended.insert(lease(key, token), how.to_owned());
            }
            ["queued", key, request] => {
                self.queued.insert((key.to_owned(), request.to_owned()));
            }
            ["leaves", key, request] => {
                self.queued.remove(&(key.to_owned(), request.to_owned()));
            }
            ["left", key, request] => {
                self.left.insert((key.to_owned(), request.to_owned()));
            }
            ["pair", one, other] => self.pairs.push([one.to_owned(), other.to_owned()]),
            ["renewed", key, expires_at] => {
                self.renewed.insert(key.to_owned(), expires_at.parse().unwrap());
            }
            ["wrote", name, number] => {
                self.written.insert(name.to_owned(), number.parse().unwrap());
            }
            _ => panic!("unknown words: {said}"),
        }
        self.last.push(words[1].to_owned());
        let old = self.last.len().saturating_sub(4);
        self.last.drain(..old);
    }

    /// Opens what is on the disk, and looks for everything.
    pub(crate) async fn judge(&self, image: &Image, folder: &Path) -> Vec<Fault> {
        for (name, content) in image {
            fs::write(folder.join(name), content).unwrap();
        }
        let path = folder.join("locks.db");
        // At its beginning, so that no token is higher than those before by the time alone.
        let clock = ManualClock::new(Timestamp::from_micros(1));
        let store = match SqliteConfig::new(&path).with_clock(Arc::new(clock)).open() {
            Ok(store) => store,
            Err(error) => return vec![Fault::Unusable(error.to_string())],
        };
        let mut faults = Vec::new();
        let checker = Connection::open(&path).unwrap();
        let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
        match checker.query_row("PRAGMA integrity_check", [], check) {
            Ok(found) if found == "ok" => {}
            found => faults.push(Fault::Half(format!("{found:?}"))),
        }
        if let Err(error) = self.judge_store(&store, &mut faults).await {
            faults.push(Fault::Unusable(error.to_string()));
        }
        faults
    }

    async fn judge_store(
        &self,
        store: &SqliteBackend,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Box<dyn Error>> {
        let found = all(store).await?;
        self.judge_leases(&found, faults);
        self.judge_requests(store, faults).await?;
        let documents = SqliteDocuments::new(store.clone());
        for (name, number) in &self.written {
            let body = documents.read(name).await?.map(|document| document.body);
            let found = body.and_then(|body| String::from_utf8(body).ok()?.parse::<u64>().ok());
            if found.is_none_or(|found| found < *number) {
                faults
                    .push(Fault::Lost(format!("{name}: {number} was written, {found:?} is there")));
            }
        }
        self.judge_tokens(store, &found, faults).await
    }

    fn judge_leases(&self, found: &BTreeMap<(String, Token), Lease>, faults: &mut Vec<Fault>) {
        let is_lost = |lease: &&(String, Token)| !found.contains_key(*lease);
        let lost = self.held.iter().filter(is_lost);
        faults.extend(lost.map(|lease| Fault::Lost(format!("the grant of {lease:?}"))));
        let is_back = |(lease, _): &(&(String, Token), _)| found.contains_key(*lease);
        let back = self.ended.iter().filter(is_back);
        faults.extend(back.map(|(lease, how)| Fault::Lost(format!("the {how} of {lease:?}"))));
        let by_key: BTreeMap<&str, &Lease> =
            found.iter().map(|((key, _), lease)| (key.as_str(), lease)).collect();
        let end =
            |key: &str| by_key.get(key).map(|lease| lease.expires_at.map(Timestamp::as_micros));
        for [one, other] in &self.pairs {
            // The grant of one may be undone, as it has a transaction of its own.
            if let (Some(one_end), Some(other_end)) = (end(one), end(other))
                && one_end != other_end
            {
                faults.push(Fault::Half(format!("one of {one} and {other} is renewed")));
            }
        }
        for (key, expires_at) in &self.renewed {
            if end(key).flatten().is_none_or(|end| end < *expires_at) {
                faults.push(Fault::Lost(format!("the renewal of {key}")));
            }
        }
    }

    async fn judge_requests(
        &self,
        store: &SqliteBackend,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Box<dyn Error>> {
        let known = self.queued.iter().map(|it| (it, true));
        let known: Vec<_> = known.chain(self.left.iter().map(|it| (it, false))).collect();
        let hear = |((key, request), _): &(&(String, String), bool)| {
            HearRequest::new(LockKey::parse(key).unwrap(), RequestId::parse(request).unwrap())
        };
        let hears: Vec<_> = known.iter().map(hear).collect();
        for (((key, _), is_queued), heard) in known.iter().zip(store.hear(&hears).await) {
            let found = matches!(heard?.value, Heard::Queued(_) | Heard::Granted(_));
            if found != *is_queued {
                faults.push(Fault::Lost(format!("what became of a request for {key}")));
            }
        }
        Ok(())
    }

    /// The next token of a key is higher than any that was answered.
    async fn judge_tokens(
        &self,
        store: &SqliteBackend,
        found: &BTreeMap<(String, Token), Lease>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Box<dyn Error>> {
        for key in self.last.iter().collect::<BTreeSet<_>>() {
            let Some(highest) = self.highest.get(key) else { continue };
            for ((held, _), lease) in found {
                if held == key {
                    let reason = Reason::parse("test").unwrap();
                    let evict = EvictRequest::all(lease.key.clone(), owner(), reason);
                    let _ = store.evict(&evict).await?;
                }
            }
            let granted = store.acquire(&request(key)).await?.value;
            let token = match granted {
                Acquisition::Granted(lease) => lease.token,
                // It went to one that waited.
                Acquisition::Held(position) => position.holder.unwrap().token,
                other => panic!("{other:?}"),
            };
            if token.get() <= *highest {
                faults.push(Fault::Lost(format!("the token {highest} of {key}: {token} is next")));
            }
        }
        Ok(())
    }
}

async fn all(store: &SqliteBackend) -> Result<BTreeMap<(String, Token), Lease>, lock_core::Error> {
    let mut query = ListQuery::all().with_limit(1000.try_into().unwrap());
    let mut found = BTreeMap::new();
    loop {
        let page = store.list(&query).await?.value;
        let named = |lease: Lease| ((lease.key.to_string(), lease.token.get()), lease);
        found.extend(page.items.into_iter().map(named));
        let Some(next) = page.next else { return Ok(found) };
        query = query.after(next);
    }
}
