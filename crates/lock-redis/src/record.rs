//! Layout of the records on the server: defined here, and inserted into the scripts by name.

use lock_core::machine::UPGRADE_LEAD;

/// The version of the layout: stores of another are refused.
pub(crate) const LAYOUT_VERSION: &str = "1";
/// Expiry of a lease that never expires: the largest exact integer of a double.
pub(crate) const NEVER: u64 = 9_007_199_254_740_992;
/// Time in microseconds, in the year 2219, as which later times count for tokens.
const LAST_CLOCK: u64 = NEVER - (1 << 50);
/// Time in milliseconds for which a lease alone is kept after its end.
pub(crate) const GRACE: u64 = 60_000;

/// Widths of parts in bytes.
const ID: usize = 16;
const DOUBLE: usize = 8;
const COUNT: usize = 6;
const LENGTH: usize = 4;
const LETTER: usize = 1;

/// A part of a record: its name, where it begins, and its form for `struct` in Lua.
type Part = (&'static str, usize, &'static str);

/// Makes a module of the offsets of a record's parts, which lie one after another. The last part
/// has whatever length is left.
macro_rules! record {
    ($record:ident { $($part:ident: $width:ident),*; $rest:ident }) => {
        #[expect(clippy::allow_attributes, reason = "some parts are read by one side alone")]
        #[allow(dead_code, reason = "some parts are read by one side alone")]
        pub(crate) mod $record {
            record!(@ 0, $($part: $width,)*; $rest);
            pub(super) const PARTS: &[super::Part] = &[
                $((stringify!($part), $part, super::form(super::$width)),)*
                (stringify!($rest), $rest, ""),
            ];
        }
    };
    (@ $at:expr, $part:ident: $width:ident, $($more:tt)*) => {
        pub(crate) const $part: usize = $at;
        record!(@ $part + super::$width, $($more)*);
    };
    (@ $at:expr, ; $rest:ident) => {
        pub(crate) const $rest: usize = $at;
    };
}

record!(lease { REQUEST: ID, TOKEN: DOUBLE, GRANTED: DOUBLE, ENDS: DOUBLE, FLAG: LETTER, MAILBOX: ID; TERMS });
// The part of a lease that says how long it lasts.
record!(term { TOKEN: DOUBLE, GRANTED: DOUBLE, ENDS: DOUBLE; REST });
// Whom a lease came from, before its terms.
record!(giver { REQUEST: ID, TOKEN: DOUBLE; TERMS });
// The state of a key with one lease and nothing else.
record!(alone { KIND: LETTER, REQUEST: ID, TOKEN: DOUBLE, GRANTED: DOUBLE, ENDS: DOUBLE, FLAG: LETTER, MAILBOX: ID; TERMS });
record!(holder { REQUEST: ID, TOKEN: DOUBLE, GRANTED: DOUBLE, ENDS: DOUBLE; TERMS });
record!(waiter { ENQUEUED: DOUBLE, ARRIVAL: COUNT, KEEP: COUNT, HEAD: COUNT, MAILBOX: ID; TERMS });
// The public form of a waiter.
record!(shown { REQUEST: ID, SILENT: DOUBLE; WAITER });
// A member of the queue.
record!(turn { ARRIVAL: COUNT; REQUEST });
// The record of all arrivals of a queue.
record!(arrivals { NUMBER: COUNT, LAST: DOUBLE; REST });
record!(mark { TOKEN: DOUBLE; ENDING });
// The record of a notice.
record!(told { KIND: LETTER, REQUEST: ID; REST });
record!(ended { TOKEN: DOUBLE, LENGTH: LENGTH; ENDING });

const RECORDS: &[(&str, &[Part])] = &[
    ("LEASE", lease::PARTS),
    ("TERM", term::PARTS),
    ("GIVER", giver::PARTS),
    ("ALONE", alone::PARTS),
    ("HOLDER", holder::PARTS),
    ("WAITER", waiter::PARTS),
    ("SHOWN", shown::PARTS),
    ("TURN", turn::PARTS),
    ("ARRIVALS", arrivals::PARTS),
    ("MARK", mark::PARTS),
    ("TOLD", told::PARTS),
    ("ENDED", ended::PARTS),
];

/// Format of a field of this width for `struct` in Lua.
const fn form(width: usize) -> &'static str {
    match width {
        DOUBLE => "d",
        COUNT => "I6",
        LENGTH => "I4",
        LETTER => "c1",
        _ => "c16",
    }
}

/// Value of a capitalised placeholder in a script, if known: `LEASE_ENDS` is the 1-based offset of
/// the expiry in a lease, and `LEASE_FORMAT` the format of all its fields for `struct`.
fn meaning(name: &str) -> Option<String> {
    match name {
        "LAYOUT_VERSION" => return Some(format!("'{LAYOUT_VERSION}'")),
        "NEVER" => return Some(NEVER.to_string()),
        "UPGRADE_LEAD" => return Some(UPGRADE_LEAD.as_micros().to_string()),
        "GRACE" => return Some(GRACE.to_string()),
        "LAST_CLOCK" => return Some(LAST_CLOCK.to_string()),
        _ => {}
    }
    let (record, part) = name.split_once('_')?;
    let (_, parts) = RECORDS.iter().find(|(name, _)| *name == record)?;
    if part == "FORMAT" {
        let forms: String = parts.iter().map(|(_, _, form)| *form).collect();
        return Some(format!("'>{forms}'"));
    }
    let (_, at, _) = parts.iter().find(|(name, ..)| *name == part)?;
    Some((at + 1).to_string())
}

/// A script with what its names stand for in their place.
pub(crate) fn fill(text: &str) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    while let Some(start) = rest.find(is_name) {
        let (before, from) = rest.split_at(start);
        let (name, after) = from.split_at(from.find(|c| !is_name(c)).unwrap_or(from.len()));
        filled.push_str(before);
        filled.push_str(&meaning(name).unwrap_or_else(|| name.to_owned()));
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_where_the_parts_lie() {
        let text = "sub(text, 1, ALONE_GRANTED - 1) .. struct.pack(TERM_FORMAT, a) .. LEASE_NONE";
        assert_eq!(fill(text), "sub(text, 1, 26 - 1) .. struct.pack('>ddd', a) .. LEASE_NONE");
        assert_eq!(fill("NEVER_ NEVER"), "NEVER_ 9007199254740992");
    }

    #[test]
    fn a_state_of_one_lease_is_a_letter_and_the_lease() {
        for ((_, inner, _), (_, outer, _)) in lease::PARTS.iter().zip(&alone::PARTS[1..]) {
            assert_eq!(inner + 1, *outer);
        }
    }
}
