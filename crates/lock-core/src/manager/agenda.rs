//! Named entries with due times. Pure.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use tokio::time::Instant;

/// Named entries, some of them with a due time.
///
/// Every operation costs the logarithm of their number at the most; making all of them due at once
/// costs nothing.
#[derive(Debug)]
pub(super) struct Agenda<N, T> {
    entries: HashTable<Entry<N, T>>,
    order: BTreeMap<Due, Dated<N>>,
    /// Entries made due together, regardless of their times.
    hurried: BTreeMap<Due, Dated<N>>,
    /// The number of the last date, which keeps dates of one instant apart.
    last: u64,
    /// Number of times that all entries were made due.
    hurries: u64,
}

type Due = (Instant, u64);

#[derive(Debug)]
struct Entry<N, T> {
    name: N,
    due: Option<Due>,
    value: T,
}

#[derive(Debug)]
struct Dated<N> {
    name: N,
    /// From when on it may be taken together with others that are due.
    from: Instant,
}

/// Entries taken from an agenda at one time.
#[derive(Debug)]
pub(super) struct Taken<N> {
    pub(super) names: Vec<N>,
    /// A number that changes whenever all are made due at once.
    pub(super) hurries: u64,
}

impl<N, T> Default for Agenda<N, T> {
    fn default() -> Self {
        Self {
            entries: HashTable::new(),
            order: BTreeMap::new(),
            hurried: BTreeMap::new(),
            last: 0,
            hurries: 0,
        }
    }
}

impl<N: Clone + Eq + Hash, T> Agenda<N, T> {
    /// Inserts an entry due at `due`, or up to `slack` earlier together with others; returns the
    /// previous entry of the name.
    pub(super) fn insert(&mut self, name: N, value: T, due: Instant, slack: Duration) -> Option<T> {
        let key = self.date(name.clone(), due, slack);
        match self.slot(&name) {
            Slot::Occupied(mut slot) => {
                let entry = slot.get_mut();
                let earlier = entry.due.replace(key);
                let value = std::mem::replace(&mut entry.value, value);
                self.strike(earlier);
                Some(value)
            }
            Slot::Vacant(slot) => {
                slot.insert(Entry { name, due: Some(key), value });
                None
            }
        }
    }

    /// Returns the entry with this name, inserted if missing.
    pub(super) fn get_or_insert(&mut self, name: &N, value: impl FnOnce() -> T) -> &mut T {
        let slot = match self.slot(name) {
            Slot::Occupied(slot) => slot,
            Slot::Vacant(slot) => {
                slot.insert(Entry { name: name.clone(), due: None, value: value() })
            }
        };
        &mut slot.into_mut().value
    }

    /// Removes an entry if `goes` accepts it.
    pub(super) fn remove_if(&mut self, name: &N, goes: impl FnOnce(&mut T) -> bool) -> Option<T> {
        let is_it = |entry: &Entry<N, T>| entry.name == *name;
        let mut slot = self.entries.find_entry(hash(name), is_it).ok()?;
        if !goes(&mut slot.get_mut().value) {
            return None;
        }
        let (entry, _) = slot.remove();
        self.strike(entry.due);
        Some(entry.value)
    }

    pub(super) fn get(&self, name: &N) -> Option<&T> {
        self.entries.find(hash(name), |entry| entry.name == *name).map(|entry| &entry.value)
    }

    pub(super) fn get_mut(&mut self, name: &N) -> Option<&mut T> {
        self.entry(name).map(|entry| &mut entry.value)
    }

    /// All entries, in no particular order.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|entry| &entry.value)
    }

    /// Makes an entry due at `due`, or up to `slack` earlier together with others.
    pub(super) fn set_due(&mut self, name: &N, due: Instant, slack: Duration) {
        if self.get(name).is_none() {
            return;
        }
        let key = self.date(name.clone(), due, slack);
        let earlier = self.entry(name).and_then(|entry| entry.due.replace(key));
        self.strike(earlier);
    }

    /// Makes a taken entry due again, unless it was made due sooner since then.
    pub(super) fn set_due_again(&mut self, name: &N, due: Instant, slack: Duration) {
        let known = self.entry(name).and_then(|entry| entry.due);
        if known.is_none_or(|known| due < known.0) {
            self.set_due(name, due, slack);
        }
    }

    /// Removes the due time of an entry.
    pub(super) fn clear_due(&mut self, name: &N) {
        let due = self.entry(name).and_then(|entry| entry.due.take());
        self.strike(due);
    }

    /// Makes everything due now that has a date.
    pub(super) fn hurry(&mut self) {
        self.hurries += 1;
        self.hurried.append(&mut self.order);
    }

    /// A number that changes whenever all are made due at once.
    pub(super) const fn hurries(&self) -> u64 {
        self.hurries
    }

    /// Due time of the next entry; a time in the past means now.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = self.hurried.first_key_value().or_else(|| self.order.first_key_value());
        first.map(|(due, _)| due.0)
    }

    /// Returns `true` if something is due at the time `now`.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        !self.hurried.is_empty() || self.next().is_some_and(|due| due <= now)
    }

    /// Takes at most `limit` entries due at `now`, and if there are any, others within their slack.
    pub(super) fn take_due(&mut self, now: Instant, limit: usize) -> Taken<N> {
        let mut names = Vec::new();
        if self.is_due(now) {
            while names.len() < limit
                && let Some((_, dated)) = self.hurried.pop_first()
            {
                names.push(dated.name);
            }
            // Those that may go early stand among others that may not: few are looked at.
            let look = self.order.iter().take(2 * (limit - names.len()));
            let go = look.filter(|(due, dated)| due.0 <= now || dated.from <= now);
            let go: Vec<Due> = go.take(limit - names.len()).map(|(due, _)| *due).collect();
            names.extend(go.iter().filter_map(|due| self.order.remove(due)).map(|it| it.name));
            for name in &names {
                if let Some(entry) = self.entry(name) {
                    entry.due = None;
                }
            }
        }
        Taken { names, hurries: self.hurries }
    }

    fn entry(&mut self, name: &N) -> Option<&mut Entry<N, T>> {
        self.entries.find_mut(hash(name), |entry| entry.name == *name)
    }

    fn slot(&mut self, name: &N) -> Slot<'_, Entry<N, T>> {
        self.entries.entry(hash(name), |entry| entry.name == *name, |entry| hash(&entry.name))
    }

    /// Enters a date.
    fn date(&mut self, name: N, due: Instant, slack: Duration) -> Due {
        self.last += 1;
        let key = (due, self.last);
        let from = due.checked_sub(slack).unwrap_or(due);
        self.order.insert(key, Dated { name, from });
        key
    }

    /// Strikes a date out.
    fn strike(&mut self, due: Option<Due>) {
        if let Some(due) = due
            && self.order.remove(&due).is_none()
        {
            self.hurried.remove(&due);
        }
    }
}

fn hash(name: &impl Hash) -> u64 {
    let mut hasher = IdentityHasher::default();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Hashes names that hold an identity of 128 random bits: of a text only the length and the end
/// count. It has no seed, so that runs repeat.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(end) = bytes.last_chunk() {
            self.write_u64(u64::from_ne_bytes(*end) ^ bytes.len() as u64);
        } else {
            bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The multiplier is that of Knuth's linear congruential generator.
        self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(6_364_136_223_846_793_005);
    }

    fn write_u8(&mut self, _terminator: u8) {}

    fn finish(&self) -> u64 {
        // The table takes its slots from the low bits and its tags from the high ones.
        self.0 ^ self.0 >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, secs: u64) -> Instant {
        start + Duration::from_secs(secs)
    }

    fn agenda(start: Instant, dues: &[(u32, u64, u64)]) -> Agenda<u32, ()> {
        let mut agenda = Agenda::default();
        for &(name, due, slack) in dues {
            agenda.insert(name, (), at(start, due), Duration::from_secs(slack));
        }
        agenda
    }

    #[test]
    fn due_things_are_taken_in_order_and_once() {
        let start = Instant::now();
        let mut agenda = agenda(start, &[(1, 30, 0), (2, 10, 0), (3, 20, 0)]);
        assert_eq!(agenda.next(), Some(at(start, 10)));
        assert!(agenda.take_due(at(start, 9), 10).names.is_empty());
        assert_eq!(agenda.take_due(at(start, 20), 10).names, [2, 3]);
        assert!(agenda.take_due(at(start, 20), 10).names.is_empty());
        assert_eq!(agenda.next(), Some(at(start, 30)));
    }

    #[test]
    fn slack_is_used_only_beside_something_due() {
        let start = Instant::now();
        let mut agenda = agenda(start, &[(1, 10, 5), (2, 12, 0), (3, 14, 5)]);
        assert!(agenda.take_due(at(start, 9), 10).names.is_empty());
        assert_eq!(agenda.take_due(at(start, 10), 10).names, [1, 3]);
    }

    #[test]
    fn limit_leaves_the_rest_due() {
        let start = Instant::now();
        let mut agenda = agenda(start, &[(1, 1, 0), (2, 2, 0), (3, 3, 0)]);
        assert_eq!(agenda.take_due(at(start, 5), 2).names, [1, 2]);
        assert!(agenda.is_due(at(start, 5)));
        assert_eq!(agenda.take_due(at(start, 5), 2).names, [3]);
    }

    #[test]
    fn hurry_makes_everything_due_once() {
        let start = Instant::now();
        let mut agenda = agenda(start, &[(1, 100, 0), (2, 200, 0)]);
        agenda.hurry();
        agenda.set_due(&3, at(start, 300), Duration::ZERO);
        agenda.insert(4, (), at(start, 400), Duration::ZERO);
        assert!(agenda.is_due(start));
        agenda.remove_if(&2, |()| true);
        assert_eq!(agenda.take_due(start, 10).names, [1]);
        assert!(!agenda.is_due(start));
        assert_eq!(agenda.next(), Some(at(start, 400)));
    }

    #[test]
    fn new_date_replaces_the_old_one() {
        let start = Instant::now();
        let mut agenda = agenda(start, &[(1, 10, 0)]);
        agenda.set_due(&1, at(start, 50), Duration::ZERO);
        assert!(agenda.take_due(at(start, 20), 10).names.is_empty());
        agenda.clear_due(&1);
        assert_eq!(agenda.next(), None);
        assert_eq!(agenda.remove_if(&1, |()| false), None);
        assert_eq!(agenda.remove_if(&1, |()| true), Some(()));
        assert!(agenda.get(&1).is_none());
    }
}
