//! The few keys, owners, requests and texts that the commands are made of.

use std::collections::BTreeMap;

use lock_core::{LockKey, MailboxId, Metadata, OwnerId, RequestId, SessionId, Timestamp};

/// Where the clock stands when a sequence begins.
pub const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

/// The keys: one is the beginning of another, and one has characters that are special elsewhere.
pub(super) const KEYS: [&str; 3] =
    ["acme/infra", "acme/infra/acme/infra", "{acme}*[!a-z]?\\me/infra"];

/// The owners: one is the beginning of another, and one has special characters.
pub(super) const OWNERS: [&str; 3] = ["alice", "alice:2", "{bob}* %s|ü"];

/// The beginnings of keys that are listed.
pub(super) const PREFIXES: [&str; 5] = ["", "acme/infra", "acme/infra/", "{acme}*", "*"];

/// The number of sessions that are shared; a request may have one of its own.
pub(super) const SESSIONS: u8 = 3;

/// The number of mailboxes.
pub(super) const MAILBOXES: u8 = 3;

/// The requests that most commands are about; those of crowds follow.
pub(super) const REQUESTS: u8 = 8;

/// The number of requests of which crowds are made.
pub(super) const CROWD: u8 = 140;

pub(super) fn key(number: u8) -> LockKey {
    LockKey::parse(KEYS[usize::from(number) % KEYS.len()]).expect("a valid key")
}

pub(super) fn keys() -> impl Iterator<Item = LockKey> {
    KEYS.iter().map(|text| LockKey::parse(text).expect("a valid key"))
}

pub(super) fn owner(number: u8) -> OwnerId {
    OwnerId::parse(OWNERS[usize::from(number) % OWNERS.len()]).expect("a valid owner")
}

pub(super) fn owners() -> impl Iterator<Item = OwnerId> {
    OWNERS.iter().map(|text| OwnerId::parse(text).expect("a valid owner"))
}

/// The session of this number.
pub(super) fn session(number: u8) -> SessionId {
    SessionId::from_bits(u128::from(number % SESSIONS) << 64 | 1)
}

/// The mailbox of this number.
pub(super) fn mailbox(number: u8) -> MailboxId {
    MailboxId::from_bits(u128::from(number % MAILBOXES) << 100 | 2)
}

pub(super) fn mailboxes() -> impl Iterator<Item = MailboxId> {
    (0..MAILBOXES).map(mailbox)
}

/// The request of this number: the lowest, the highest, and some whose order is not that of their
/// numbers.
pub(super) fn request(number: u8) -> RequestId {
    RequestId::from_bits(match number {
        0 => 0,
        1 => u128::MAX,
        other => u128::from(other).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835),
    })
}

pub(super) fn metadata(number: u8) -> Metadata {
    let entries: &[(&str, &str)] = match number % 3 {
        0 => &[],
        1 => &[("reason", "apply")],
        _ => &[(" a {*} ", "\0\u{1}\r\n\"\\'☃ 10 2"), ("empty", "")],
    };
    let entries = entries.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Metadata::try_from(entries.collect::<BTreeMap<_, _>>()).expect("valid metadata")
}
