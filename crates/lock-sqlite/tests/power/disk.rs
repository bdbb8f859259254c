//! A disk as a loss of power leaves it: what was synced, and any part of the rest.
//!
//! It promises no more than POSIX does and journaling file systems keep:
//! - A sync of a file covers its bytes and its length, as they were when the sync began; it says nothing
//!   of its name. (On ext4 it covers a new name, too.)
//! - Of the other writes each is there or not, in any order, sector by sector. Where a file ends after a
//!   lost write, the lost bytes are zeros.
//! - A sync of the folder covers the names in it. Of later changes to names each is there or not, too.

use std::collections::BTreeMap;

/// Bytes that are written whole or not at all.
const SECTOR: usize = 512;

/// The files of a folder.
pub(crate) type Image = BTreeMap<String, Vec<u8>>;

/// What a process did to a folder, or said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Opens a file, and makes it if there is none.
    Open(String),
    Unlink(String),
    Write {
        file: String,
        offset: usize,
        bytes: Vec<u8>,
    },
    Truncate {
        file: String,
        length: usize,
    },
    /// A sync of a file, or of the names where none is named, by this thread.
    SyncBegins {
        thread: u32,
        file: Option<String>,
    },
    SyncEnds {
        thread: u32,
    },
    Said(String),
}

/// What becomes of a change that was not synced.
#[derive(Debug)]
pub(crate) enum Luck {
    KeepsAll,
    LosesAll,
    Random(Random),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Lost,
    Torn,
}

impl Luck {
    fn fate(&mut self) -> Fate {
        match self {
            Self::KeepsAll => Fate::Kept,
            Self::LosesAll => Fate::Lost,
            Self::Random(random) => match random.below(5) {
                0 | 1 => Fate::Kept,
                2 => Fate::Torn,
                _ => Fate::Lost,
            },
        }
    }

    fn coin(&mut self) -> bool {
        match self {
            Self::KeepsAll => true,
            Self::LosesAll => false,
            Self::Random(random) => random.below(2) == 0,
        }
    }
}

/// Numbers that a seed determines: splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below the limit, which is not zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }
}

/// A change of a file.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(content, *offset, bytes),
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    /// Applies some of its sectors.
    fn tear(&self, content: &mut Vec<u8>, luck: &mut Luck) {
        let Self::Write { offset, bytes } = self else { return };
        let end = offset + bytes.len();
        if content.len() < end && luck.coin() {
            // The length was written, and the bytes were not.
            content.resize(end, 0);
        }
        let mut start = *offset;
        while start < end {
            let next = end.min((start / SECTOR + 1) * SECTOR);
            if luck.coin() {
                put(content, start, &bytes[start - offset..next - offset]);
            }
            start = next;
        }
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// What a disk has for certain, and changes since then in their order.
#[derive(Debug)]
struct Synced<T, C> {
    certain: T,
    changes: Vec<(u64, C)>,
}

impl<T, C> Synced<T, C> {
    /// Makes certain what was changed before this time.
    fn sync(&mut self, before: u64, apply: impl Fn(&mut T, C)) {
        let covered = self.changes.iter().take_while(|(at, _)| *at < before).count();
        for (_, change) in self.changes.drain(..covered) {
            apply(&mut self.certain, change);
        }
    }
}

type Names = BTreeMap<String, usize>;

/// The disk under a folder.
#[derive(Debug)]
pub(crate) struct Disk {
    time: u64,
    /// Names as processes see them, and the numbers of their files.
    seen: Names,
    names: Synced<Names, (String, Option<usize>)>,
    files: Vec<Synced<Vec<u8>, Change>>,
    /// Syncs that have begun: what, and when.
    syncs: BTreeMap<u32, (Option<usize>, u64)>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let names = Synced { certain: Names::new(), changes: Vec::new() };
        Self { time: 0, seen: Names::new(), names, files: Vec::new(), syncs: BTreeMap::new() }
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        self.time += 1;
        let time = self.time;
        match event {
            Event::Open(name) if !self.seen.contains_key(name) => {
                let file = self.files.len();
                self.files.push(Synced { certain: Vec::new(), changes: Vec::new() });
                self.seen.insert(name.clone(), file);
                self.names.changes.push((time, (name.clone(), Some(file))));
            }
            Event::Unlink(name) => {
                if self.seen.remove(name).is_some() {
                    self.names.changes.push((time, (name.clone(), None)));
                }
            }
            Event::Write { file, offset, bytes } => {
                self.change(file, Change::Write { offset: *offset, bytes: bytes.clone() });
            }
            Event::Truncate { file, length } => self.change(file, Change::Length(*length)),
            Event::SyncBegins { thread, file: None } => {
                self.syncs.insert(*thread, (None, time));
            }
            Event::SyncBegins { thread, file: Some(name) } => {
                if let Some(file) = self.seen.get(name) {
                    self.syncs.insert(*thread, (Some(*file), time));
                }
            }
            Event::SyncEnds { thread } => match self.syncs.remove(thread) {
                Some((None, began)) => self.names.sync(began, rename),
                Some((Some(file), began)) => {
                    self.files[file].sync(began, |content, change| change.apply(content));
                }
                None => {}
            },
            Event::Open(_) | Event::Said(_) => {}
        }
    }

    fn change(&mut self, name: &str, change: Change) {
        // What is written to a file that was unlinked is lost in any case.
        if let Some(file) = self.seen.get(name) {
            self.files[*file].changes.push((self.time, change));
        }
    }

    /// The files after a loss of power at this moment.
    pub(crate) fn cut(&self, luck: &mut Luck) -> Image {
        let mut names = self.names.certain.clone();
        for (_, change) in &self.names.changes {
            if luck.coin() {
                rename(&mut names, change.clone());
            }
        }
        let content = |file: usize, luck: &mut Luck| {
            let Synced { certain, changes } = &self.files[file];
            let mut content = certain.clone();
            for (_, change) in changes {
                match luck.fate() {
                    Fate::Kept => change.apply(&mut content),
                    Fate::Torn => change.tear(&mut content, luck),
                    Fate::Lost => {}
                }
            }
            content
        };
        names.into_iter().map(|(name, file)| (name, content(file, luck))).collect()
    }
}

fn rename(names: &mut Names, (name, file): (String, Option<usize>)) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(name: &str) -> Event {
        Event::Open(name.to_owned())
    }

    fn write(offset: usize, bytes: &[u8]) -> Event {
        Event::Write { file: "a".to_owned(), offset, bytes: bytes.to_vec() }
    }

    fn begins(thread: u32, file: Option<&str>) -> Event {
        Event::SyncBegins { thread, file: file.map(str::to_owned) }
    }

    fn ends(thread: u32) -> Event {
        Event::SyncEnds { thread }
    }

    fn after(events: &[Event]) -> Disk {
        let mut disk = Disk::new();
        events.iter().for_each(|event| disk.apply(event));
        disk
    }

    /// A file whose name and first bytes are on the disk.
    fn begun() -> Vec<Event> {
        let sync = [begins(1, None), ends(1), begins(1, Some("a")), ends(1)];
        [open("a"), write(0, b"old!")].into_iter().chain(sync).collect()
    }

    fn cuts(events: &[Event]) -> impl Iterator<Item = Image> {
        let disk = after(events);
        (0..200).map(move |seed| disk.cut(&mut Luck::Random(Random(seed))))
    }

    #[test]
    fn what_was_synced_is_there() {
        assert!(cuts(&begun()).all(|image| image["a"] == b"old!"));
    }

    #[test]
    fn what_was_not_synced_is_there_or_not() {
        let events: Vec<_> =
            begun().into_iter().chain([write(0, b"new!"), write(4, b"x")]).collect();
        let found: std::collections::BTreeSet<_> =
            cuts(&events).map(|image| image["a"].clone()).collect();
        let all: [&[u8]; 5] = [b"new!", b"new!\0", b"new!x", b"old!", b"old!x"];
        assert!(all.iter().all(|content| found.contains(*content)), "{found:?}");
        assert_eq!(after(&events).cut(&mut Luck::KeepsAll)["a"], b"new!x");
        assert_eq!(after(&events).cut(&mut Luck::LosesAll)["a"], b"old!");
    }

    #[test]
    fn a_write_is_torn_at_sectors() {
        let events: Vec<_> = begun().into_iter().chain([write(256, &[7; 768])]).collect();
        let is_torn = |image: &Image| {
            let content = &image["a"];
            content.get(256..512) == Some(&[7; 256]) && content.get(512..1024) != Some(&[7; 512])
        };
        assert!(cuts(&events).any(|image| is_torn(&image)));
        let is_whole = |part: &[u8]| part.iter().all(|byte| *byte == part[0]);
        let mut images = cuts(&events);
        assert!(images.all(|image| {
            let content = &image["a"];
            content.get(256..512).is_none_or(is_whole)
                && content.get(512..).is_none_or(|part| part.is_empty() || is_whole(part))
        }));
    }

    #[test]
    fn a_sync_covers_what_came_before_it_began() {
        let during = [begins(2, Some("a")), write(0, b"late"), ends(2)];
        let events: Vec<_> = begun().into_iter().chain(during).collect();
        assert_eq!(after(&events).cut(&mut Luck::LosesAll)["a"], b"old!");
        // Another that began later covers it, though it ends first.
        let during = [begins(2, Some("a")), write(0, b"late"), begins(3, Some("a")), ends(3)];
        let events: Vec<_> = begun().into_iter().chain(during).collect();
        assert!(cuts(&events).all(|image| image["a"] == b"late"));
    }

    #[test]
    fn a_sync_that_has_not_ended_covers_nothing() {
        let events: Vec<_> =
            begun().into_iter().chain([write(0, b"new!"), begins(2, Some("a"))]).collect();
        assert_eq!(after(&events).cut(&mut Luck::LosesAll)["a"], b"old!");
    }

    #[test]
    fn a_name_is_there_for_certain_after_a_sync_of_the_folder() {
        let events = [open("a"), write(0, b"x"), begins(1, Some("a")), ends(1)];
        assert!(cuts(&events).any(|image| image.is_empty()));
        let synced: Vec<_> = events.into_iter().chain([begins(1, None), ends(1)]).collect();
        assert!(cuts(&synced).all(|image| image["a"] == b"x"));
    }

    #[test]
    fn a_change_of_names_is_there_or_not() {
        let changes = [open("b"), Event::Unlink("a".to_owned())];
        let events: Vec<_> = begun().into_iter().chain(changes).collect();
        let mut found: Vec<Vec<String>> =
            cuts(&events).map(|image| image.into_keys().collect()).collect();
        found.sort();
        found.dedup();
        assert_eq!(found, [vec![], vec!["a"], vec!["a", "b"], vec!["b"]]);
    }

    #[test]
    fn a_name_that_is_used_again_is_another_file() {
        let again = [Event::Unlink("a".to_owned()), open("a"), write(0, b"2")];
        let events: Vec<_> = begun().into_iter().chain(again).collect();
        let disk = after(&events);
        assert_eq!(disk.cut(&mut Luck::LosesAll)["a"], b"old!");
        assert_eq!(disk.cut(&mut Luck::KeepsAll)["a"], b"2");
    }

    #[test]
    fn a_length_is_lost_unless_synced() {
        let cut = Event::Truncate { file: "a".to_owned(), length: 1 };
        let mut events: Vec<_> = begun().into_iter().chain([cut]).collect();
        assert_eq!(after(&events).cut(&mut Luck::LosesAll)["a"], b"old!");
        events.extend([begins(1, Some("a")), ends(1)]);
        assert!(cuts(&events).all(|image| image["a"] == b"o"));
    }
}
